//! `mode: observe`: what would have been answered, held against what came.
//!
//! A response that passes is hashed as it goes by, and remembered for as long as it would have been fresh. One that
//! comes for a request that the remembered one would have answered, and is another, tells of something that the key
//! lacks: a tenant, a user, a canary. Only hashes are kept: nothing is buffered, and nobody is given anything.

use crate::{
    freshness::{Reuse, Selecting, Stored, Times, Vary, is_provoked, reuse, store},
    groups::Group,
    hash::Hash,
    key::Key,
    request::{Request, Response},
};
use std::collections::BTreeMap;
use xxhash_rust::xxh3::Xxh3;

/// The word among a proxy's counters for responses that differ from what would have been answered.
pub const MISMATCH: &str = "mismatch";
/// No response is remembered for longer, milliseconds: those that are good for days make room for others.
const LONGEST: u64 = 600_000;
/// No more variants of one key are remembered.
const VARIANTS: usize = 8;
/// How often what is over makes room for others, milliseconds.
const SWEEP: u64 = 1000;

/// What has passed lately. When it is full, what is in it stays until its time is over: a sample that is watched to its
/// end.
pub struct Observer {
    most: Limits,
    seen: BTreeMap<Hash, Vec<Seen>>,
    len: usize,
    bytes: usize,
    left_out: bool,
    /// The last response did not fit in: what is over has to make room.
    is_crowded: bool,
    sweeps: u64,
    /// How often something was forgotten: what was under way then tells nothing of later.
    era: u64,
}

/// How much is remembered.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// So many responses, each of some hundred bytes and the fields that its Vary names.
    pub responses: usize,
    /// And so many bytes of them.
    pub bytes: usize,
}

/// One response that would have been stored.
struct Seen {
    variant: Variant,
    stored: Stored,
    digest: Hash,
    arrived: u64,
}

/// Which of a key's responses it is. Codings differ in their bytes whether or not the service says Vary.
#[derive(PartialEq)]
struct Variant {
    selecting: Selecting,
    coding: Hash,
}

/// A response that passes in a group that observes, and what it answers.
#[derive(Clone, Copy)]
pub struct PassedResponse<'a> {
    /// The group.
    pub group: &'a Group,
    /// The request's key.
    pub key: &'a Key,
    /// The request.
    pub request: &'a Request<'a>,
    /// A proxy has verified a token of the request.
    pub verified: bool,
    /// The response's head.
    pub response: &'a Response<'a>,
    /// When it was asked for and when it came.
    pub times: Times,
}

/// A body on its way, hashed piece by piece.
pub struct PassingBody {
    place: Hash,
    variant: Variant,
    /// What the request would have been answered with.
    instead: Option<Hash>,
    /// What would be known of the response in a store; `None`: it would not be stored.
    stored: Option<Stored>,
    left: u64,
    era: u64,
    hasher: Box<Xxh3>,
}

impl Observer {
    /// Remembers so much.
    pub const fn new(most: Limits) -> Self {
        Self { most, seen: BTreeMap::new(), len: 0, bytes: 0, left_out: false, is_crowded: false, sweeps: 0, era: 0 }
    }

    /// Whether a response was left out, since this was last asked, because there are too many bytes.
    pub fn take_left_out(&mut self) -> bool {
        std::mem::take(&mut self.left_out)
    }

    /// Where responses of a key are remembered.
    pub fn slot(group: &Group, key: &Key) -> Hash {
        Hash::of(&[group.digest().as_bytes(), key.bytes()].concat())
    }

