//! Hit-for-pass: requests that an owner passed lately. They pass at once, until the owner's time for it is over or a
//! response that may be shared arrives.

use crate::state::listener_config::Side;
use lru::LruCache;
use meshcache_protocol::{
    Key, Request,
    freshness::{HitForPass, NotCollapsed, Selecting, Vary},
    reason::Word,
    wire::Verdict,
};

/// The most keys in the table.
const MAX_KEYS: usize = 2048;
/// The most bytes in the table.
const MAX_BYTES: usize = 1 << 20;
/// The largest key, and the most bytes of the fields by which a response varies. Larger ones are not remembered.
const MAX_KEY_BYTES: usize = 4096;
/// The bytes of an entry beside its key and its fields.
const ENTRY_OVERHEAD: usize = 128;

/// The passes of one worker. The least recently used key makes room.
pub struct HitForPassTable {
    /// With the owner's reason.
    passes: LruCache<(Vec<u8>, PassScope), HitForPass<Word>>,
    bytes: usize,
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

impl Default for HitForPassTable {
    fn default() -> Self {
        Self { passes: LruCache::unbounded(), bytes: 0 }
    }
}

impl HitForPassTable {
    /// Records an owner's pass, for requests that agree with this one in the fields that the verdict names.
    pub fn record(&mut self, key: &Key, scope: PassScope, request: &Request<'_>, verdict: &Verdict, now: u64) {
        if verdict.remember > 0 {
            let until = now.saturating_add(verdict.remember);
            self.put(key, scope, (&verdict.vary, verdict.reason), request, until);
        }
    }

    fn put(&mut self, key: &Key, scope: PassScope, (vary, reason): (&str, Word), request: &Request<'_>, until: u64) {
        let vary = Vary::read(vary);
        if key.bytes().len() > MAX_KEY_BYTES || Selecting::of(&vary, request).bytes() > MAX_KEY_BYTES {
            return;
        }
        let place = (key.bytes().to_vec(), scope);
        let mut of_key = self.take(&place).unwrap_or_default();
        of_key.remember(vary, request, reason, until);
        self.put_back(place, of_key);
        while self.passes.len() > MAX_KEYS || self.bytes > MAX_BYTES {
            let Some((place, of_key)) = self.passes.pop_lru() else { return };
            self.bytes = self.bytes.saturating_sub(weight(&place, &of_key));
        }
    }

    /// Returns the owner's reason if such a request passed lately.
    pub fn get(&mut self, key: &Key, scope: PassScope, request: &Request<'_>, now: u64) -> Option<Word> {
        if self.passes.is_empty() {
            return None;
        }
        let place = (key.bytes().to_vec(), scope);
        self.passes.get(&place).and_then(|of_key| of_key.get(request, now)).map(|(reason, _)| *reason)
    }

    /// Forgets the passes of requests with these selecting fields: a response that may be shared has arrived.
    pub fn forget(&mut self, key: &Key, scope: PassScope, selecting: &Selecting) {
        if self.passes.is_empty() {
            return;
        }
        for scope in [scope, scope.plain()] {
            let place = (key.bytes().to_vec(), scope);
            if let Some(mut of_key) = self.take(&place) {
                of_key.forget(selecting);
                self.put_back(place, of_key);
            }
        }
    }

    /// Forgets all passes, since the rules of the groups have changed.
    pub fn clear(&mut self) {
        self.passes.clear();
        self.bytes = 0;
    }

    fn take(&mut self, place: &(Vec<u8>, PassScope)) -> Option<HitForPass<Word>> {
        let of_key = self.passes.pop(place)?;
        self.bytes = self.bytes.saturating_sub(weight(place, &of_key));
        Some(of_key)
    }

    fn put_back(&mut self, place: (Vec<u8>, PassScope), of_key: HitForPass<Word>) {
        if !of_key.is_empty() {
            self.bytes = self.bytes.saturating_add(weight(&place, &of_key));
            self.passes.put(place, of_key);
        }
    }
}

fn weight(place: &(Vec<u8>, PassScope), of_key: &HitForPass<Word>) -> usize {
    place.0.len().saturating_add(of_key.bytes()).saturating_add(ENTRY_OVERHEAD)
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
        let (mut passes, key) = (HitForPassTable::default(), Key::from_bytes(b"k".to_vec()));
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
                passes.get(&key, plain, de, 1).is_none(),
                "one client with a token must not empty the cache for all"
            );
            passes.put(&key, plain, ("", Reason::Private.into()), de, 1000);
            assert!(passes.get(&key, plain, de, 999).is_some() && passes.get(&key, inbound, de, 999).is_none());
            assert!(passes.get(&key, plain, de, 1000).is_none());
        });
    }

    #[test]
    fn a_pass_of_one_variant_does_not_hold_for_others() {
        let (mut passes, key) = (HitForPassTable::default(), Key::from_bytes(b"k".to_vec()));
        let plain = PassScope::new(Side::Outbound, Ok(()));
        in_language("de", |de| passes.put(&key, plain, ("accept-language", Reason::Private.into()), de, 1000));
        assert!(in_language("de", |de| passes.get(&key, plain, de, 1).is_some()));
        assert!(!in_language("en", |en| passes.get(&key, plain, en, 1).is_some()));
    }

    #[test]
    fn passes_are_bounded_in_number_and_in_bytes() {
        let plain = PassScope::new(Side::Outbound, Ok(()));
        let key = |n: usize| Key::from_bytes(n.to_le_bytes().to_vec());
        let mut many = HitForPassTable::default();
        (0..3 * MAX_KEYS)
            .for_each(|n| in_language("de", |de| many.put(&key(n), plain, ("", Reason::Private.into()), de, 1000)));
        assert_eq!(many.passes.len(), MAX_KEYS);
        let mut large = HitForPassTable::default();
        for n in 0..1000 {
            in_language(&format!("{n:0>3900}"), |some| {
                large.put(&key(n / 10), plain, ("accept-language", Reason::Private.into()), some, 1000)
            });
            assert!(large.bytes <= MAX_BYTES);
        }
        assert!(large.bytes > MAX_BYTES / 2, "{}", large.bytes);
        in_language(&"x".repeat(2 * MAX_KEY_BYTES), |long| {
            large.put(&key(7), plain, ("accept-language", Reason::Private.into()), long, 1000)
        });
        assert!(!in_language(&"x".repeat(2 * MAX_KEY_BYTES), |long| large.get(&key(7), plain, long, 1).is_some()));
        large.clear();
        assert_eq!(large.bytes, 0);
    }
}
