//! What filter and coordinators say to each other: header names, a question's own headers, an answer's outcome.

use crate::{
    freshness::{LifetimeRule, Stored},
    reason::Word,
    request::Field,
};
use std::fmt;

pub use crate::forwarding::{HOP_BY_HOP, PREFIX, never_to_origin};

/// The wire version that this code speaks. A side also understands the one before it.
///
/// Filter N works with coordinators N-1 and N+1: a coordinator answers the feed of an older filter in that filter's
/// version ([`crate::feed::VERSION`] counts by itself), and
/// that of a later one in its own; a filter asks in the version in which it was answered. A question that comes in a
/// later version all the same is handed back, and goes to the service.
pub const VERSION: u32 = 1;
/// The oldest wire version that this code understands.
pub const OLDEST: u32 = 1;

/// Names of the headers, lower case.
pub mod header {
    /// The wire version and what a question says beside the client's own request ([`super::Question`]); its presence
    /// makes a request a question.
    pub const WIRE: &str = "meshcache-wire";
    /// The client's authority, on calls between coordinators (Host is the peer's name there).
    pub const AUTHORITY: &str = "meshcache-authority";
    /// The client's scheme, on calls between coordinators.
    pub const SCHEME: &str = "meshcache-scheme";
    /// The client's Authorization, on calls between coordinators (Authorization is the peer's token there).
    pub const AUTHORIZATION: &str = "meshcache-authorization";
    /// The [`crate::Route`] that the proxy chose for the request, for groups with `key.route`.
    pub const ROUTE: &str = "meshcache-route";
    /// The peer that Envoy's `override_host` policy is to reach, `ip:port`.
    pub const PEER: &str = "meshcache-peer";
    /// The answering coordinator's own data address in the ring, `ip:port`, on answers of the feed.
    pub const SELF: &str = "meshcache-self";
    /// The outcome, on every answer.
    pub const OUTCOME: &str = "meshcache-outcome";
    /// A client's wish to go past the cache; believed from `debuggers`.
    pub const BYPASS: &str = "meshcache-bypass";
    /// A client's wish for reasons and key in Cache-Status; believed from `debuggers`.
    pub const DEBUG: &str = "meshcache-debug";
    /// An origin's targeted cache control for us (RFC 9213): the only meshcache-* header of an origin that is read.
    pub const CONTROL: &str = "meshcache-control";
}

/// How an answer came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// From the store, fresh.
    Hit,
    /// From the store, past its freshness.
    Stale,
    /// Loaded now.
    Miss,
    /// From the store, confirmed by the origin now.
    Revalidated,
    /// Still loading: ask again.
    Loading,
    /// Go to the service yourself.
    Pass,
    /// The owner failed to get an answer.
    Error,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 7] =
        [Self::Hit, Self::Stale, Self::Miss, Self::Revalidated, Self::Loading, Self::Pass, Self::Error];

    /// The word on the wire, in logs and in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Miss => "miss",
            Self::Revalidated => "revalidated",
            Self::Loading => "loading",
            Self::Pass => "pass",
            Self::Error => "error",
        }
    }

    /// Whether the answer carries a response for the client.
    pub const fn has_response(self) -> bool {
        matches!(self, Self::Hit | Self::Stale | Self::Miss | Self::Revalidated)
    }
}

