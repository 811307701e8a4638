//! Hot copies: responses of keys that other coordinators own, for those that are asked for often.

use crate::store::{
    Store,
    entry::Entry,
    purge_guard::PurgeGuard,
    quota::{HOT_FRACTION, Quota},
    table::{CacheType, Tables},
};
use meshcache_protocol::Key;
use std::sync::{Arc, atomic::Ordering::Relaxed};

/// The lookups of a key that make it hot, among the last ones of all keys.
const OFTEN: u8 = 2;
/// One response takes at most this part of what hot copies may take.
const LARGEST_FRACTION: u64 = 4;

impl Store {
    /// Returns the newest useful hot copy of a key that fits, and records that the key was asked for.
    pub(crate) fn get_hot(
        &self,
        quota: &Quota,
        key: &Key,
        now: u64,
        fits: impl Fn(&Entry) -> bool,
    ) -> Option<Arc<Entry>> {
        self.uses.record(sketched(key.hash().high()));
        self.get_of(CacheType::Hot, quota, key, now, fits)
    }

    /// Returns the useful hot copies of a key, without counting this as a use.
    pub(crate) fn peek_hot(&self, quota: &Quota, key: &Key, now: u64) -> Vec<Arc<Entry>> {
        let found = self.entries_under(quota.table(CacheType::Hot), key.hash(), now);
        found.filter(|(held, ..)| held == key).map(|(_, entries, _)| entries).unwrap_or_default()
    }

    /// Returns whether a key is asked for so often that a copy of its response is worth its place.
    pub(crate) fn is_hot(&self, key: &Key) -> bool {
        self.uses.estimate(sketched(key.hash().high())) >= OFTEN
    }

    /// Stores a hot copy, unless a purge since the begin of its load matches it, or it would take the place of a copy
    /// that is asked for as often.
    pub(crate) fn put_hot(&self, quota: &Quota, load: &PurgeGuard, entry: Arc<Entry>, now: u64) -> bool {
        let frequency = self.uses.estimate(sketched(load.key().hash().high()));
        let limit = self.limit / HOT_FRACTION;
        let own_limit = quota.limit_of(CacheType::Hot).min(limit);
        let entry = self.pack(quota, &entry, load.key());
        let bytes = entry.bytes();
        if bytes > own_limit / LARGEST_FRACTION {
            return false;
        }
        let lacking = || {
            let own = quota.counters(CacheType::Hot).used.load(Relaxed) + bytes > own_limit;
            let any = self.hot_used() + bytes > limit;
            (own || any).then_some(Tables { quota: own.then_some(quota.id), cache_type: Some(CacheType::Hot) })
        };
        self.loads.store_unless_purged(load, &entry.clone(), || {
            let fits = self.evict_while(lacking, now, |key| self.uses.estimate(sketched(key.place)) < frequency)
                && self.make_room(quota, bytes, now, None);
            if fits {
                self.insert(CacheType::Hot, quota, load.key(), entry, now, None);
            }
            fits
        })
    }

    /// Returns the bytes of all hot copies.
    fn hot_used(&self) -> u64 {
        self.quotas.read().iter().map(|quota| quota.counters(CacheType::Hot).used.load(Relaxed)).sum()
    }
}

/// Spreads the half of a hash by which a key is placed over all bits that the sketch of uses takes.
pub(super) const fn sketched(place: u64) -> u128 {
    let mixed = (place ^ (place >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (place as u128) << 64 | (mixed ^ (mixed >> 32)) as u128
}