    /// A response's head came. `None`: nothing is to be learned of it, since it neither would be stored nor came in
    /// place of what is remembered, or since it speaks of the service or of its request and not of the resource
    /// (5xx, 412, 429 and their like). `now`: milliseconds of a clock that never jumps.
    pub fn begin(&self, passed: &PassedResponse<'_>, now: u64) -> Option<PassingBody> {
        let PassedResponse { group, key, request, verified, response, times } = *passed;
        let speaks = (200..500).contains(&response.status)
            && ![206, 304].contains(&response.status)
            && !is_provoked(response.status);
        if !request.is_get() || !speaks {
            return None;
        }
        let place = Self::slot(group, key);
        let coding = digest_of(response.values("content-encoding").chain([&b""[..]]));
        let gives = |seen: &&Seen| {
            let resident = now.saturating_sub(seen.arrived);
            let fits = !seen.is_over(now) && seen.variant.coding == coding && seen.variant.selecting.matches(request);
            fits && reuse(group, request, verified, Some(&seen.stored), resident) == Reuse::Fresh
        };
        let instead = self.seen.get(&place).and_then(|all| all.iter().find(gives)).map(|seen| seen.digest);
        let stored = store(group, request, verified, response, times, 0)
            .ok()
            .filter(|stored| stored.is_fresh(0) && !stored.always_validate);
        if instead.is_none() && stored.is_none() {
            return None;
        }
        let variant = Variant { selecting: Selecting::of(&Vary::of(response), request), coding };
        let mut hasher = Box::new(Xxh3::new());
        // Another status or another place to go is another answer, whatever its body.
        hasher.update(&response.status.to_le_bytes());
        hasher.update(&digest_of(response.values("location")).0.to_le_bytes());
        Some(PassingBody {
            place,
            variant,
            instead,
            stored,
            left: group.config().limits.object.0,
            era: self.era,
            hasher,
        })
    }

    /// The whole body has passed. Whether another response would have been given in its place.
    pub fn finish(&mut self, passing: PassingBody, now: u64) -> bool {
        if passing.era != self.era {
            return false;
        }
        let digest = Hash(passing.hasher.digest128());
        if let Some(instead) = passing.instead {
            return instead != digest;
        }
        let Some(stored) = passing.stored else { return false };
        self.sweep(now);
        let all = self.seen.entry(passing.place).or_default();
        let before = measure(all);
        if let Some(seen) = all.iter().find(|seen| seen.variant == passing.variant && !seen.is_over(now)) {
            // Both were under way at once: one load would have answered both.
            return seen.digest != digest;
        }
        all.retain(|seen| !seen.is_over(now));
        let seen = Seen { variant: passing.variant, stored, digest, arrived: now };
        let bytes = self.bytes.saturating_sub(before.1).saturating_add(measure(all).1);
        let fits = bytes.saturating_add(seen.bytes()) <= self.most.bytes;
        let has_place =
            self.len.saturating_sub(before.0).saturating_add(all.len()) < self.most.responses && all.len() < VARIANTS;
        if fits && has_place {
            all.push(seen);
        }
        self.is_crowded = has_place && !fits;
        self.left_out |= self.is_crowded;
        let after = measure(all);
        self.len = self.len.saturating_sub(before.0).saturating_add(after.0);
        self.bytes = self.bytes.saturating_sub(before.1).saturating_add(after.1);
        if all.is_empty() {
            self.seen.remove(&passing.place);
        }
        false
    }

    /// A key is no longer what it was: a purge, or an unsafe request that succeeded.
    /// `place`: where it is remembered.
    pub fn forget(&mut self, place: Hash) {
        self.era = self.era.wrapping_add(1);
        if let Some(gone) = self.seen.remove(&place) {
            let (len, bytes) = measure(&gone);
            (self.len, self.bytes) = (self.len.saturating_sub(len), self.bytes.saturating_sub(bytes));
        }
    }

    /// The same for all keys.
    pub fn clear(&mut self) {
        self.era = self.era.wrapping_add(1);
        self.seen.clear();
        (self.len, self.bytes) = (0, 0);
    }

