//! Hit-for-pass: requests that an owner passed lately. They pass at once, until the owner's time for it is over or a
//! response that may be shared arrives.

use crate::state::{
    lock::{read, write},
    side::Side,
};
use lru::LruCache;
use meshcache_protocol::{
    Hash, Key, Request,
    freshness::{HitForPass, NotCollapsed, Selecting, Vary},
    key::KeyRef,
    reason::Word,
    wire::Verdict,
};
use std::sync::{
    RwLock,
    atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

/// The most keys in the table.
const MAX_KEYS: usize = 2048;
/// The most bytes in the table.
const MAX_BYTES: usize = 1 << 20;
/// The largest key, and the most bytes of the fields by which a response varies. Larger ones are not remembered.
const MAX_KEY_BYTES: usize = 4096;
/// The bytes of an entry beside its key and its fields.
const ENTRY_OVERHEAD: usize = 128;

/// The passes of a proxy. Threads share it.
#[derive(Default)]
pub struct HitForPassTable {
    table: RwLock<Table>,
    /// The keys in the table. Mostly there are none, and a look-up ends here.
    len: AtomicUsize,
    /// The look-ups that had to wait for the lock.
    waits: AtomicU64,
}

/// The least recently recorded key makes room.
struct Table {
    passes: LruCache<Place, Passes>,
    bytes: usize,
}

type Place = (Hash, PassScope);

/// The passes of a key, with the owner's reasons.
struct Passes {
    key: Key,
    of_key: HitForPass<Word>,
}

/// The kind of requests that a pass holds for. A pass of a request that names its user says nothing about plain ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PassScope(Side, u8);

impl PassScope {
    /// The scope of a request on one side of the proxy. `alone`: why its lookup is not shared.
    pub fn new(side: Side, alone: Result<(), NotCollapsed>) -> Self {
        Self(side, alone.map_or_else(|why| (why as u8).saturating_add(1), |()| 0))
    }

    /// The scope of a plain request on the same side.
    const fn plain(self) -> Self {
        Self(self.0, 0)
    }
}

impl Default for Table {
    fn default() -> Self {
        Self { passes: LruCache::unbounded(), bytes: 0 }
    }
}

impl HitForPassTable {
    /// Records an owner's pass, for requests that agree with this one in the fields that the verdict names.
    pub fn record(&self, key: &Key, scope: PassScope, request: &Request<'_>, verdict: &Verdict, now: u64) {
        if verdict.remember > 0 {
            let until = now.saturating_add(verdict.remember);
            self.put(key, scope, (&verdict.vary, verdict.reason), request, until);
        }
    }

    fn put(&self, key: &Key, scope: PassScope, (vary, reason): (&str, Word), request: &Request<'_>, until: u64) {
        let vary = Vary::read(vary);
        if key.bytes().len() > MAX_KEY_BYTES || Selecting::of(&vary, request).bytes() > MAX_KEY_BYTES {
            return;
        }
        self.change(|table| {
            let mut of_key = table.take(key, scope).unwrap_or_default();
            of_key.remember(vary, request, reason, until);
            table.put_back(key, scope, of_key);
            while table.passes.len() > MAX_KEYS || table.bytes > MAX_BYTES {
                let Some((_, passes)) = table.passes.pop_lru() else { return };
                table.bytes = table.bytes.saturating_sub(passes.weight());
            }
        });
    }

    /// Returns the owner's reason if such a request passed lately.
    pub fn get(&self, key: KeyRef<'_>, scope: PassScope, request: &Request<'_>, now: u64) -> Option<Word> {
        if self.is_empty() {
            return None;
        }
        let table = read(&self.table, &self.waits);
        let passes = table.passes.peek(&(key.hash(), scope)).filter(|passes| key.is(&passes.key))?;
        passes.of_key.get(request, now).map(|(reason, _)| *reason)
    }

    /// Forgets the passes of requests with these selecting fields: a response that may be shared has arrived.
    pub fn forget(&self, key: &Key, scope: PassScope, selecting: &Selecting) {
        if self.is_empty() {
            return;
        }
        self.change(|table| {
            for scope in [scope, scope.plain()] {
                if let Some(mut of_key) = table.take(key, scope) {
                    of_key.forget(selecting);
                    table.put_back(key, scope, of_key);
                }
            }
        });
    }

    /// Forgets all passes, since the rules of the groups have changed.
    pub fn clear(&self) {
        self.change(|table| *table = Table::default());
    }

    /// Returns whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len.load(Relaxed) == 0
    }

    fn change(&self, change: impl FnOnce(&mut Table)) {
        let mut table = write(&self.table);
        change(&mut table);
        self.len.store(table.passes.len(), Relaxed);
    }
}

