//! The freshness of a stored response.

use super::lifetime::LifetimeRule;
use serde::{Deserialize, Serialize};

/// All that later decisions need of a stored response besides its header fields. Times in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// The status code.
    pub status: u16,
    /// Freshness lifetime.
    pub lifetime: u64,
    /// Age on arrival (RFC 9111 section 4.2.3, corrected_initial_age).
    pub initial_age: u64,
    /// How long past its freshness it may be given while it is revalidated; 0: not at all.
    pub while_revalidate: u64,
    /// How long past its freshness it may be given when the origin fails; 0: not at all.
    pub if_error: u64,
    /// `no-cache`: never given without validation.
    pub always_validate: bool,
    /// `must-revalidate`, `proxy-revalidate` or `s-maxage`: never given stale.
    pub must_revalidate: bool,
    /// `public`, `s-maxage` or `must-revalidate` (or the group shares it): may answer requests that name their user.
    pub for_everybody: bool,
    /// It has an ETag or Last-Modified.
    pub validator: bool,
    /// `immutable`: a client's reload does not ask the origin while it is fresh (RFC 8246).
    #[serde(default)]
    pub immutable: bool,
    /// It may be given stale at any age while the origin cannot be reached (RFC 9111 section 4.2.4).
    #[serde(default)]
    pub disconnected: bool,
    /// The rule that gave the lifetime.
    pub why: LifetimeRule,
}

impl Stored {
    /// Returns what is known of a response that is fresh for this lifetime, for everybody, and of no use after it.
    pub const fn fresh_for(status: u16, lifetime: u64) -> Self {
        Self {
            status,
            lifetime,
            initial_age: 0,
            while_revalidate: 0,
            if_error: 0,
            always_validate: false,
            must_revalidate: false,
            for_everybody: true,
            validator: false,
            immutable: false,
            disconnected: false,
            why: LifetimeRule::MaxAge,
        }
    }

    /// Returns its age after `resident` milliseconds in a store.
    pub fn age(&self, resident: u64) -> u64 {
        self.initial_age.saturating_add(resident)
    }

    /// Returns how much longer it is fresh. 0 or negative: how long it has been stale.
    pub fn ttl(&self, resident: u64) -> i64 {
        i64::try_from(self.lifetime)
            .unwrap_or(i64::MAX)
            .saturating_sub(i64::try_from(self.age(resident)).unwrap_or(i64::MAX))
    }

    /// Whether it is fresh after `resident` milliseconds in a store: its age is less than its lifetime (RFC 9111
    /// section 4.2).
    pub fn is_fresh(&self, resident: u64) -> bool {
        self.age(resident) < self.lifetime
    }

    /// Returns how long it has been stale; 0: it is fresh, or stale from now on.
    pub fn staleness(&self, resident: u64) -> u64 {
        self.age(resident).saturating_sub(self.lifetime)
    }

    /// Returns how long after its arrival it is of use: freshness, stale windows and, with a validator or where it may
    /// be given while the origin cannot be reached, another freshness lifetime (at least 10 s, at most 1 h).
    pub fn retention(&self) -> u64 {
        let fresh = self.lifetime.saturating_sub(self.initial_age);
        let stale = self.while_revalidate.max(self.if_error);
        let validation = if self.validator || self.disconnected { self.lifetime.clamp(10_000, 3_600_000) } else { 0 };
        fresh.saturating_add(stale).saturating_add(validation)
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_case::case;

    const FRESH: (&str, &str) = ("cache-control", "max-age=60");
    const ETAG: (&str, &str) = ("etag", "\"a\"");

    #[test]
    fn age_counts_on_and_ttl_goes_down_with_it() {
        let stored = case(&[FRESH, ("age", "10")]).store().unwrap();
        assert_eq!((stored.age(0), stored.age(49_999), stored.age(u64::MAX)), (10_000, 59_999, u64::MAX));
        assert_eq!(
            (stored.ttl(0), stored.ttl(49_999), stored.ttl(50_000), stored.ttl(70_000)),
            (50_000, 1, 0, -20_000)
        );
        assert_eq!((stored.is_fresh(49_999), stored.is_fresh(50_000)), (true, false));
        assert_eq!((stored.staleness(40_000), stored.staleness(50_000), stored.staleness(70_000)), (0, 0, 20_000));
    }

    #[test]
    fn an_entry_is_kept_through_its_windows_and_one_lifetime_more_for_validation() {
        assert_eq!(case(&[FRESH]).store().unwrap().retention(), 60_000);
        assert_eq!(case(&[FRESH, ("age", "10")]).store().unwrap().retention(), 50_000);
        assert_eq!(case(&[FRESH, ETAG]).store().unwrap().retention(), 120_000);
        assert_eq!(
            case(&[("cache-control", "max-age=1, stale-if-error=5"), ETAG]).store().unwrap().retention(),
            16_000
        );
        assert_eq!(
            case(&[FRESH]).letter().store().unwrap().retention(),
            120_000,
            "for the time when the origin is away"
        );
    }
}