    fn sweep(&mut self, now: u64) {
        if (self.len < self.most.responses && !self.is_crowded) || now < self.sweeps {
            return;
        }
        self.sweeps = now.saturating_add(SWEEP);
        self.seen.values_mut().for_each(|all| all.retain(|seen| !seen.is_over(now)));
        self.seen.retain(|_, all| !all.is_empty());
        (self.len, self.bytes) =
            self.seen.values().map(|all| measure(all)).fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
    }
}

/// How many these are, and what they take.
fn measure(all: &[Seen]) -> (usize, usize) {
    (all.len(), all.iter().map(Seen::bytes).sum())
}

/// What a response takes beside the fields that its Vary names, with its place among the keys.
const EACH: usize = size_of::<Seen>() + 64;

impl Seen {
    fn bytes(&self) -> usize {
        EACH.saturating_add(self.variant.selecting.bytes())
    }

    fn is_over(&self, now: u64) -> bool {
        let resident = now.saturating_sub(self.arrived);
        resident >= LONGEST || !self.stored.is_fresh(resident)
    }
}

impl PassingBody {
    /// A piece of the body passed. `None`: it is larger than what the group stores, and nothing more is to be learned
    /// of it.
    pub fn piece(mut self, piece: &[u8]) -> Option<Self> {
        self.left = self.left.checked_sub(piece.len() as u64)?;
        self.hasher.update(piece);
        Some(self)
    }
}

