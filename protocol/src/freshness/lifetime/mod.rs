//! How long a response is fresh: by the origin, then by the group (RFC 9111 section 4.2.1).
//!
//! A status that the group's `status` lists has that lifetime. Others in this order: a targeted field, `s-maxage`,
//! `max-age`, Expires, the heuristic, the group's `default`; then `min`, `max`, `force`. Then `max` for what is listed,
//! and `jitter` last. The group's lifetimes count from the response's arrival.

use super::{age, age::Times, control::Control, date, directive::Delta};
use crate::{
    groups::{Force, Group, Status},
    request::Response,
    status::is_provoked,
};
use serde::{Deserialize, Serialize};

/// The rule that gave a freshness lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LifetimeRule {
    /// A targeted field (RFC 9213).
    Targeted,
    /// `s-maxage`.
    SMaxage,
    /// `max-age`.
    MaxAge,
    /// Expires.
    Expires,
    /// A share of the age of Last-Modified.
    Heuristic,
    /// The group's `default`.
    Default,
    /// The group's `min`.
    Min,
    /// The group's `max`.
    Max,
    /// The group's `force`.
    Force,
    /// The group's `status`.
    Status,
}

impl LifetimeRule {
    const ALL: [Self; 10] = [
        Self::Targeted,
        Self::SMaxage,
        Self::MaxAge,
        Self::Expires,
        Self::Heuristic,
        Self::Default,
        Self::Min,
        Self::Max,
        Self::Force,
        Self::Status,
    ];

    /// Returns the rule of this word.
    pub fn of(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|why| why.label() == label)
    }

    /// Returns the word for logs and Cache-Status.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Targeted => "targeted",
            Self::SMaxage => "s-maxage",
            Self::MaxAge => "max-age",
            Self::Expires => "expires",
            Self::Heuristic => "heuristic",
            Self::Default => "default",
            Self::Min => "min",
            Self::Max => "max",
            Self::Force => "force",
            Self::Status => "status",
        }
    }
}

impl LifetimeRule {
    /// Returns where the lifetime is written: in which field of the response, or of the group.
    pub const fn place(self) -> &'static str {
        match self {
            Self::Heuristic => "freshness.heuristic",
            Self::Default => "freshness.default",
            Self::Min => "freshness.min",
            Self::Max => "freshness.max",
            Self::Force => "freshness.force",
            Self::Status => "freshness.status",
            Self::Targeted | Self::SMaxage | Self::MaxAge | Self::Expires => self.label(),
        }
    }
}

/// A freshness lifetime in milliseconds, and the rule that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lifetime {
    pub(super) millis: u64,
    pub(super) why: LifetimeRule,
}

/// What the group's `status` says of a response.
#[derive(Clone, Copy)]
pub(super) enum Listed {
    /// Nothing.
    No,
    /// It is not stored (`0s`).
    Never,
    /// Its lifetime, milliseconds.
    For(u64),
}

impl Listed {
    /// Returns the lifetime.
    pub(super) const fn millis(self) -> Option<u64> {
        match self {
            Self::For(millis) => Some(millis),
            Self::No | Self::Never => None,
        }
    }
}

/// A response, with all that its lifetime depends on.
pub(super) struct Subject<'a> {
    pub(super) group: &'a Group,
    pub(super) response: &'a Response<'a>,
    pub(super) control: &'a Control,
    /// Whether `control` comes from a targeted field.
    pub(super) targeted: bool,
    pub(super) times: Times,
    /// Its age on arrival, milliseconds.
    pub(super) age: u64,
    /// Whether the request names its user: then the group's lifetimes do not apply.
    pub(super) named: bool,
}