/// The value of [`header::OUTCOME`]: `hit; ttl=26500; age=3500; keep`, `pass; reason=private; for=10000`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How the answer came about.
    pub outcome: Outcome,
    /// Why: a reason, or what `fwd` is to say; empty where there is nothing to say.
    pub reason: Word,
    /// For a response: how much longer it is fresh. Negative: so long stale. Milliseconds.
    pub ttl: i64,
    /// For a response: its age. Milliseconds.
    pub age: u64,
    /// For a response: how long past its freshness it may be given when the service fails; 0: not at all.
    /// Milliseconds.
    pub if_error: u64,
    /// Whether others than the asker may have this answer: a proxy may put it into its hot cache.
    pub shared: bool,
    /// Whether it may also answer requests that name their user (the response says so): asked of a proxy's hot copy.
    pub everybody: bool,
    /// Whether this question joined a load that another had begun.
    pub collapsed: bool,
    /// Whether the answer was stored, for Cache-Status.
    pub stored: bool,
    /// The status of the origin's answer, where one was asked; 0 else.
    pub fwd_status: u16,
    /// For a stored response: which rule gave its lifetime, for debuggers.
    pub why: Option<LifetimeRule>,
    /// For a pass: how long the asker is to remember it for this key. Milliseconds.
    pub remember: u64,
    /// For a pass that is remembered: the request fields, lower case and separated by commas, whose values the memory
    /// is for. Empty: it is for every request of the key.
    pub vary: String,
    /// For `loading`: the number of the first flight whose answer the asker may have even if it may not be used again.
    /// It says so when it asks again. 0: not said.
    pub flight: u64,
    /// For a response that was loaded now and may not be used again without validation: how long ago its load began.
    /// Who asked later than that may not have it. Milliseconds.
    pub load: Option<u64>,
    /// Whether everybody who waits for it now may have this answer, whenever they came, although it is not stored: a
    /// failure that is shared.
    pub waiters: bool,
}

impl Verdict {
    /// An outcome with nothing else said.
    pub fn new(outcome: Outcome) -> Self {
        Self {
            outcome,
            reason: Word::NONE,
            ttl: 0,
            age: 0,
            if_error: 0,
            shared: false,
            everybody: false,
            collapsed: false,
            stored: false,
            fwd_status: 0,
            why: None,
            remember: 0,
            vary: String::new(),
            flight: 0,
            load: None,
            waiters: false,
        }
    }

    /// The same with a reason.
    #[must_use]
    pub fn because(mut self, reason: impl Into<Word>) -> Self {
        self.reason = reason.into();
        self
    }

    /// Makes what is known of a response that its coordinator has stored. The coordinator has applied all rules: what is
    /// left is how long the response is fresh, how long after that it may replace a failed service's, and for whom.
    pub fn to_stored(&self, status: u16) -> Stored {
        Stored {
            status,
            lifetime: self.age.saturating_add_signed(self.ttl),
            initial_age: self.age,
            while_revalidate: 0,
            if_error: self.if_error,
            always_validate: false,
            must_revalidate: self.if_error == 0,
            for_everybody: self.everybody,
            validator: false,
            immutable: false,
            disconnected: false,
            why: self.why.unwrap_or(LifetimeRule::MaxAge),
        }
    }

    /// Reads a verdict; unknown parameters are passed over, an unknown outcome is none.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(value).ok()?.split(';').map(str::trim);
        let word = parts.next()?;
        let mut verdict = Self::new(Outcome::ALL.into_iter().find(|o| o.label() == word)?);
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            match name {
                "reason" => verdict.reason = value.into(),
                "ttl" => verdict.ttl = value.parse().ok()?,
                "age" => verdict.age = value.parse().ok()?,
                "if-error" => verdict.if_error = value.parse().ok()?,
                "for" => verdict.remember = value.parse().ok()?,
                "fwd-status" => verdict.fwd_status = value.parse().ok()?,
                "why" => verdict.why = LifetimeRule::of(value),
                "vary" => verdict.vary = value.to_owned(),
                "flight" => verdict.flight = value.parse().ok()?,
                "load" => verdict.load = Some(value.parse().ok()?),
                "waiters" => verdict.waiters = true,
                "shared" => verdict.shared = true,
                "everybody" => verdict.everybody = true,
                "collapsed" => verdict.collapsed = true,
                "stored" => verdict.stored = true,
                _ => {}
            }
        }
        Some(verdict)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.outcome.label())?;
        if !self.reason.is_empty() {
            write!(f, "; reason={}", self.reason)?;
        }
        if self.outcome.has_response() {
            write!(f, "; ttl={}; age={}", self.ttl, self.age)?;
        }
        if let Some(why) = self.why {
            write!(f, "; why={}", why.label())?;
        }
        for (name, n) in [
            ("if-error", self.if_error),
            ("fwd-status", u64::from(self.fwd_status)),
            ("for", self.remember),
            ("flight", self.flight),
        ] {
            if n > 0 {
                write!(f, "; {name}={n}")?;
            }
        }
        if !self.vary.is_empty() {
            write!(f, "; vary={}", self.vary)?;
        }
        if let Some(load) = self.load {
            write!(f, "; load={load}")?;
        }
        for (name, is) in [
            ("shared", self.shared),
            ("everybody", self.everybody),
            ("collapsed", self.collapsed),
            ("stored", self.stored),
            ("waiters", self.waiters),
        ] {
            if is {
                write!(f, "; {name}")?;
            }
        }
        Ok(())
    }
}