/// Of values one after the other, so that no two lists are one by concatenation.
fn digest_of<'a>(values: impl Iterator<Item = &'a [u8]>) -> Hash {
    let mut hasher = Xxh3::new();
    for value in values {
        hasher.update(&(value.len() as u64).to_le_bytes());
        hasher.update(value);
    }
    Hash(hasher.digest128())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Field;

    type Fields = &'static [Field<'static>];

    const MOST: Limits = Limits { responses: 100, bytes: 1 << 20 };
    const FRESH: Fields = &[(b"cache-control", b"max-age=60")];
    const AT_ONCE: Times = Times { requested: 0, responded: 0 };

    /// Responses of one group, and what is observed of them.
    struct Passes {
        group: Group,
        observed: Observer,
        now: u64,
    }

    fn passes(group: &str) -> Passes {
        Passes { group: Group::for_tests(group), observed: Observer::new(MOST), now: 0 }
    }

    impl Passes {
        fn begins(&self, target: &str, asked: Fields, status: u16, fields: Fields) -> Option<PassingBody> {
            self.method(b"GET", target, asked, status, fields)
        }

        fn method(
            &self,
            method: &[u8],
            target: &str,
            asked: Fields,
            status: u16,
            fields: Fields,
        ) -> Option<PassingBody> {
            let request = Request::read(method, b"http", b"h", target.as_bytes(), asked).unwrap();
            let (key, response) = (Key::of(&self.group, &request, None), Response { status, fields });
            let passed = PassedResponse {
                group: &self.group,
                key: &key,
                request: &request,
                verified: false,
                response: &response,
                times: AT_ONCE,
            };
            self.observed.begin(&passed, self.now)
        }

        /// Whether a response would have been answered with another one. `None`: it is not looked at.
        fn pass(&mut self, asked: Fields, status: u16, fields: Fields, body: &str) -> Option<bool> {
            let passing = self.begins("/a", asked, status, fields)?.piece(body.as_bytes())?;
            Some(self.observed.finish(passing, self.now))
        }
    }

    #[test]
    fn what_stays_the_same_agrees_and_what_changes_within_its_freshness_does_not() {
        let mut passes = passes("{}");
        assert_eq!(
            [1, 1, 2, 1, 2].map(|n| passes.pass(&[], 200, FRESH, &n.to_string())),
            [false, false, true, false, true].map(Some)
        );
        passes.now = 60_000;
        assert_eq!(
            [2, 2, 1].map(|n| passes.pass(&[], 200, FRESH, &n.to_string())),
            [false, false, true].map(Some),
            "its time was over"
        );
    }

    #[test]
    fn the_first_is_what_all_would_have_had_however_the_pieces_fall() {
        let mut passes = passes("{}");
        for pieces in [&["abc"][..], &["a", "", "bc"], &["ab", "c"]] {
            let passing = pieces
                .iter()
                .fold(passes.begins("/a", &[], 200, FRESH), |passing, piece| passing?.piece(piece.as_bytes()));
            assert!(!passes.observed.finish(passing.unwrap(), 0), "{pieces:?}");
        }
        let two = [
            passes.begins("/b", &[], 200, FRESH).unwrap(),
            passes.begins("/b", &[], 200, FRESH).unwrap().piece(b"x").unwrap(),
        ];
        assert_eq!(two.map(|passing| passes.observed.finish(passing, 0)), [false, true], "under way at once");
    }

    #[test]
    fn what_would_not_be_stored_is_not_remembered() {
        let private: Fields = &[(b"cache-control", b"private, max-age=60")];
        let (no_store, no_cache): (Fields, Fields) =
            (&[(b"cache-control", b"no-store")], &[(b"cache-control", b"no-cache")]);
        for fields in [private, no_store, no_cache, &[]] {
            assert_eq!(passes("{}").pass(&[], 200, fields, "1"), None, "{fields:?}");
        }
        let user: Fields = &[(b"authorization", b"x")];
        let mut passes = passes("{}");
        assert_eq!(passes.pass(user, 200, FRESH, "mine"), None);
        assert_eq!(
            (passes.pass(&[], 200, FRESH, "1"), passes.pass(user, 200, FRESH, "mine")),
            (Some(false), None),
            "nor would it have been answered"
        );
        for status in [206, 304, 500, 503, 429, 400, 412, 416] {
            assert_eq!(passes.pass(&[], status, FRESH, "2"), None, "{status}");
        }
        assert!(passes.method(b"HEAD", "/a", &[], 200, FRESH).is_none());
    }

    #[test]
    fn what_came_in_place_of_what_is_remembered_counts_whatever_it_is() {
        let mut passes = passes("{}");
        passes.pass(&[], 200, FRESH, "1");
        assert_eq!(passes.pass(&[], 200, &[(b"cache-control", b"private")], "2"), Some(true), "somebody's own");
        assert_eq!(passes.pass(&[], 403, &[], "1"), Some(true), "a refusal");
        assert_eq!(
            passes.pass(&[], 200, &[(b"cache-control", b"private"), (b"location", b"/b")], "1"),
            Some(true),
            "elsewhere"
        );
    }

    #[test]
    fn variants_and_codings_are_apart() {
        let mut passes = passes("{}");
        let vary: Fields = &[(b"cache-control", b"max-age=60"), (b"vary", b"x-tenant")];
        let of = |tenant| -> Fields { if tenant == 1 { &[(b"x-tenant", b"1")] } else { &[(b"x-tenant", b"2")] } };
        assert_eq!(
            [1, 2, 1, 2].map(|tenant| passes.pass(of(tenant), 200, vary, &tenant.to_string())),
            [Some(false); 4]
        );
        assert_eq!(passes.pass(of(1), 200, vary, "2"), Some(true));
        let gzip: Fields = &[(b"cache-control", b"max-age=60"), (b"content-encoding", b"gzip")];
        let mut passes = super::tests::passes("{}");
        assert_eq!(
            [FRESH, gzip, FRESH, gzip].map(|fields| passes.pass(&[], 200, fields, &fields.len().to_string())),
            [Some(false); 4]
        );
        assert_eq!(passes.pass(&[], 200, gzip, "3"), Some(true));
    }

    #[test]
    fn what_the_group_does_not_store_is_let_go_while_it_passes() {
        let passes = passes(r#"{"limits": {"object": "4B"}}"#);
        let passing = passes.begins("/a", &[], 200, FRESH).unwrap().piece(b"1234").unwrap();
        assert!(passing.piece(b"5").is_none());
    }

    #[test]
    fn a_full_memory_keeps_what_it_has_until_its_time_is_over() {
        let mut passes = passes("{}");
        let pass = |passes: &mut Passes, target: &str, body: &str| {
            let passing = passes.begins(target, &[], 200, FRESH).unwrap().piece(body.as_bytes()).unwrap();
            passes.observed.finish(passing, passes.now)
        };
        for n in 0..1000 {
            pass(&mut passes, &format!("/{n}"), "1");
        }
        assert_eq!((passes.observed.len, passes.observed.seen.len()), (100, 100));
        assert!(pass(&mut passes, "/99", "2") && !pass(&mut passes, "/100", "2"));
        passes.now = 60_000;
        pass(&mut passes, "/100", "1");
        assert_eq!((passes.observed.len, pass(&mut passes, "/100", "2")), (1, true));
        let request = Request::read(b"GET", b"http", b"h", b"/100", &[]).unwrap();
        passes.observed.forget(Observer::slot(&passes.group, &Key::of(&passes.group, &request, None)));
        assert_eq!((passes.observed.len, pass(&mut passes, "/100", "3")), (0, false));
    }

    #[test]
    fn what_was_under_way_when_its_key_changed_tells_nothing_of_later() {
        let mut passes = passes("{}");
        let (old, other) =
            (passes.begins("/a", &[], 200, FRESH).unwrap(), passes.begins("/b", &[], 200, FRESH).unwrap());
        passes.observed.clear();
        assert!(!passes.observed.finish(old, 0));
        assert_eq!([2, 2, 3].map(|n| passes.pass(&[], 200, FRESH, &n.to_string())), [false, false, true].map(Some));
        assert!(!passes.observed.finish(other, 0));
    }

    #[test]
    fn variants_of_one_key_are_bounded() {
        let mut passes = passes("{}");
        let vary: Fields = &[(b"cache-control", b"max-age=60"), (b"vary", b"x")];
        for n in 0..100 {
            let value: &'static [u8] = n.to_string().leak().as_bytes();
            passes.pass(vec![(&b"x"[..], value)].leak(), 200, vary, "1");
        }
        assert_eq!(passes.observed.len, VARIANTS);
    }

    #[test]
    fn what_is_remembered_is_bounded_in_bytes_and_there_is_room_again_when_its_time_is_over() {
        let mut passes = passes("{}");
        let vary: Fields = &[(b"cache-control", b"max-age=60"), (b"vary", b"x")];
        let pass = |passes: &mut Passes, n: usize, body: &str| {
            let value = format!("{n}{}", "x".repeat(50_000));
            let passing =
                passes.begins(&format!("/{n}"), vec![(&b"x"[..], value.leak().as_bytes())].leak(), 200, vary).unwrap();
            let passing = passing.piece(body.as_bytes()).unwrap();
            passes.observed.finish(passing, passes.now)
        };
        for n in 0..90 {
            pass(&mut passes, n, "1");
        }
        assert_eq!(
            (passes.observed.len, passes.observed.take_left_out(), passes.observed.take_left_out()),
            (20, true, false)
        );
        assert!(passes.observed.bytes <= MOST.bytes);
        assert!(pass(&mut passes, 19, "2") && !pass(&mut passes, 20, "2"));
        passes.now = 60_000;
        pass(&mut passes, 20, "1");
        assert!(pass(&mut passes, 20, "2"));
        assert_eq!(passes.observed.len, 1);
        passes.observed.clear();
        assert_eq!(passes.observed.bytes, 0);
    }

    #[test]
    fn what_is_good_for_days_is_watched_for_minutes() {
        let mut passes = passes("{}");
        let days: Fields = &[(b"cache-control", b"max-age=86400")];
        passes.pass(&[], 200, days, "1");
        passes.now = LONGEST;
        assert_eq!(passes.pass(&[], 200, days, "2"), Some(false));
    }
}
