//! How long a response is fresh: the origin's word, then the group's (RFC 9111 section 4.2.1).
//!
//! One order: a targeted field, `s-maxage`, `max-age`, Expires, the heuristic, the group's `default`; then `min`,
//! `max`, `force`; `jitter` last. What the group gives counts from the response's arrival.

use super::{age, age::Times, control::Control, date, directive::Delta};
use crate::{
    groups::{Force, Group, Status},
    request::Response,
    status::is_provoked,
};
use serde::{Deserialize, Serialize};

/// Which rule gave a freshness lifetime.
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

    /// The rule of this word.
    pub fn of(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|why| why.label() == label)
    }

    /// The log word, and the detail in Cache-Status.
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

/// A freshness lifetime in milliseconds, and what gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lifetime {
    pub(super) millis: u64,
    pub(super) why: LifetimeRule,
}

/// A response as far as its lifetime depends on it.
pub(super) struct Subject<'a> {
    pub(super) group: &'a Group,
    pub(super) response: &'a Response<'a>,
    pub(super) control: &'a Control,
    /// Whether `control` comes from a targeted field.
    pub(super) targeted: bool,
    pub(super) times: Times,
    /// Its age on arrival, milliseconds.
    pub(super) age: u64,
    /// Whether the request names its user: then the group's own numbers do not hold.
    pub(super) named: bool,
}