/// What a question says beside the client's own request, as the value of [`header::WIRE`]: `1; group=shop;
/// ring=00c0ffee00c0ffee; patience=750; hop`. One header: each that a call carries costs both sides more than its words
/// do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// The asker's wire version.
    pub wire: u32,
    /// The group that the asker matched.
    pub group: String,
    /// The asking proxy's namespace, for short service names; empty where it has none.
    pub namespace: String,
    /// Whether the proxy verified a token of this request.
    pub verified: bool,
    /// The asker's ring version; 0: not said.
    pub ring: u64,
    /// The digest of the asker's rules for the group, opaque.
    pub rules: String,
    /// The asker's purge position ([`crate::purge::Position`]). Empty: none.
    pub purge: String,
    /// The marks of that position ([`crate::mark`]), from a proxy. Empty: none.
    pub marks: String,
    /// How long the asker waits for an answer, milliseconds; 0: no limit said.
    pub patience: u64,
    /// How long all for whom it is asked have been waiting already, milliseconds: what was loaded since then is
    /// theirs.
    pub waited: u64,
    /// What `loading` said: see [`Verdict::flight`]. 0: nothing.
    pub flight: u64,
    /// So long ago, milliseconds, the asker has seen an unsafe request for the key succeed: what is older is not given
    /// to it.
    pub changed: Option<u64>,
    /// Answer from here, ask no other peer.
    pub hop: bool,
    /// The [`crate::Route`] that the proxy chose, where the group's key wants it. In a header of its own
    /// ([`header::ROUTE`]): it has a space, and perhaps a `;`.
    pub route: Option<String>,
}

/// Why the meshcache-* headers of a request are no question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadQuestion {
    /// There is no wire header: an ordinary request.
    NotOne,
    /// A wire version that this code does not understand.
    Version(u32),
    /// The header of this name, or this word of the wire header, cannot be read.
    Unreadable(&'static str),
}

impl Question {
    /// A question of this wire version that says nothing.
    pub fn new() -> Self {
        Self { wire: VERSION, ..Self::default() }
    }

    /// Reads a question from a request's fields. Of a repeated header the first counts.
    pub fn read(fields: &[Field<'_>]) -> Result<Self, BadQuestion> {
        let get = |name: &'static str| match crate::request::values(fields, name).next() {
            Some(value) => std::str::from_utf8(value).map(Some).map_err(|_| BadQuestion::Unreadable(name)),
            None => Ok(None),
        };
        let mut question = Self::parse(get(header::WIRE)?.ok_or(BadQuestion::NotOne)?)?;
        question.route = get(header::ROUTE)?.map(str::to_owned);
        Ok(question)
    }

    /// Reads the value of the wire header. Words that this version does not know are passed over.
    pub fn parse(value: &str) -> Result<Self, BadQuestion> {
        fn number<T: std::str::FromStr>(name: &'static str, text: &str) -> Result<T, BadQuestion> {
            text.parse().map_err(|_| BadQuestion::Unreadable(name))
        }
        let mut words = value.split(';').map(str::trim);
        let wire = number(header::WIRE, words.next().unwrap_or_default())?;
        if !(OLDEST..=VERSION).contains(&wire) {
            return Err(BadQuestion::Version(wire));
        }
        let mut question = Self { wire, ..Self::default() };
        for word in words {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            match name {
                "group" => question.group = value.to_owned(),
                "namespace" => question.namespace = value.to_owned(),
                "verified" => question.verified = true,
                "ring" => {
                    question.ring = u64::from_str_radix(value, 16).map_err(|_| BadQuestion::Unreadable("ring"))?
                }
                "rules" => question.rules = value.to_owned(),
                "purge" => question.purge = value.to_owned(),
                "marks" => question.marks = value.to_owned(),
                "patience" => question.patience = number("patience", value)?,
                "waited" => question.waited = number("waited", value)?,
                "flight" => question.flight = number("flight", value)?,
                "changed" => question.changed = Some(number("changed", value)?),
                "hop" => question.hop = true,
                _ => {}
            }
        }
        Ok(question)
    }
}

