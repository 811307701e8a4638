//! One response in the hot cache.

use crate::http::cached_headers::CachedHeaders;
use meshcache_protocol::{
    cache_status::cache_status,
    freshness::{Selecting, Stored},
    wire::{Outcome, Verdict},
};
use std::sync::Arc;

/// The bytes of a variant beside its parts.
const OVERHEAD: usize = 384;

/// One response of a key.
pub struct Variant {
    /// The digest of the rules under which it was stored.
    pub rules: Arc<str>,
    /// Its metadata. It is never given past `until`.
    pub stored: Stored,
    /// The requests that it is for.
    pub selecting: Selecting,
    /// Its fields.
    pub headers: CachedHeaders,
    /// Its body.
    pub body: Arc<Vec<u8>>,
    /// When it arrived.
    pub arrived: u64,
    /// When its time in this cache ends. After that it only replaces a service's failure, until [`Variant::last_use`].
    pub until: u64,
    /// The seconds of age and of freshness in its headers.
    stamped: Option<(u64, i64)>,
}

impl Variant {
    /// A response that arrived now and may be given until then.
    pub fn new(
        rules: Arc<str>,
        stored: Stored,
        selecting: Selecting,
        headers: CachedHeaders,
        body: Arc<Vec<u8>>,
        arrived: u64,
        until: u64,
    ) -> Self {
        Self { rules, stored, selecting, headers, body, arrived, until, stamped: None }
    }

    /// When it may no longer replace a service's failure either.
    pub fn last_use(&self) -> u64 {
        let fresh = self.stored.lifetime.saturating_sub(self.stored.initial_age);
        let window = if self.stored.if_error > 0 { fresh.saturating_add(self.stored.if_error) } else { 0 };
        self.until.max(self.arrived.saturating_add(window))
    }

    /// Writes Age and Cache-Status of now into its headers. They hold for a whole second, so this is rarely necessary.
    pub fn stamp(&mut self, installation: &str, now: u64) -> &CachedHeaders {
        let resident = now.saturating_sub(self.arrived);
        let (age, ttl) = (self.stored.age(resident) / 1000, self.stored.ttl(resident));
        let second = ttl.div_euclid(1000);
        if self.stamped != Some((age, second)) {
            self.headers.stamp(age, &cache_status(installation, &self.verdict(now), "proxy", None));
            self.stamped = Some((age, second));
        }
        &self.headers
    }

    /// Returns the verdict of giving it now.
    pub fn verdict(&self, now: u64) -> Verdict {
        let resident = now.saturating_sub(self.arrived);
        let mut verdict = Verdict::new(Outcome::Hit);
        (verdict.ttl, verdict.age) = (self.stored.ttl(resident), self.stored.age(resident));
        verdict.why = Some(self.stored.why);
        verdict
    }

    /// Returns the bytes that it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        let parts = [self.headers.size(), self.body.capacity(), self.selecting.bytes()];
        parts.iter().fold(OVERHEAD, |sum, part| sum.saturating_add(*part))
    }
}
