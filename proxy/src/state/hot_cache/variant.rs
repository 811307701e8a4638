//! One response in the hot cache.

use crate::http::cached_headers::CachedHeaders;
use arc_swap::{ArcSwap, Guard};
use meshcache_protocol::{
    cache_status::cache_status,
    freshness::{Selecting, Stored},
    wire::{Outcome, Verdict},
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

/// The bytes of a variant beside its parts.
const OVERHEAD: usize = 448;

/// One response of a key.
pub struct Variant {
    /// The digest of the rules under which it was stored.
    pub rules: Arc<str>,
    /// Its metadata. It is never given past `until`.
    pub stored: Stored,
    /// The requests that it is for.
    pub selecting: Selecting,
    /// Its fields, with Age and Cache-Status of the second in which it was given last.
    head: ArcSwap<StampedHead>,
    /// Its body.
    pub body: Arc<Vec<u8>>,
    /// When it arrived.
    pub arrived: u64,
    /// When its time in this cache ends. After that it only replaces a service's failure, until [`Variant::last_use`].
    pub until: u64,
    /// It was asked for since it was stored, or since its key was passed over.
    is_asked_for: AtomicBool,
    /// A later response has been stored under its key, or it was removed.
    has_later: AtomicBool,
    /// The bytes that it is taken for, always the same: stamps, which threads write at any time, do not change a sum.
    bytes: usize,
}

/// The fields of a response at one moment.
pub struct StampedHead {
    /// The seconds of age and of freshness in them. `None`: none yet.
    seconds: Option<(u64, i64)>,
    /// The fields.
    pub headers: CachedHeaders,
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
        let parts = [headers.size(), body.capacity(), selecting.bytes()];
        let bytes = parts.iter().fold(OVERHEAD, |sum, part| sum.saturating_add(*part));
        let head = ArcSwap::from_pointee(StampedHead { seconds: None, headers });
        let (is_asked_for, has_later) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { rules, stored, selecting, head, body, arrived, until, is_asked_for, has_later, bytes }
    }

    /// When it may no longer replace a service's failure either.
    pub fn last_use(&self) -> u64 {
        let fresh = self.stored.lifetime.saturating_sub(self.stored.initial_age);
        let window = if self.stored.if_error > 0 { fresh.saturating_add(self.stored.if_error) } else { 0 };
        self.until.max(self.arrived.saturating_add(window))
    }

    /// Returns its fields, whatever Age and Cache-Status they have.
    pub fn head(&self) -> Guard<Arc<StampedHead>> {
        self.head.load()
    }

    /// Returns its fields with Age and Cache-Status of now. They hold for a whole second, so they are rarely written.
    pub fn stamped(&self, installation: &str, now: u64) -> Guard<Arc<StampedHead>> {
        let resident = now.saturating_sub(self.arrived);
        let (age, ttl) = (self.stored.age(resident) / 1000, self.stored.ttl(resident));
        let seconds = Some((age, ttl.div_euclid(1000)));
        let head = self.head.load();
        if head.seconds == seconds {
            return head;
        }
        let headers = head.headers.stamped(age, &cache_status(installation, &self.verdict(now), "proxy", None));
        let stamped = Arc::new(StampedHead { seconds, headers });
        self.head.store(stamped.clone());
        Guard::from_inner(stamped)
    }

    /// Returns until when Age and Cache-Status of now hold, at most as long as it may be given.
    pub fn stamp_ends(&self, now: u64) -> u64 {
        let resident = now.saturating_sub(self.arrived);
        let age = self.stored.age(resident) % 1000;
        let ttl = u64::try_from(self.stored.ttl(resident).rem_euclid(1000)).unwrap_or(0);
        now.saturating_add(1000_u64.saturating_sub(age).min(ttl.saturating_add(1))).min(self.until)
    }

    /// Returns whether it is the response that was stored last under its key, and still there.
    pub fn is_latest(&self) -> bool {
        !self.has_later.load(Relaxed)
    }

    pub(super) fn note_later(&self) {
        self.has_later.store(true, Relaxed);
    }

    /// Records that it was asked for. Mostly that is known, and nothing is written that other threads read.
    pub(super) fn note_use(&self) {
        if !self.is_asked_for.load(Relaxed) {
            self.is_asked_for.store(true, Relaxed);
        }
    }

    pub(super) fn is_asked_for(&self) -> bool {
        self.is_asked_for.load(Relaxed)
    }

    pub(super) fn forget_use(&self) {
        self.is_asked_for.store(false, Relaxed);
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
        self.bytes
    }
}
