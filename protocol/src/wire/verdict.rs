//! The verdict: how a coordinator answered a question.

use crate::{
    freshness::{LifetimeRule, Stored},
    reason::Word,
};
use std::fmt;

/// How a question was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// From the store, fresh.
    Hit,
    /// From the store, past its freshness.
    Stale,
    /// Loaded from the origin now.
    Miss,
    /// From the store, revalidated with the origin now.
    Revalidated,
    /// The load is not finished: the proxy asks again.
    Loading,
    /// The proxy sends the request to the service itself.
    Pass,
    /// The owner failed to get a response.
    Error,
}

impl Outcome {
    /// All outcomes.
    pub const ALL: [Self; 7] =
        [Self::Hit, Self::Stale, Self::Miss, Self::Revalidated, Self::Loading, Self::Pass, Self::Error];

    /// Returns the word on the wire, in logs and in metrics.
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

    /// Whether a response for the client comes with it.
    pub const fn has_response(self) -> bool {
        matches!(self, Self::Hit | Self::Stale | Self::Miss | Self::Revalidated)
    }
}

/// The value of [`header::OUTCOME`](super::header::OUTCOME): `hit; ttl=26500; age=3500; shared`,
/// `pass; reason=private; for=10000`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How the question was answered.
    pub outcome: Outcome,
    /// A reason, or the word for `fwd` in Cache-Status; empty: none.
    pub reason: Word,
    /// For a response: how much longer it is fresh, milliseconds. Negative: how long it has been stale.
    pub ttl: i64,
    /// For a response: its age, milliseconds.
    pub age: u64,
    /// For a response: how long past its freshness it may be given when the service fails, milliseconds; 0: not at
    /// all.
    pub if_error: u64,
    /// Whether the response may be given to other requests: a proxy may put it into its hot cache.
    pub shared: bool,
    /// Whether the response may also be given to requests that name their user.
    pub everybody: bool,
    /// Whether the question joined a load that was in progress.
    pub collapsed: bool,
    /// Whether the response was stored, for Cache-Status.
    pub stored: bool,
    /// The status of the origin's response; 0: the origin was not asked.
    pub fwd_status: u16,
    /// For a stored response: the rule that gave its lifetime, for debuggers.
    pub why: Option<LifetimeRule>,
    /// For a pass: how long the proxy remembers it for the key, milliseconds.
    pub remember: u64,
    /// For a pass that is remembered: the request fields, lower case and separated by commas, whose values have to be
    /// the same. Empty: it holds for every request of the key.
    pub vary: String,
    /// For `loading`: the number of the first flight whose response the proxy may have even if it may not be reused.
    /// The proxy sends it when it asks again. 0: none.
    pub flight: u64,
    /// For a response that was loaded now and may not be reused without validation: how long ago its load began,
    /// milliseconds. Requests that came later than that may not have it.
    pub load: Option<u64>,
    /// Whether all requests that wait now may have the response although it is not stored: a failure that is shared,
    /// or a response that `minUses` keeps out of the store.
    pub waiters: bool,
    /// For `loading`: one of the requests behind the question passes to the service, so that its client has the first
    /// byte while the owner's load goes on for all others. Given once a load, to a question with
    /// [`Question::leave`](super::Question::leave).
    pub leave: bool,
}

impl Verdict {
    /// Creates a verdict of this outcome alone.
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
            leave: false,
        }
    }

    /// Sets the reason.
    #[must_use]
    pub fn because(mut self, reason: impl Into<Word>) -> Self {
        self.reason = reason.into();
        self
    }

    /// Makes what is known of a response that its coordinator has stored. The coordinator has applied all rules: what
    /// is left is how long the response is fresh, how long after that it may replace a failed service's, and for
    /// whom.
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

    /// Reads a verdict and ignores unknown parameters. `None`: the outcome is unknown or a value cannot be read.
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
                "leave" => verdict.leave = true,
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
            ("leave", self.leave),
        ] {
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
        assert_eq!(Verdict::parse(b"loading; flight=7"), Some(loading.clone()));
        let leave = Verdict { leave: true, ..loading };
        assert_eq!(leave.to_string(), "loading; flight=7; leave");
        assert_eq!(Verdict::parse(b"loading; flight=7; leave"), Some(leave));
        for bad in [&b""[..], b"hop", b"hit; ttl=x", b"\xff"] {
            assert_eq!(Verdict::parse(bad), None);
        }
    }
}
