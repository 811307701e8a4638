//! Why a request is not answered from the cache, or not as usual: one word for each thing, in Cache-Status, on the
//! wire, in metrics and logs.
//!
//! docs/reasons.md says what each means and what to change.

use std::{fmt, ops::Deref};

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $word:literal,)*) => {
        /// A reason. The word of a variant is the detail in Cache-Status, the reason on the wire, the label of metrics and the word in logs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])* $variant,)* }

        impl Reason {
            /// Every one.
            pub const ALL: [Self; [$($word),*].len()] = [$(Self::$variant),*];

            /// Its word.
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
    /// Its path is one of ours.
    ControlPath = "control-path",
    /// It has been through this cache already.
    Loop = "loop",
    /// Its authority is missing, or no host name.
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
    /// Its head has more lines than we take.
    HeaderLines = "header-lines",
    /// Its head is larger than a coordinator takes, with what a question adds to it.
    RequestHeadTooLarge = "request-head-too-large",
    /// A header's value is not UTF-8: it cannot be sent in a question.
    NotText = "not-text",

    // What the configuration says.
    /// No group names its host.
    NoGroup = "no-group",
    /// A group names its host, and none of these its path.
    NoPath = "no-path",
    /// The group is off.
    Off = "off",
    /// The group only observes.
    Observe = "observe",
    /// A header of the group's `bypass`.
    BypassHeader = "bypass-header",
    /// A cookie of the group's `bypass`.
    BypassCookie = "bypass-cookie",
    /// A query parameter of the group's `bypass`.
    BypassQuery = "bypass-query",
    /// A debugger's meshcache-bypass.
    Debugger = "debugger",
    /// The caller is not among the group's `callers`.
    Caller = "caller",
    /// Its route leads to no service (none matches, or it answers or redirects by itself), so that Envoy's own answer counts.
    Route = "route",
    /// A plain client's, that its group's `passThrough` does not send on.
    NotPassed = "not-passed",

    // What it asks for is for itself alone.
    /// It names its user, and the answer does not say that it is for everybody.
    Identity = "identity",
    /// It asks for a part.
    Range = "range",
    /// It has conditions that only the origin may judge.
    Conditional = "conditional",
    /// It said no-store, and the group obeys.
    RequestNoStore = "request-no-store",
    /// It said only-if-cached, and there is nothing.
    OnlyIfCached = "only-if-cached",

    // What the answer is.
    /// The answer said no-store.
    NoStore = "no-store",
    /// The answer said private.
    Private = "private",
    /// The answer sets a cookie.
    SetCookie = "set-cookie",
    /// A status that is not stored.
    Status = "status",
    /// `Vary: *`.
    Vary = "vary",
    /// No freshness and no validator.
    NoFreshness = "no-freshness",
    /// The body is larger than the group's limit, or than a proxy takes.
    TooLarge = "too-large",
    /// The answer is not complete, or of a kind that is never stored.
    Incomplete = "incomplete",
    /// It was purged while it was loaded.
    Purged = "purged",
    /// None of the answers that others loaded was for this request.
    NotShared = "not-shared",

    // The origin.
    /// No connection to it.
    Connect = "connect",
    /// No address for its name.
    Dns = "dns",
    /// No TLS with it.
    Tls = "tls",
    /// No answer in time.
    Timeout = "timeout",
    /// The connection broke before the answer's head was there.
    Reset = "reset",
    /// What came is not HTTP.
    BadResponse = "bad-response",
    /// The answer's head has more lines than we take, or a proxy.
    TooManyHeaders = "too-many-headers",
    /// The answer's head is larger than we take, or a proxy.
    HeadTooLarge = "head-too-large",
    /// 101, and nobody had asked for it.
    UnaskedUpgrade = "unasked-upgrade",
    /// The connection broke in the middle of the answer's body.
    IncompleteBody = "incomplete-body",
    /// The client stopped sending its body.
    IncompleteRequest = "incomplete-request",
    /// What is stored had to be confirmed, and there was no answer.
    MustRevalidate = "must-revalidate",
    /// A hot answer was given in place of the service's failure.
    OriginError = "origin-error",

    // How busy we are.
    /// No place for a load in time.
    Overload = "overload",
    /// More requests or bytes are under way than we hold.
    Full = "full",
    /// The load takes longer than a client waits for others.
    Slow = "slow",
    /// The owner was still loading when the time of two loads was over.
    TooSlow = "too-slow",

    // Coordinators and proxies.
    /// Another coordinator does not answer.
    Refused = "refused",
    /// Another coordinator has answered; a reason of its own that we do not know.
    Peer = "peer",
    /// The coordinator may have missed purges.
    PurgeLag = "purge-lag",
    /// Asker and answerer have other groups.
    Group = "group",
    /// A wire version that we do not understand.
    WireVersion = "wire-version",
    /// A question that we cannot read.
    BadQuestion = "bad-question",
    /// A call from a peer that lacks what it carries.
    BadCall = "bad-call",
    /// No coordinator has been heard yet.
    NoFeed = "no-feed",
    /// No coordinator is known that would answer.
    NoPeer = "no-peer",
    /// Neither the owner nor the next peer answered.
    PeersFailed = "peers-failed",
    /// The owner said pass, and gave no reason.
    Owner = "owner",
    /// The owner had no answer.
    OwnerError = "owner-error",
    /// The owner said pass a moment ago.
    Remembered = "remembered",
    /// Envoy refused something.
    Host = "host",
    /// Our own fault.
    Internal = "internal",
}

/// Words of earlier versions, which peers of such a version still send.
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

/// The longest word, bytes.
const LONGEST: usize = 32;

/// A word as it is said: one of [`Reason`]'s, one of RFC 9211's for `fwd`, or one of another version that we carry as
/// it came. A token, so that it may stand in a header, and of a bounded length. Empty: nothing is said.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Word {
    length: u8,
    bytes: [u8; LONGEST],
}

