//! The list of all reasons: word, meaning and what to change, by section of docs/reasons.md.

macro_rules! reasons {
    ($($section:literal { $($(#[doc = $doc:literal])+ $variant:ident = $word:literal,)+ })+) => {
        /// A reason. Its word is the detail in Cache-Status, the reason on the wire, the label of metrics and the word in
        /// logs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($($(#[doc = $doc])+ $variant,)+)+ }

        impl Reason {
            /// All reasons.
            pub const ALL: [Self; [$($($word,)+)+].len()] = [$($(Self::$variant,)+)+];

            /// All reasons by the sections of their page.
            pub const SECTIONS: [(&str, &[Self]); [$($section,)+].len()] = [$(($section, &[$(Self::$variant,)+]),)+];

            /// Returns its word.
            pub const fn label(self) -> &'static str {
                match self { $($(Self::$variant => $word,)+)+ }
            }

            /// Returns what is written about it below.
            const fn doc(self) -> &'static str {
                match self { $($(Self::$variant => concat!($($doc,)+),)+)+ }
            }
        }
    };
}

// Each has what it means, then `Change:` and what to change. The page is made of that (tests/tests/reference/).
reasons! {
    "What the request is" {
        /// Its method is not in the group's `methods`: by default neither GET nor HEAD.
        /// Change: Nothing, or name it in `methods`: GET, HEAD and QUERY can be answered from a cache.
        Method = "method",
        /// It asks for another protocol (WebSocket). A coordinator refuses that with 501.
        /// Change: Nothing; WebSockets go through the proxy.
        Upgrade = "upgrade",
        /// It has a body; a QUERY, one above 64 KiB.
        /// Change: Send GET and HEAD without one, also without `Transfer-Encoding`.
        Body = "body",
        /// It has `Expect`.
        /// Change: Leave the header out.
        Expect = "expect",
        /// It is a gRPC call.
        /// Change: Nothing.
        Grpc = "grpc",
        /// It accepts `text/event-stream`.
        /// Change: Leave that out of `Accept` where no stream is wanted.
        EventStream = "event-stream",
        /// Its path begins with `/.meshcache/`.
        /// Change: Use another path: the cache uses these.
        ControlPath = "control-path",
        /// It has passed this installation before (`CDN-Loop`). 508 at the third time.
        /// Change: Have `origin.url` lead to the service and not to a proxy or coordinator that asks this cache. Two
        /// installations in a row need two names (`--installation`).
        Loop = "loop",
        /// Its authority is missing, or has characters that no host name has.
        /// Change: Mend the client.
        BadAuthority = "bad-authority",
        /// It has no `Host`, or more than one.
        /// Change: Mend the client.
        BadHost = "bad-host",
        /// Its target is no path, or has bytes that are not visible ASCII.
        /// Change: Escape them (`%C3%A9`).
        BadTarget = "bad-target",
        /// Two servers may read its path differently: `//`, dot segments, a backslash, `;`, `%2f`, `%25` and their
        /// like.
        /// Change: Link to the intended path.
        AmbiguousPath = "ambiguous-path",
        /// A cookie of the key is repeated, or has a form that not every server reads.
        /// Change: Set it once, for one path and domain.
        AmbiguousCookie = "ambiguous-cookie",
        /// It cannot be sent to the origin as it is, or could leave the path of `origin.url`.
        /// Change: Mend the client.
        BadRequest = "bad-request",
        /// Its head has more than 256 lines (431).
        /// Change: Send fewer.
        HeaderLines = "header-lines",
        /// Its head, with what a question adds, is larger than a coordinator takes (256 lines, 64 KiB).
        /// Change: Send fewer or smaller headers; most often cookies.
        RequestHeadTooLarge = "request-head-too-large",
        /// A header's value is not UTF-8: Envoy cannot send it in a question.
        /// Change: Send UTF-8.
        NotText = "not-text",
    }
    "What the configuration says" {
        /// No group names its host. A coordinator answers a client 421.
        /// Change: Name it in `match.hosts` or `match.service`.
        NoGroup = "no-group",
        /// A group names its host, but no group of that host its path.
        /// Change: Add the path to `match.paths`, or take it out of `exclude`.
        NoPath = "no-path",
        /// The group's `mode` is `off`, or the filter is of a version that does not know the group's rules.
        /// Change: `mode: "on"`, or the filter of the coordinators' version.
        Off = "off",
        /// The group's `mode` is `observe`: it counts what it would have done.
        /// Change: `mode: "on"`, once `meshcache_observe_mismatch_total` stays at 0.
        Observe = "observe",
        /// It has a header of the group's `bypass.headers`; or Authorization of its own, where the origin gets
        /// credentials ([origins.md](origins.md)).
        /// Change: Take it out of the request, or of `bypass`.
        BypassHeader = "bypass-header",
        /// It has a cookie of the group's `bypass.cookies`.
        /// Change: Take it out of the request, or of `bypass`.
        BypassCookie = "bypass-cookie",
        /// It has a parameter of the group's `bypass.query`.
        /// Change: Take it out of the request, or of `bypass`.
        BypassQuery = "bypass-query",
        /// A caller that `debuggers` names sent `meshcache-bypass: 1`.
        /// Change: Leave the header out.
        Debugger = "debugger",
        /// The caller is not among the group's `callers`. A coordinator answers a client 403.
        /// Change: Add its identity to `callers`.
        Caller = "caller",
        /// Envoy's route for it leads to no service: none matches, or it answers or redirects. Envoy's own response
        /// counts.
        /// Change: Nothing, unless the route is wrong.
        Route = "route",
        /// A plain client's request that no cache answers and that its group does not send on: the coordinator would
        /// make it with its own identity. 403.
        /// Change: `passThrough: {methods, otherPaths}`; the log names the field.
        NotPassed = "not-passed",
    }
    "Requests that are for one client" {
        /// The request names its user (Authorization, Cookie, a header of `share.identity`, a token that the proxy
        /// verified), and the response does not say that it is for all users.
        /// Change: Have the service send `Cache-Control: public` or `s-maxage` where it is; or `share` in the group.
        Identity = "identity",
        /// It asks for a part, and no stored response has it.
        /// Change: Nothing: the whole is loaded when a client asks for it.
        Range = "range",
        /// Only the origin may judge its conditions (`If-Match`, `If-Unmodified-Since`), or no stored response can be
        /// compared with them.
        /// Change: Nothing.
        Conditional = "conditional",
        /// It said `no-store`, and the group obeys requests.
        /// Change: `freshness.requestDirectives: ignore`.
        RequestNoStore = "request-no-store",
        /// It said `only-if-cached`, and nothing is stored (504).
        /// Change: Nothing.
        OnlyIfCached = "only-if-cached",
    }
    "What the response is" {
        /// The response says `no-store`.
        /// Change: The service's `Cache-Control`; or `MeshCache-Control`, which only this cache reads.
        NoStore = "no-store",
        /// The response says `private`.
        /// Change: Where it is for all: the service's `Cache-Control`; or `MeshCache-Control`, which only this cache reads.
        Private = "private",
        /// The response sets a cookie.
        /// Change: Set cookies on other paths; `share.setCookie` where the cookie is for all users.
        SetCookie = "set-cookie",
        /// A status that is not stored: an error that the group does not list.
        /// Change: `freshness.status`.
        Status = "status",
        /// `Vary: *`: it is for no other request.
        /// Change: Have the service name the headers.
        Vary = "vary",
        /// It has no freshness and no validator.
        /// Change: Have the service send `max-age`; or `freshness.default`.
        NoFreshness = "no-freshness",
        /// Its body is larger than `limits.object`, or than the store has room for, or than a proxy takes (30 MiB).
        /// Those who come together share one load of it all the same, where the service sends a strong ETag and
        /// `Accept-Ranges: bytes`.
        /// Change: `limits.object`; these two fields; larger bodies belong on a CDN.
        TooLarge = "too-large",
        /// It was cut, or is never stored (an event stream).
        /// Change: Look at the service's log.
        Incomplete = "incomplete",
        /// It may be stored, but fewer requests for its key have come than the group's `minUses`.
        /// Change: Nothing; `minUses: 1` stores at the first.
        MinUses = "min-uses",
        /// It was purged while it was loaded.
        /// Change: Nothing.
        Purged = "purged",
        /// Two loads of other requests brought a response that is not for this one.
        /// Change: If it is frequent: fewer different values in the headers that `Vary` names.
        NotShared = "not-shared",
        /// The group has `fill: proxy`, and no proxy that `fillers` names fills this: a proxy's request passes, a plain
        /// client gets 503.
        /// Change: Ask through such a proxy; see [origins.md](origins.md#fills-by-proxies).
        NoFiller = "no-filler",
    }
    "The origin" {
        /// No connection: refused, or no route.
        /// Change: `origin.url`, network policies, the service. The log has the cause.
        Connect = "connect",
        /// Its name has no address.
        /// Change: `origin.url`; the resolver.
        Dns = "dns",
        /// No TLS: not trusted, not for this name, or not spoken there; or it refuses our certificate.
        /// Change: `origin.ca`, `origin.tls`, the scheme and name in `origin.url`.
        Tls = "tls",
        /// No response within `origin.timeout`, or a pause in the body as long. Of a peer: no answer within `patience`.
        /// Change: Look at the service; `origin.timeout`.
        Timeout = "timeout",
        /// The connection broke before the response's head was complete.
        /// Change: Look at the service's log; `origin.idle` below its keep-alive.
        Reset = "reset",
        /// The response is not HTTP.
        /// Change: The port and scheme in `origin.url`.
        BadResponse = "bad-response",
        /// The response's head has more than 256 lines, or for a proxy more than 100.
        /// Change: Fewer headers of the service; often repeated `Set-Cookie`.
        TooManyHeaders = "too-many-headers",
        /// The response's head is larger than a coordinator reads, or for a proxy than 60 KiB.
        /// Change: Smaller headers of the service.
        HeadTooLarge = "head-too-large",
        /// It answered 101, and the request asked for no upgrade.
        /// Change: Mend the service.
        UnaskedUpgrade = "unasked-upgrade",
        /// The connection broke in the middle of the body.
        /// Change: Look at the service's log.
        IncompleteBody = "incomplete-body",
        /// The client stopped sending its body (400).
        /// Change: Nothing.
        IncompleteRequest = "incomplete-request",
        /// It wants a token (`origin.auth.oauth2`), and the token server gives none (502).
        /// Change: The log (`no token for the origin`) has the token server's words; `meshcache_origin_tokens_total`
        /// counts them.
        Token = "token",
        /// The stored response had to be validated, and the origin gave no response (504).
        /// Change: Look at the service; leave `must-revalidate` out where a stale response will do.
        MustRevalidate = "must-revalidate",
        /// The service failed while no coordinator answered: the proxy gave its own stale copy.
        /// Change: Look at the service and at the coordinators.
        OriginError = "origin-error",
        /// A large file (`limits.slices`) changed while it was being read: a reader that has its head is cut, and the
        /// next request gets the new version.
        /// Change: Nothing; files that change often are better named for their versions.
        NewVersion = "new-version",
    }
    "Load" {
        /// No place among `origin.maxLoads` in time, or no room for the body in flight.
        /// Change: `origin.maxLoads`, more coordinators; [overload.md](overload.md).
        Overload = "overload",
        /// More is in flight than is held: loads and waiting requests at a coordinator, questions at a proxy.
        /// Change: More coordinators; a faster service.
        Full = "full",
        /// The body takes longer than a client waits for a shared load of which it needs the whole, or one that begins
        /// after it.
        /// Change: Nothing: the origin serves the client directly.
        Slow = "slow",
        /// The body of the owner's load was not whole `streamAfter` after its head: one of the requests that wait goes
        /// to the service, and its client has the first byte. The service sees that request beside the load, and no
        /// more.
        /// Change: Nothing; [the native filter](native.md) streams to all. `streamAfter: 1h` has all wait.
        Leave = "leave",
        /// The group has `fill: proxy`, and the owner granted this request the load: it goes to the service, and a copy
        /// of the response to the owner.
        /// Change: Nothing.
        Fill = "fill",
        /// The owner was still loading after the time of two loads.
        /// Change: Look at the service; `origin.timeout`.
        TooSlow = "too-slow",
    }
    "Coordinators and proxies" {
        /// Another coordinator refuses connections.
        /// Change: Its peer port, network policies, `--peers`.
        Refused = "refused",
        /// Another coordinator answered, with a reason that this version does not know.
        /// Change: Nothing; a reason of a later version is known once all are upgraded.
        Peer = "peer",
        /// The coordinator may have missed purges, so it answers nothing from its store.
        /// Change: Coordinators must reach each other's peer ports: `meshcache_purge_lease_held`, [purge.md](purge.md).
        PurgeLag = "purge-lag",
        /// Proxy and coordinator do not find the same group: their rules differ.
        /// Change: Nothing within a second of a change; after that coordinators have different files.
        Group = "group",
        /// A question of a wire version that this coordinator does not read.
        /// Change: Bring filter and coordinators closer together: one version apart works.
        WireVersion = "wire-version",
        /// A question that cannot be read.
        /// Change: Only the filter may send `meshcache-wire`.
        BadQuestion = "bad-question",
        /// A call on the peer port without the headers that it needs.
        /// Change: Only coordinators may call there.
        BadCall = "bad-call",
        /// The proxy has not heard a coordinator yet, or one of another wire version only.
        /// Change: `cluster` in the filter's configuration, the coordinators' data port.
        NoFeed = "no-feed",
        /// The proxy knows no coordinator that answers.
        /// Change: Are coordinators up, and reachable from here?
        NoPeer = "no-peer",
        /// Neither the owner nor the next coordinator answered.
        /// Change: Are coordinators up, and reachable from here?
        PeersFailed = "peers-failed",
        /// The owner said pass, without a reason.
        /// Change: Look at the coordinator's metrics.
        Owner = "owner",
        /// The owner had no response.
        /// Change: `meshcache_requests_total{outcome="error"}` of the coordinators has the reason.
        OwnerError = "owner-error",
        /// Only counted: the owner said pass a moment ago. `Cache-Status` has its reason.
        /// Change: By that reason.
        Remembered = "remembered",
        /// Only counted: Envoy refused something.
        /// Change: Envoy's log.
        Host = "host",
        /// A fault of meshcache.
        /// Change: Please report it.
        Internal = "internal",
    }
}

impl Reason {
    /// Returns what it means, as docs/reasons.md has it.
    pub fn meaning(self) -> &'static str {
        self.doc().split(" Change: ").next().unwrap_or_default().trim()
    }

    /// Returns what to change so that it does not come up, as docs/reasons.md has it.
    pub fn change(self) -> &'static str {
        self.doc().split(" Change: ").nth(1).unwrap_or_default().trim()
    }
}
