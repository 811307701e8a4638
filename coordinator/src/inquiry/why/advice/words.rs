//! Advice in words.

use meshcache_protocol::Reason;

/// What is said where no coordinator knows of a request. A proxy asks nobody about what it passes by itself.
pub(super) const UNASKED: &str = "No request for it has come to a coordinator lately. Proxies pass some requests by themselves (`route`, `caller`, `no-feed`, `no-peer`): the word is `detail` in the Cache-Status of a real response (curl -sD- -o /dev/null URL). Ask with --probe to see what a request would get.";

/// What is said where a response was stored, and there is no reason since.
pub(super) const OVER: &str = "What was stored has expired, was purged, or made room for others: the next request loads it again. If it expires too soon, best the service sends a longer `max-age`. Ask with --probe to see what a request would get.";

/// Returns what to do about a reason, and what to think of before.
pub(super) const fn of(reason: Reason) -> &'static str {
    match reason {
        Reason::Private => {
            "The service says `private`: for one user. If it is the same for all, best the service says so, with `MeshCache-Control: max-age=60`, which only this cache reads."
        }
        Reason::NoStore => {
            "The service says `no-store`. If it may be stored, best the service says so, with `MeshCache-Control: max-age=60`, which only this cache reads."
        }
        Reason::NoFreshness => {
            "The response says nothing of use about freshness, and has no validator. Best the service sends `Cache-Control: max-age=N`; the group can give it a time, too."
        }
        Reason::SetCookie => {
            "The response sets a cookie. Best the service sets cookies on other paths. With `share.setCookie` it is stored without its cookie: only if the response is the same for all."
        }
        Reason::Identity => {
            "The request names its user, and the response does not say that it is for all. If it is, best the service says `Cache-Control: public`. `share` says it for the whole group: only if the response is the same for all."
        }
        Reason::Vary => {
            "The response says `Vary: *`: it is for no other request. Have the service name the headers by which it varies."
        }
        Reason::TooLarge => {
            "The body is larger than the group or the store takes. Requests that come together share one load if the service sends a strong ETag and `Accept-Ranges: bytes`; `limits.slices` stores large files in parts."
        }
        Reason::Method => {
            "The cache answers GET and HEAD, and QUERY where the group's `methods` say so. All other methods pass to the service: that is right for what changes something."
        }
        Reason::Caller => {
            "The group's `callers` admit only some, and the request came without an identity among them. To ask as one of them where --identity is xfcc, add the header `x-forwarded-client-cert: URI=spiffe://…`. A proxy compares its callers by itself."
        }
        Reason::Route => {
            "Envoy's route for it leads to no service: none matches, or it answers or redirects. The proxy decides that; `Cache-Status` of a real response has the word. Look at the route, not at the cache."
        }
        Reason::PurgeLag => {
            "The coordinator may have missed purges, so it answers nothing from its store until it has heard from the others. Coordinators must reach each other's peer ports: network policies, the peer token, meshcache_purge_lease_held."
        }
        Reason::Overload => {
            "More loads than `origin.maxLoads` were in progress for too long. More loads help only if the service bears them; `freshness.staleWhileRevalidate` gives stale responses meanwhile, and `overload` says what becomes of the rest."
        }
        Reason::Full => {
            "The coordinator had too many requests or bytes in progress: give it memory, or add coordinators."
        }
        Reason::Status => {
            "The status is not stored: an error that the group does not list. With `freshness.status` errors are shared for a short time, too."
        }
        Reason::MinUses => "Fewer requests for it have come than the group's `minUses`: the next ones will be stored.",
        Reason::RequestNoStore => "The request says `no-store`, and the group obeys its clients.",
        Reason::OnlyIfCached => "The request says `only-if-cached`, and nothing is stored.",
        Reason::BypassHeader => {
            "The request has a header of the group's `bypass.headers`; where the origin gets credentials, Authorization is one of them."
        }
        Reason::BypassCookie => "The request has a cookie of the group's `bypass.cookies`.",
        Reason::BypassQuery => "The request has a parameter of the group's `bypass.query`.",
        Reason::Off => "The group's `mode` is `off`.",
        Reason::Observe => {
            "The group only observes. Look at its evidence first: `on` is right once it shows no response that differed."
        }
        Reason::NoGroup => {
            "No group names this host: name it in `match.hosts` or `match.service`. Short names of services match in their own namespace alone: write NAME.NAMESPACE."
        }
        Reason::NoPath => "A group names the host, and no group of that host takes the path.",
        Reason::Purged => "It was purged while it was loaded: the next load is stored.",
        Reason::Range => {
            "The request is for a part, and nothing is stored that has it: the whole is loaded when a client asks for it."
        }
        Reason::Conditional => {
            "Only the origin may judge the request's conditions, or nothing is stored to compare them with."
        }
        Reason::Connect | Reason::Dns | Reason::Tls | Reason::Timeout | Reason::Reset | Reason::BadResponse => {
            "The origin gave no response: look at `origin.url`, network policies and the service; the coordinator's log has the cause."
        }
        _ => "docs/reasons.md says what the word means, and what to change.",
    }
}