impl Table {
    fn take(&mut self, key: &Key, scope: PassScope) -> Option<HitForPass<Word>> {
        let place = (key.hash(), scope);
        // Another key with an equal hash makes room.
        let passes = self.passes.pop(&place)?;
        self.bytes = self.bytes.saturating_sub(passes.weight());
        (passes.key == *key).then_some(passes.of_key)
    }

    fn put_back(&mut self, key: &Key, scope: PassScope, of_key: HitForPass<Word>) {
        if !of_key.is_empty() {
            let passes = Passes { key: key.clone(), of_key };
            self.bytes = self.bytes.saturating_add(passes.weight());
            self.passes.put((key.hash(), scope), passes);
        }
    }
}

impl Passes {
    fn weight(&self) -> usize {
        self.key.bytes().len().saturating_add(self.of_key.bytes()).saturating_add(ENTRY_OVERHEAD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshcache_protocol::{Field, Reason};

    fn in_language<T>(language: &str, see: impl FnOnce(&Request<'_>) -> T) -> T {
        let fields: [Field<'_>; 1] = [(b"accept-language", language.as_bytes())];
        see(&Request::read(b"GET", b"http", b"h", b"/", &fields).unwrap())
    }

    #[test]
    fn a_pass_holds_for_its_time_and_its_kind_of_request() {
        let (passes, key) = (HitForPassTable::default(), Key::from_bytes(b"k".to_vec()));
        let (plain, inbound) = (PassScope::new(Side::Outbound, Ok(())), PassScope::new(Side::Inbound, Ok(())));
        in_language("de", |de| {
            passes.put(
                &key,
                PassScope::new(Side::Outbound, Err(NotCollapsed::Identity)),
                ("", Reason::Private.into()),
                de,
                1000,
            );
            assert!(
                passes.get(key.by_ref(), plain, de, 1).is_none(),
                "one client with a token must not empty the cache for all"
            );
            passes.put(&key, plain, ("", Reason::Private.into()), de, 1000);
            assert!(
                passes.get(key.by_ref(), plain, de, 999).is_some()
                    && passes.get(key.by_ref(), inbound, de, 999).is_none()
            );
            assert!(passes.get(key.by_ref(), plain, de, 1000).is_none());
        });
    }

    #[test]
    fn a_pass_of_one_variant_does_not_hold_for_others() {
        let (passes, key) = (HitForPassTable::default(), Key::from_bytes(b"k".to_vec()));
        let plain = PassScope::new(Side::Outbound, Ok(()));
        in_language("de", |de| passes.put(&key, plain, ("accept-language", Reason::Private.into()), de, 1000));
        assert!(in_language("de", |de| passes.get(key.by_ref(), plain, de, 1).is_some()));
        assert!(!in_language("en", |en| passes.get(key.by_ref(), plain, en, 1).is_some()));
    }

    #[test]
    fn passes_are_bounded_in_number_and_in_bytes() {
        let plain = PassScope::new(Side::Outbound, Ok(()));
        let key = |n: usize| Key::from_bytes(n.to_le_bytes().to_vec());
        let many = HitForPassTable::default();
        (0..3 * MAX_KEYS)
            .for_each(|n| in_language("de", |de| many.put(&key(n), plain, ("", Reason::Private.into()), de, 1000)));
        assert_eq!(many.len.load(Relaxed), MAX_KEYS);
        let large = HitForPassTable::default();
        for n in 0..1000 {
            in_language(&format!("{n:0>3900}"), |some| {
                large.put(&key(n / 10), plain, ("accept-language", Reason::Private.into()), some, 1000)
            });
            assert!(large.table.read().unwrap().bytes <= MAX_BYTES);
        }
        assert!(large.table.read().unwrap().bytes > MAX_BYTES / 2, "{}", large.table.read().unwrap().bytes);
        in_language(&"x".repeat(2 * MAX_KEY_BYTES), |long| {
            large.put(&key(7), plain, ("accept-language", Reason::Private.into()), long, 1000)
        });
        assert!(!in_language(&"x".repeat(2 * MAX_KEY_BYTES), |long| large
            .get(key(7).by_ref(), plain, long, 1)
            .is_some()));
        large.clear();
        assert_eq!(large.table.read().unwrap().bytes, 0);
    }
}