impl fmt::Display for Question {
    /// What is empty is left out, and so is text that would end its word: it is no name of a group or a namespace.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.wire)?;
        for (name, text) in [
            ("group", &self.group),
            ("namespace", &self.namespace),
            ("rules", &self.rules),
            ("purge", &self.purge),
            ("marks", &self.marks),
        ] {
            if !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b';') {
                write!(f, "; {name}={text}")?;
            }
        }
        if self.ring != 0 {
            write!(f, "; ring={:016x}", self.ring)?;
        }
        for (name, n) in [("patience", self.patience), ("waited", self.waited), ("flight", self.flight)] {
            if n != 0 {
                write!(f, "; {name}={n}")?;
            }
        }
        if let Some(changed) = self.changed {
            write!(f, "; changed={changed}")?;
        }
        for (name, is) in [("verified", self.verified), ("hop", self.hop)] {
            if is {
                write!(f, "; {name}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_read_as_it_was_written() {
        let mut verdict = Verdict::new(Outcome::Miss).because("x");
        (verdict.ttl, verdict.age, verdict.shared, verdict.fwd_status) = (-5, 7, true, 200);
        (verdict.why, verdict.if_error) = (Some(LifetimeRule::SMaxage), 9);
        (verdict.load, verdict.waiters) = (Some(0), true);
        assert_eq!(
            verdict.to_string(),
            "miss; reason=x; ttl=-5; age=7; why=s-maxage; if-error=9; fwd-status=200; load=0; shared; waiters"
        );
        assert_eq!(Verdict::parse(verdict.to_string().as_bytes()), Some(verdict));
        let mut pass = Verdict::new(Outcome::Pass).because("private");
        pass.remember = 10_000;
        assert_eq!(Verdict::parse(b"pass; reason=private; for=10000; new-word=1"), Some(pass.clone()));
        pass.vary = "accept-language,x-a".into();
        assert_eq!(pass.to_string(), "pass; reason=private; for=10000; vary=accept-language,x-a");
        assert_eq!(Verdict::parse(pass.to_string().as_bytes()), Some(pass));
        let loading = Verdict { flight: 7, ..Verdict::new(Outcome::Loading) };
        assert_eq!(loading.to_string(), "loading; flight=7");
        assert_eq!(Verdict::parse(b"loading; flight=7"), Some(loading));
        for bad in [&b""[..], b"hop", b"hit; ttl=x", b"\xff"] {
            assert_eq!(Verdict::parse(bad), None);
        }
    }

    #[test]
    fn a_question_is_read_as_it_was_written() {
        let question = Question {
            wire: 1,
            group: "g".into(),
            namespace: "ns".into(),
            verified: true,
            ring: 0xabc,
            rules: "r".into(),
            purge: "p".into(),
            marks: "00000000000000ff".into(),
            patience: 750,
            waited: 40,
            flight: 7,
            changed: Some(0),
            hop: true,
            route: None,
        };
        let said = question.to_string();
        assert_eq!(
            said,
            "1; group=g; namespace=ns; rules=r; purge=p; marks=00000000000000ff; ring=0000000000000abc; patience=750; waited=40; flight=7; changed=0; verified; hop"
        );
        assert_eq!(Question::read(&[(b"meshcache-wire", said.as_bytes())]), Ok(question));
        assert_eq!(Question::read(&[]), Err(BadQuestion::NotOne));
        let sly = Question { namespace: "a; verified".into(), ..Question::new() };
        assert_eq!(sly.to_string(), "1");
        let read = |value: &'static [u8]| Question::read(&[(b"meshcache-wire", value)]);
        assert_eq!(read(b"99"), Err(BadQuestion::Version(99)));
        for (value, unreadable) in [
            (&b""[..], "meshcache-wire"),
            (b"\xff", "meshcache-wire"),
            (b"1; patience=-1", "patience"),
            (b"1; ring=x", "ring"),
        ] {
            assert_eq!(read(value), Err(BadQuestion::Unreadable(unreadable)));
        }
        assert_eq!(read(b"1; new-word=1;; hop"), Ok(Question { hop: true, ..Question::new() }));
    }
}