impl Subject<'_> {
    /// What the origin says. `None`: nothing.
    pub(super) fn explicit(&self) -> Option<Lifetime> {
        let from = |millis: Option<u64>, why| {
            millis.map(|millis| Lifetime { millis, why: if self.targeted { LifetimeRule::Targeted } else { why } })
        };
        from(self.control.s_maxage.value(), LifetimeRule::SMaxage)
            .or_else(|| from(self.control.max_age.value(), LifetimeRule::MaxAge))
            .or_else(|| if self.targeted { None } else { from(self.expires(), LifetimeRule::Expires) })
    }

    /// Expires less Date; what cannot be read, or has come twice, as strictly as can be (section 5.3).
    fn expires(&self) -> Option<u64> {
        let now = self.times.arrived();
        let date = age::dates(self.response, now).max().unwrap_or(now);
        let expires = self.response.values("expires").map(|value| date::parse(value, now).unwrap_or(i64::MIN)).min()?;
        Some(u64::try_from(expires.saturating_sub(date)).unwrap_or(0).saturating_mul(1000))
    }

    /// A tenth of the time since the last modification (section 4.2.2).
    fn heuristic(&self) -> Option<u64> {
        let now = self.times.arrived();
        let date = age::dates(self.response, now).max().unwrap_or(now);
        let modified = self.response.values("last-modified").map(|value| date::parse(value, now)).next()??;
        Some(u64::try_from(date.saturating_sub(modified)).unwrap_or(0).saturating_mul(100))
    }

    /// The lifetime, `None` where nothing allows to store the response without one (section 3, last item).
    pub(super) fn lifetime(&self, random: u64) -> Option<Lifetime> {
        let fresh = &self.group.config().freshness;
        let own = !self.named && self.response.status < 400;
        let force = match fresh.force {
            Force::For(span) if own => Some(span.as_millis()),
            _ => None,
        };
        let chosen = match self.listed() {
            Some(millis) => self.since_arrival(millis, LifetimeRule::Status),
            None => match (self.explicit(), force) {
                (_, None) if !self.says_so() => return None,
                (Some(explicit), _) => explicit,
                (None, _) => self.silent(own),
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

    /// Whether something says that the response may be stored (section 3, the last item). A number that cannot be read
    /// says nothing.
    fn says_so(&self) -> bool {
        let Control { public, s_maxage, max_age, .. } = self.control;
        let number = matches!(s_maxage, Delta::Millis(_)) || matches!(max_age, Delta::Millis(_));
        *public
            || number
            || heuristically_cacheable(self.response.status)
            || (!self.targeted && self.response.value("expires").is_some())
    }

    /// For a response that says nothing about its freshness.
    fn silent(&self, own: bool) -> Lifetime {
        let fresh = &self.group.config().freshness;
        match self.heuristic() {
            Some(millis) if fresh.heuristic && millis > 0 => Lifetime { millis, why: LifetimeRule::Heuristic },
            _ if own && !self.control.no_cache => self.since_arrival(fresh.default.as_millis(), LifetimeRule::Default),
            _ => Lifetime { millis: 0, why: LifetimeRule::Default },
        }
    }

    /// What the group's `status` gives an error. An exact status counts before its class; a class does not name the
    /// statuses that RFC 6585 forbids to store.
    pub(super) fn listed(&self) -> Option<u64> {
        let status = self.response.status;
        if self.named {
            return None;
        }
        let all = &self.group.config().freshness.status;
        let span = all
            .get(&Status::Exactly(status))
            .or_else(|| if never_stored(status) { None } else { all.get(&Status::Class(status / 100)) });
        span.filter(|span| !span.is_zero()).map(|span| span.as_millis())
    }

    /// Whether an error may be stored at all: as `status` lists it, else as RFC 9111 has it where the group says so.
    /// What a request brought upon itself is nobody else's, whatever `status` lists.
    pub(super) fn admits_status(&self) -> bool {
        let (status, errors) = (self.response.status, self.group.config().freshness.errors);
        if is_provoked(status) && !errors.to_the_letter() {
            return false;
        }
        status < 400 || self.listed().is_some() || (errors.by_rfc() && !never_stored(status))
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
mod tests {
    use super::super::test_case::{LETTER, case};

    const DATE: (&str, &str) = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
    const IN_100: (&str, &str) = ("expires", "Sun, 06 Nov 1994 08:51:17 GMT");
    const ETAG: (&str, &str) = ("etag", "\"a\"");

    fn control(text: &str) -> (&str, &str) {
        ("cache-control", text)
    }

    #[test]
    fn the_first_that_is_there_gives_the_lifetime() {
        let modified = ("last-modified", "Sun, 06 Nov 1994 08:32:57 GMT");
        let group = r#"{"freshness": {"default": "9s", "heuristic": true}}"#;
        let all = [
            ("meshcache-control", "max-age=10, s-maxage=7"),
            control("s-maxage=20, max-age=30"),
            IN_100,
            modified,
            DATE,
        ];
        assert_eq!(case(&all).by(group).fresh(), ("targeted", 7000));
        assert_eq!(case(&all[1..]).by(group).fresh(), ("s-maxage", 20_000));
        assert_eq!(case(&[control("max-age=30"), IN_100, modified, DATE]).by(group).fresh(), ("max-age", 30_000));
        assert_eq!(case(&all[2..]).by(group).fresh(), ("expires", 100_000));
        assert_eq!(case(&all[3..]).by(group).fresh(), ("heuristic", 100_000));
        assert_eq!(case(&all[4..]).by(group).fresh(), ("default", 9000));
    }

    #[test]
    fn a_targeted_field_makes_cache_control_and_expires_count_for_nothing() {
        assert_eq!(
            case(&[("meshcache-control", "foo"), control("no-store, max-age=30"), IN_100, ETAG]).fresh(),
            ("default", 0)
        );
        assert_eq!(
            case(&[("cdn-cache-control", "max-age=10"), control("max-age=30")]).letter().fresh(),
            ("targeted", 10_000)
        );
        assert_eq!(case(&[("cdn-cache-control", "max-age=10"), control("max-age=30")]).fresh(), ("max-age", 30_000));
        assert!(case(&[("meshcache-control", "foo"), control("public"), IN_100, ETAG]).status(302).store().is_err());
    }

    #[test]
    fn a_lifetime_that_cannot_be_read_is_none_and_nothing_after_it_counts() {
        for text in
            ["max-age=x", "s-maxage=x, max-age=60", "max-age", "max-age=-1", "max-age=1.5", "max-age=60, max-age=x"]
        {
            assert_eq!(case(&[control(text), IN_100, ETAG]).letter().store().unwrap().lifetime, 0, "{text}");
        }
    }

    #[test]
    fn expires_is_counted_from_date_and_from_arrival_without_one() {
        let late = ("date", "Sun, 06 Nov 1994 08:50:37 GMT");
        assert_eq!(case(&[IN_100, late]).store().unwrap().lifetime, 40_000);
        assert_eq!(case(&[IN_100]).store().unwrap().lifetime, 100_000);
        assert_eq!(case(&[IN_100, ("date", "now")]).store().unwrap().lifetime, 100_000);
    }

    #[test]
    fn expires_that_is_no_date_has_passed_and_of_several_the_first_in_time_counts() {
        for text in [
            "0",
            "-1",
            "",
            "soon",
            "Sun, 06 Nov 1994 08:51:17",
            "Sun, 06 Nov 1994 08:51:17 CET",
            "784111877",
            "Sat, 05 Nov 1994 08:51:17 GMT",
        ] {
            assert_eq!(case(&[("expires", text), DATE, ETAG]).letter().fresh(), ("expires", 0), "{text}");
        }
        assert_eq!(case(&[IN_100, ("expires", "Sun, 06 Nov 1994 08:50:17 GMT")]).fresh(), ("expires", 40_000));
        assert_eq!(case(&[IN_100, ("expires", "0"), ETAG]).fresh(), ("expires", 0));
    }

    #[test]
    fn the_age_on_arrival_is_taken_from_the_lifetime() {
        assert_eq!(case(&[control("max-age=60"), ("age", "15")]).fresh(), ("max-age", 45_000));
        assert_eq!(
            case(&[control("max-age=60"), ("date", "Sun, 06 Nov 1994 08:49:17 GMT")]).fresh(),
            ("max-age", 40_000)
        );
        assert_eq!(case(&[control("max-age=60"), ("age", "70"), ETAG]).fresh(), ("max-age", -10_000));
    }

    #[test]
    fn a_heuristic_is_a_tenth_of_the_time_since_modification_and_never_beside_explicit_freshness() {
        let modified = ("last-modified", "Sun, 06 Nov 1994 08:32:57 GMT");
        assert_eq!(case(&[modified, DATE]).letter().fresh(), ("heuristic", 100_000));
        assert_eq!(case(&[modified, control("public")]).letter().status(302).fresh(), ("heuristic", 100_000));
        assert_eq!(case(&[modified, control("max-age=0")]).letter().fresh(), ("max-age", 0));
        assert_eq!(case(&[modified, ("expires", "0")]).letter().fresh(), ("expires", 0));
        assert_eq!(case(&[modified]).fresh(), ("default", 0));
        assert_eq!(case(&[("last-modified", "Sun, 06 Nov 1994 09:32:57 GMT"), ETAG]).letter().fresh(), ("default", 0));
        assert_eq!(case(&[("last-modified", "?"), ETAG]).letter().fresh(), ("default", 0));
    }

    #[test]
    fn the_default_is_for_answers_that_say_nothing() {
        let group = r#"{"freshness": {"default": "9s"}}"#;
        assert_eq!(case(&[]).by(group).fresh(), ("default", 9000));
        assert_eq!(case(&[("age", "100")]).by(group).fresh(), ("default", 9000));
        assert_eq!(case(&[control("max-age=0"), ETAG]).by(group).fresh(), ("max-age", 0));
        assert_eq!(case(&[control("no-cache"), ETAG]).by(group).fresh(), ("default", 0));
        assert!(case(&[]).by(group).status(302).store().is_err());
    }

    #[test]
    fn then_come_min_and_max_and_force() {
        let bounds = r#"{"freshness": {"default": "5s", "min": "10s", "max": "100s"}}"#;
        assert_eq!(case(&[]).by(bounds).fresh(), ("min", 10_000));
        assert_eq!(case(&[control("max-age=0")]).by(bounds).fresh(), ("min", 10_000));
        assert_eq!(case(&[control("max-age=50")]).by(bounds).fresh(), ("max-age", 50_000));
        assert_eq!(case(&[control("max-age=500")]).by(bounds).fresh(), ("max", 100_000));
        assert_eq!(case(&[control("max-age=500"), ("age", "450")]).by(bounds).fresh(), ("max-age", 50_000));
        let force = r#"{"freshness": {"min": "10s", "max": "100s", "force": "200s"}}"#;
        for text in ["max-age=500", "max-age=0", "no-cache", "must-revalidate"] {
            assert_eq!(case(&[control(text)]).by(force).fresh(), ("force", 200_000), "{text}");
        }
        assert_eq!(case(&[("age", "1000")]).by(force).status(302).fresh(), ("force", 200_000));
        assert!(!case(&[control("no-cache")]).by(force).store().unwrap().always_validate);
    }

    #[test]
    fn min_does_not_make_no_cache_usable_nor_a_status_storable() {
        let group = r#"{"freshness": {"min": "10s"}}"#;
        let stored = case(&[control("no-cache, max-age=5"), ETAG]).by(group).store().unwrap();
        assert!(stored.always_validate && stored.lifetime == 5000);
        assert!(case(&[]).by(group).status(302).store().is_err());
        assert_eq!(case(&[]).by(group).status(200).fresh(), ("min", 10_000));
    }

    #[test]
    fn jitter_shortens_what_is_left_by_up_to_its_share() {
        let mut jittered =
            case(&[("cache-control", "max-age=110"), ("age", "10")]).by(r#"{"freshness": {"jitter": "20%"}}"#);
        for (random, left) in [(0, 100_000), (u64::MAX / 2, 90_001), (u64::MAX, 80_001)] {
            jittered.random = random;
            assert_eq!(jittered.fresh(), ("max-age", left));
        }
    }

    #[test]
    fn a_huge_lifetime_is_as_long_as_can_be() {
        let group = r#"{"freshness": {"max": "36500d"}}"#;
        for text in ["max-age=2147483648", "max-age=99999999999999999999"] {
            assert_eq!(case(&[control(text)]).by(group).fresh(), ("max-age", 2_147_483_648_000), "{text}");
        }
        assert_eq!(case(&[control("max-age=99999999999999999999")]).by(LETTER).fresh(), ("max", 604_800_000));
    }
}
