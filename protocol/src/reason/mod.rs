//! Why a request is not answered from the cache, or not as usual: one word for each cause, the same in Cache-Status, on
//! the wire, in metrics and in logs.
//!
//! docs/reasons.md says what each means and what to change.

mod word;

pub use word::{AnyReason, Word};

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $word:literal,)*) => {
        /// A reason. Its word is the detail in Cache-Status, the reason on the wire, the label of metrics and the word in
        /// logs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])* $variant,)* }

        impl Reason {
            /// All reasons.
            pub const ALL: [Self; [$($word),*].len()] = [$(Self::$variant),*];

            /// Returns its word.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
}

reasons! {
    // What the request is.
    /// Neither GET nor HEAD.
    Method = "method",
    /// It asks for another protocol.
    Upgrade = "upgrade",
    /// It has a body.
    Body = "body",
    /// It has Expect.
    Expect = "expect",
    /// It is a gRPC call.
    Grpc = "grpc",
    /// It asks for a stream of events.
    EventStream = "event-stream",
    /// Its path is below `/.meshcache/`.
    ControlPath = "control-path",
    /// It has been through this cache already.
    Loop = "loop",
    /// Its authority is missing or not a host name.
    BadAuthority = "bad-authority",
    /// It has no Host, or more than one.
    BadHost = "bad-host",
    /// Its target is not in origin form.
    BadTarget = "bad-target",
    /// Two servers may read its path differently.
    AmbiguousPath = "ambiguous-path",
    /// Two servers may read a cookie of the key differently.
    AmbiguousCookie = "ambiguous-cookie",
    /// It cannot be sent as it is.
    BadRequest = "bad-request",
    /// Its head has more lines than a coordinator accepts.
    HeaderLines = "header-lines",
    /// Its head, with what a question adds to it, is larger than a coordinator accepts.
    RequestHeadTooLarge = "request-head-too-large",
    /// A header's value is not UTF-8: it cannot be sent in a question.
    NotText = "not-text",

    // What the configuration says.
    /// No group matches its host.
    NoGroup = "no-group",
    /// A group matches its host, and none of them its path.
    NoPath = "no-path",
    /// The group is off.
    Off = "off",
    /// The group only observes.
    Observe = "observe",
    /// It has a header of the group's `bypass`.
    BypassHeader = "bypass-header",
    /// It has a cookie of the group's `bypass`.
    BypassCookie = "bypass-cookie",
    /// It has a query parameter of the group's `bypass`.
    BypassQuery = "bypass-query",
    /// It has meshcache-bypass, and its caller is a debugger.
    Debugger = "debugger",
    /// The caller is not among the group's `callers`.
    Caller = "caller",
    /// No service answers its route: none matches, or the route itself answers or redirects.
    Route = "route",
    /// A plain client sent it, and its group's `passThrough` does not let it through.
    NotPassed = "not-passed",

    // Why it shares no load.
    /// It names its user, and the response may not be shared with others.
    Identity = "identity",
    /// It has Range.
    Range = "range",
    /// It has conditions that only the origin can evaluate.
    Conditional = "conditional",
    /// It has no-store, and the group obeys.
    RequestNoStore = "request-no-store",
    /// It has only-if-cached, and nothing is stored.
    OnlyIfCached = "only-if-cached",

    // What the response is.
    /// The response has no-store.
    NoStore = "no-store",
    /// The response has private.
    Private = "private",
    /// The response sets a cookie.
    SetCookie = "set-cookie",
    /// The response's status is not stored.
    Status = "status",
    /// The response has `Vary: *`.
    Vary = "vary",
    /// The response has no freshness and no validator.
    NoFreshness = "no-freshness",
    /// The body is larger than the group's limit, or than a proxy accepts.
    TooLarge = "too-large",
    /// The response is incomplete, or of a kind that is never stored.
    Incomplete = "incomplete",
    /// Too few requests for the key have come to store it.
    MinUses = "min-uses",
    /// It was purged while it was loading.
    Purged = "purged",
    /// No response that others loaded answers this request.
    NotShared = "not-shared",

    // The origin.
    /// It accepts no connection.
    Connect = "connect",
    /// Its name has no address.
    Dns = "dns",
    /// The TLS handshake failed.
    Tls = "tls",
    /// No response arrived in time.
    Timeout = "timeout",
    /// The connection broke before the response's head arrived.
    Reset = "reset",
    /// The response is not HTTP.
    BadResponse = "bad-response",
    /// The response's head has more lines than a coordinator or proxy accepts.
    TooManyHeaders = "too-many-headers",
    /// The response's head is larger than a coordinator or proxy accepts.
    HeadTooLarge = "head-too-large",
    /// The response is a 101 without an Upgrade in the request.
    UnaskedUpgrade = "unasked-upgrade",
    /// The connection broke within the response's body.
    IncompleteBody = "incomplete-body",
    /// The client stopped sending the request's body.
    IncompleteRequest = "incomplete-request",
    /// It wants a token, and the token server gives none.
    Token = "token",
    /// The stored response had to be revalidated, and the origin did not answer.
    MustRevalidate = "must-revalidate",
    /// A hot response was given in place of the service's failure.
    OriginError = "origin-error",
    /// A file changed while its slices were being read.
    NewVersion = "new-version",

    // Load.
    /// `maxLoads` were in progress for too long.
    Overload = "overload",
    /// Too many requests or bytes are in progress.
    Full = "full",
    /// The load takes longer than a client waits for a shared one.
    Slow = "slow",
    /// The load takes its time, and its owner let this one request pass: its client has the first byte early.
    Leave = "leave",
    /// The owner was still loading after the time of two loads.
    TooSlow = "too-slow",

    // Coordinators and proxies.
    /// Another coordinator does not respond.
    Refused = "refused",
    /// Another coordinator answered with a reason that this version does not know.
    Peer = "peer",
    /// The coordinator may have missed purges.
    PurgeLag = "purge-lag",
    /// Proxy and coordinator find different groups or rules.
    Group = "group",
    /// The wire version is not supported.
    WireVersion = "wire-version",
    /// The question cannot be read.
    BadQuestion = "bad-question",
    /// A peer's call lacks its content.
    BadCall = "bad-call",
    /// The proxy has no feed yet.
    NoFeed = "no-feed",
    /// The proxy knows no responsive coordinator.
    NoPeer = "no-peer",
    /// Neither the owner nor the next peer responded.
    PeersFailed = "peers-failed",
    /// The owner's verdict is pass, without a reason.
    Owner = "owner",
    /// The owner failed to get a response.
    OwnerError = "owner-error",
    /// The owner's last verdict was pass, and is remembered.
    Remembered = "remembered",
    /// A call into Envoy failed.
    Host = "host",
    /// An error of meshcache itself.
    Internal = "internal",
}

/// Words of earlier versions, which peers of those versions still send.
const FORMER: [(&str, Reason); 1] = [("behind", Reason::PurgeLag)];

impl Reason {
    /// Returns the reason of this word, or of a word that earlier versions use for it.
    pub fn of(word: &str) -> Option<Self> {
        let earlier = || FORMER.iter().find(|(former, _)| *former == word).map(|(_, reason)| *reason);
        Self::ALL.into_iter().find(|reason| reason.label() == word).or_else(earlier)
    }
}

impl PartialEq<&str> for Reason {
    fn eq(&self, other: &&str) -> bool {
        self.label() == *other
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_reason_is_in_the_page_and_every_word_of_the_page_is_a_reason() {
        let page = include_str!("../../../docs/reasons.md");
        let rows: Vec<Vec<&str>> = page
            .lines()
            .filter(|line| line.starts_with("| `"))
            .map(|line| line.trim_matches('|').split(" | ").collect())
            .collect();
        assert!(
            rows.iter().all(|row| row.len() == 3 && row.iter().all(|cell| !cell.trim().is_empty())),
            "word, meaning, what to change"
        );
        let documented: Vec<&str> = rows.iter().map(|row| row[0].trim().trim_matches('`')).collect();
        let once: BTreeSet<&str> = documented.iter().copied().collect();
        assert_eq!(once.len(), documented.len(), "a word has one row");
        assert_eq!(once, Reason::ALL.map(Reason::label).into());
    }

    #[test]
    fn each_word_is_one_reasons_and_fits_the_wire() {
        for reason in Reason::ALL {
            assert_eq!(Reason::of(reason.label()), Some(reason));
            assert_eq!(Word::from(reason).as_str(), reason.label());
        }
    }
}