impl Subject<'_> {
    /// Returns the origin's lifetime. `None`: it gives none.
    pub(super) fn explicit(&self) -> Option<Lifetime> {
        let from = |millis: Option<u64>, why| {
            millis.map(|millis| Lifetime { millis, why: if self.targeted { LifetimeRule::Targeted } else { why } })
        };
        from(self.control.s_maxage.value(), LifetimeRule::SMaxage)
            .or_else(|| from(self.control.max_age.value(), LifetimeRule::MaxAge))
            .or_else(|| if self.targeted { None } else { from(self.expires(), LifetimeRule::Expires) })
    }

    /// Returns Expires less Date, milliseconds; the strictest reading of invalid and repeated fields (section 5.3).
    fn expires(&self) -> Option<u64> {
        let now = self.times.arrived();
        let date = age::dates(self.response, now).max().unwrap_or(now);
        let expires = self.response.values("expires").map(|value| date::parse(value, now).unwrap_or(i64::MIN)).min()?;
        Some(u64::try_from(expires.saturating_sub(date)).unwrap_or(0).saturating_mul(1000))
    }

    /// Returns a tenth of the time since the last modification, milliseconds (section 4.2.2).
    fn heuristic(&self) -> Option<u64> {
        let now = self.times.arrived();
        let date = age::dates(self.response, now).max().unwrap_or(now);
        let modified = self.response.values("last-modified").map(|value| date::parse(value, now)).next()??;
        Some(u64::try_from(date.saturating_sub(modified)).unwrap_or(0).saturating_mul(100))
    }

    /// Returns the lifetime. `None`: nothing permits to store the response (section 3, last item).
    pub(super) fn lifetime(&self, random: u64) -> Option<Lifetime> {
        let fresh = &self.group.config().freshness;
        let listed = self.listed().millis();
        let own = !self.named && self.response.status < 400 && listed.is_none();
        let force = match fresh.force {
            Force::For(span) if own => Some(span.as_millis()),
            _ => None,
        };
        let chosen = match listed {
            Some(millis) => self.since_arrival(millis, LifetimeRule::Status),
            None => match (self.explicit(), force) {
                (_, None) if !self.permits_storing() => return None,
                (Some(explicit), _) => explicit,
                (None, _) => self.implicit(own),
            },
        };
        let left = chosen.millis.saturating_sub(self.age);
        let (min, max) = (fresh.min.as_millis(), fresh.max.as_millis());
        let bounded = if own && !self.control.no_cache && left < min {
            self.since_arrival(min, LifetimeRule::Min)
        } else if left > max {
            self.since_arrival(max, LifetimeRule::Max)
        } else {
            chosen
        };
        let forced = force.map_or(bounded, |millis| self.since_arrival(millis, LifetimeRule::Force));
        let most = fresh.jitter.of(forced.millis.saturating_sub(self.age));
        let cut = u64::try_from(u128::from(most).saturating_mul(u128::from(random)) >> 64).unwrap_or(0);
        Some(Lifetime { millis: forced.millis.saturating_sub(cut), ..forced })
    }

    /// Whether something permits to store the response (section 3, last item). Invalid numbers do not.
    fn permits_storing(&self) -> bool {
        let Control { public, s_maxage, max_age, .. } = self.control;
        let number = matches!(s_maxage, Delta::Millis(_)) || matches!(max_age, Delta::Millis(_));
        *public
            || number
            || heuristically_cacheable(self.response.status)
            || (!self.targeted && self.response.value("expires").is_some())
    }

    /// Returns the lifetime of a response whose origin gives none.
    fn implicit(&self, own: bool) -> Lifetime {
        let fresh = &self.group.config().freshness;
        match self.heuristic() {
            Some(millis) if fresh.heuristic && millis > 0 => Lifetime { millis, why: LifetimeRule::Heuristic },
            _ if own && !self.control.no_cache => self.since_arrival(fresh.default.as_millis(), LifetimeRule::Default),
            _ => Lifetime { millis: 0, why: LifetimeRule::Default },
        }
    }

    /// Returns what the group's `status` says. An exact status counts before its class; a class does not include parts
    /// and the statuses that RFC 6585 forbids to store. A lifetime is not for a request that names its user.
    pub(super) fn listed(&self) -> Listed {
        let (status, all) = (self.response.status, &self.group.config().freshness.status);
        let is_alone = never_stored(status) || status == 206;
        let class = || if is_alone { None } else { all.get(&Status::Class(status / 100)) };
        match all.get(&Status::Exactly(status)).or_else(class) {
            Some(span) if span.is_zero() => Listed::Never,
            Some(span) if !self.named => Listed::For(span.as_millis()),
            _ => Listed::No,
        }
    }

    /// Whether a status may be stored: no error, or one in the group's `status`, or under RFC 9111 where the group
    /// follows it. Errors that a request may cause itself are stored only where they are listed and requests are
    /// anonymous, or to the letter of RFC 9111.
    pub(super) fn admits_status(&self) -> bool {
        let (status, errors) = (self.response.status, self.group.config().freshness.errors);
        match self.listed() {
            Listed::Never => false,
            Listed::For(_) => !is_provoked(status) || self.group.is_anonymous() || errors.to_the_letter(),
            Listed::No if is_provoked(status) && !errors.to_the_letter() => false,
            Listed::No => status < 400 || (errors.by_rfc() && !never_stored(status)),
        }
    }

    fn since_arrival(&self, millis: u64, why: LifetimeRule) -> Lifetime {
        Lifetime { millis: self.age.saturating_add(millis), why }
    }
}

/// Statuses that may be stored without explicit freshness (RFC 9110 section 15.1, RFC 7725 section 3).
pub(super) const fn heuristically_cacheable(status: u16) -> bool {
    matches!(status, 200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 451 | 501)
}

/// Statuses whose caching this code understands, for must-understand: the final ones of RFC 9110, but for 304, and 451.
pub(super) const fn understood(status: u16) -> bool {
    matches!(status, 200..=206 | 300..=303 | 305 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 451 | 500..=505)
}

/// RFC 6585 forbids to store these.
const fn never_stored(status: u16) -> bool {
    matches!(status, 428 | 429 | 431 | 511)
}

#[cfg(test)]
mod tests;
