//! Requests that an owner passed a moment ago: nobody asks or queues for such until that is over, or until there is an
//! answer that may be shared.

use crate::{head::Head, questions::Question, site::Side};
use lru::LruCache;
use meshcache_protocol::{
    Key, Request,
    freshness::{HitForPass, NotCollapsed, Selecting, Vary},
    reason::Word,
    wire::Verdict,
};

/// The most keys, and the most bytes in all.
const MOST: (usize, usize) = (2048, 1 << 20);
/// The largest key, and the most bytes of the fields by which an answer varies. What is larger is not remembered.
const LARGEST: usize = 4096;
/// What a key costs beside its bytes.
const EACH: usize = 128;

/// The remembered passes of one worker, bounded: the key that was used least makes room.
pub struct Passes {
    /// With the owner's reason.
    passes: LruCache<(Vec<u8>, Asked), HitForPass<Word>>,
    bytes: usize,
}

/// For whom the owner passed. A pass for a request that names its user says nothing about plain ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Asked(Side, u8);

impl Asked {
    /// A question on one side of the proxy, shared or by a request that asked for itself.
    pub fn new(side: Side, alone: Result<(), NotCollapsed>) -> Self {
        Self(side, alone.map_or_else(|why| (why as u8).saturating_add(1), |()| 0))
    }

    /// A plain one on the same side.
    const fn plain(self) -> Self {
        Self(self.0, 0)
    }
}

impl Default for Passes {
    fn default() -> Self {
        Self { passes: LruCache::unbounded(), bytes: 0 }
    }
}

impl Passes {
    /// The owner passed: requests that agree with the question's in the fields that it names are not asked for, so
    /// long.
    pub fn remember(&mut self, question: &Question, verdict: &Verdict, now: u64) {
        let Some(head) = Head::read(&question.map).filter(|_| verdict.remember > 0) else { return };
        let Ok(request) = head.request() else { return };
        self.put(
            &question.key,
            question.asked,
            (&verdict.vary, verdict.reason),
            &request,
            now.saturating_add(verdict.remember),
        );
    }

    fn put(&mut self, key: &Key, asked: Asked, (vary, reason): (&str, Word), request: &Request<'_>, until: u64) {
        let vary = Vary::read(vary);
        if key.bytes().len() > LARGEST || Selecting::of(&vary, request).bytes() > LARGEST {
            return;
        }
        let place = (key.bytes().to_vec(), asked);
        let mut of_key = self.take(&place).unwrap_or_default();
        of_key.remember(vary, request, reason, until);
        self.give(place, of_key);
        while self.passes.len() > MOST.0 || self.bytes > MOST.1 {
            let Some((place, of_key)) = self.passes.pop_lru() else { return };
            self.bytes = self.bytes.saturating_sub(weight(&place, &of_key));
        }
    }

    /// Why such a request was passed a moment ago, if it was.
    pub fn get(&mut self, key: &Key, asked: Asked, request: &Request<'_>, now: u64) -> Option<Word> {
        if self.passes.is_empty() {
            return None;
        }
        let place = (key.bytes().to_vec(), asked);
        self.passes.get(&place).and_then(|of_key| of_key.get(request, now)).map(|(reason, _)| *reason)
    }

    /// A question has an answer that may be shared, for requests with these selecting fields: what is remembered of
    /// such is over.
    pub fn forget(&mut self, question: &Question, selecting: &Selecting) {
        if self.passes.is_empty() {
            return;
        }
        for asked in [question.asked, question.asked.plain()] {
            let place = (question.key.bytes().to_vec(), asked);
            if let Some(mut of_key) = self.take(&place) {
                of_key.forget(selecting);
                self.give(place, of_key);
            }
        }
    }

    /// Forgets all: the groups' rules have changed.
    pub fn clear(&mut self) {
        self.passes.clear();
        self.bytes = 0;
    }

    fn take(&mut self, place: &(Vec<u8>, Asked)) -> Option<HitForPass<Word>> {
        let of_key = self.passes.pop(place)?;
        self.bytes = self.bytes.saturating_sub(weight(place, &of_key));
        Some(of_key)
    }

    fn give(&mut self, place: (Vec<u8>, Asked), of_key: HitForPass<Word>) {
        if !of_key.is_empty() {
            self.bytes = self.bytes.saturating_add(weight(&place, &of_key));
            self.passes.put(place, of_key);
        }
    }
}

fn weight(place: &(Vec<u8>, Asked), of_key: &HitForPass<Word>) -> usize {
    place.0.len().saturating_add(of_key.bytes()).saturating_add(EACH)
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
    fn a_pass_is_remembered_for_its_time_and_its_kind_of_request() {
        let (mut passes, key) = (Passes::default(), Key::from_bytes(b"k".to_vec()));
        let (plain, inbound) = (Asked::new(Side::Outbound, Ok(())), Asked::new(Side::Inbound, Ok(())));
        in_language("de", |de| {
            passes.put(
                &key,
                Asked::new(Side::Outbound, Err(NotCollapsed::Identity)),
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
    fn a_pass_of_one_variant_is_none_of_the_others() {
        let (mut passes, key) = (Passes::default(), Key::from_bytes(b"k".to_vec()));
        let plain = Asked::new(Side::Outbound, Ok(()));
        in_language("de", |de| passes.put(&key, plain, ("accept-language", Reason::Private.into()), de, 1000));
        assert!(in_language("de", |de| passes.get(&key, plain, de, 1).is_some()));
        assert!(!in_language("en", |en| passes.get(&key, plain, en, 1).is_some()));
    }

    #[test]
    fn passes_are_bounded_in_number_and_in_bytes() {
        let plain = Asked::new(Side::Outbound, Ok(()));
        let key = |n: usize| Key::from_bytes(n.to_le_bytes().to_vec());
        let mut many = Passes::default();
        (0..3 * MOST.0)
            .for_each(|n| in_language("de", |de| many.put(&key(n), plain, ("", Reason::Private.into()), de, 1000)));
        assert_eq!(many.passes.len(), MOST.0);
        let mut large = Passes::default();
        for n in 0..1000 {
            in_language(&format!("{n:0>3900}"), |some| {
                large.put(&key(n / 10), plain, ("accept-language", Reason::Private.into()), some, 1000)
            });
            assert!(large.bytes <= MOST.1);
        }
        assert!(large.bytes > MOST.1 / 2, "{}", large.bytes);
        in_language(&"x".repeat(2 * LARGEST), |long| {
            large.put(&key(7), plain, ("accept-language", Reason::Private.into()), long, 1000)
        });
        assert!(!in_language(&"x".repeat(2 * LARGEST), |long| large.get(&key(7), plain, long, 1).is_some()));
        large.clear();
        assert_eq!(large.bytes, 0);
    }
}