impl Word {
    /// Nothing is said.
    pub const NONE: Self = Self { length: 0, bytes: [0; LONGEST] };

    /// A word as somebody says it. What is no token, or too long, says nothing.
    pub fn read(word: &str) -> Self {
        let mut said = Self::NONE;
        let fits = word.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
        if let (true, Ok(length), Some(bytes)) = (fits, u8::try_from(word.len()), said.bytes.get_mut(..word.len())) {
            bytes.copy_from_slice(word.as_bytes());
            said.length = length;
        }
        said
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        self.bytes.get(..usize::from(self.length)).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    /// The reason that it is, if we know it.
    pub fn reason(&self) -> Option<Reason> {
        Reason::of(self.as_str())
    }
}

impl Deref for Word {
    type Target = str;
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl From<Reason> for Word {
    fn from(reason: Reason) -> Self {
        Self::read(reason.label())
    }
}

impl From<&str> for Word {
    fn from(word: &str) -> Self {
        Self::read(word)
    }
}

impl PartialEq<&str> for Word {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A reason as it goes on through a coordinator: one of ours, or what a peer of another version said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnyReason {
    /// One of ours.
    Own(Reason),
    /// A word that we do not know. It is carried as it came, and is no label of a metric.
    Foreign(Word),
}

impl AnyReason {
    /// A peer's word. One that says nothing is `peer`.
    pub fn from_peer(word: Word) -> Self {
        match word.reason() {
            Some(reason) => Self::Own(reason),
            None if word.is_empty() => Self::Own(Reason::Peer),
            None => Self::Foreign(word),
        }
    }

    /// Its word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Own(reason) => reason.label(),
            Self::Foreign(word) => word,
        }
    }

    /// The label of metrics: what a peer says never makes a new one.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Own(reason) => reason.label(),
            Self::Foreign(_) => Reason::Peer.label(),
        }
    }
}

impl From<Reason> for AnyReason {
    fn from(reason: Reason) -> Self {
        Self::Own(reason)
    }
}

impl From<AnyReason> for Word {
    fn from(said: AnyReason) -> Self {
        match said {
            AnyReason::Own(reason) => reason.into(),
            AnyReason::Foreign(word) => word,
        }
    }
}

impl PartialEq<Reason> for AnyReason {
    fn eq(&self, other: &Reason) -> bool {
        *self == Self::Own(*other)
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

    #[test]
    fn a_word_of_another_version_is_carried_as_it_came_if_it_is_a_short_token() {
        assert_eq!(Word::read("of-another-version"), "of-another-version");
        assert_eq!(Word::read(&"a".repeat(32)).len(), 32);
        for bad in [&"a".repeat(33)[..], "two words", "a\"b", "a;b", "\u{e9}", ""] {
            assert_eq!(Word::read(bad), Word::NONE, "{bad}");
        }
        let theirs = AnyReason::from_peer("of-another-version".into());
        assert_eq!((theirs.as_str(), theirs.label()), ("of-another-version", "peer"));
        assert_eq!(AnyReason::from_peer("private".into()), Reason::Private);
        assert_eq!(AnyReason::from_peer(Word::NONE), Reason::Peer);
    }

    #[test]
    fn a_word_of_an_earlier_version_is_read_as_todays() {
        let lag = AnyReason::from_peer("behind".into());
        assert_eq!((lag.as_str(), lag.label()), ("purge-lag", "purge-lag"));
        assert!(FORMER.iter().all(|(former, reason)| *former != reason.label()));
    }
}
