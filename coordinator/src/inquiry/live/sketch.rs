//! The largest of many names, in bounded memory: space-saving, with counts that fade.
//!
//! A count halves every 3.5 s or so (`e` times less after [`FADES_IN`]): it weighs the last seconds as a window of twice
//! that time does, and nothing jumps when a request leaves a window. Pure: time is an argument, in seconds.

use hashbrown::HashTable;
use meshcache_protocol::Hash;
use std::sync::Arc;

/// The time after which a request weighs `e` times less, seconds.
const FADES_IN: f64 = 5.0;
/// The times of that after which weights are written anew, so that none becomes too large for a float.
const LONGEST: f64 = 60.0;
/// The longest name, bytes.
pub(super) const MAX_NAME: usize = 256;

/// What is summed up of requests: each weighs 1 at its time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sums {
    /// Those that the cache answered.
    pub(super) hits: f64,
    /// The time that they took, milliseconds.
    pub(super) took: f64,
    /// Their bytes.
    pub(super) bytes: f64,
}

/// A name's numbers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Counted {
    pub(super) name: String,
    pub(super) group: Option<Arc<str>>,
    /// Requests a second, and by how much that may be too high.
    pub(super) rate: f64,
    pub(super) rate_error: f64,
    /// Shares and means of the requests that are certain.
    pub(super) means: Sums,
}

/// Counts of names, at most as many as it has places.
pub(super) struct Sketch {
    places: usize,
    /// The names' places by their hash.
    index: HashTable<usize>,
    slots: Vec<Slot>,
    /// The weights of the slots, side by side: the least is looked for often.
    weights: Vec<f64>,
    /// The time at which a request weighs 1.
    landmark: f64,
}

struct Slot {
    hash: u64,
    name: String,
    group: Option<Arc<str>>,
    /// How much of its weight may be that of names that had its place before.
    error: f64,
    sums: Sums,
}

impl Sketch {
    /// An empty one with so many places.
    pub(super) fn new(places: usize, now: f64) -> Self {
        Self { places, index: HashTable::new(), slots: Vec::new(), weights: Vec::new(), landmark: now }
    }

    /// Counts a request. `hash`: of the name.
    pub(super) fn add(&mut self, name: &str, hash: u64, group: Option<&Arc<str>>, of: Sums, now: f64) {
        let weight = self.weight(now);
        let at = match self.index.find(hash, |at| self.slots.get(*at).is_some_and(|slot| slot.name == name)) {
            Some(at) => *at,
            None => self.place(name, hash, group),
        };
        if let (Some(slot), Some(total)) = (self.slots.get_mut(at), self.weights.get_mut(at)) {
            *total += weight;
            slot.sums.hits += weight * of.hits;
            slot.sums.took += weight * of.took;
            slot.sums.bytes += weight * of.bytes;
        }
    }

    /// Gives a name a place: a free one, or that of the name with the least weight, which it takes over as its error.
    fn place(&mut self, name: &str, hash: u64, group: Option<&Arc<str>>) -> usize {
        let slots = &self.slots;
        let group = group.cloned();
        if slots.len() < self.places {
            let at = slots.len();
            self.slots.push(Slot { hash, name: name.to_owned(), group, error: 0.0, sums: Sums::default() });
            self.weights.push(0.0);
            let slots = &self.slots;
            self.index.insert_unique(hash, at, |at| slots.get(*at).map_or(0, |slot| slot.hash));
            return at;
        }
        let (mut at, mut least) = (0, f64::INFINITY);
        for (place, weight) in self.weights.iter().enumerate() {
            if *weight < least {
                (at, least) = (place, *weight);
            }
        }
        if let Some(slot) = self.slots.get_mut(at) {
            if let Ok(before) = self.index.find_entry(slot.hash, |place| *place == at) {
                before.remove();
            }
            slot.name.clear();
            slot.name.push_str(name);
            (slot.hash, slot.group, slot.error, slot.sums) = (hash, group, least, Sums::default());
        }
        let slots = &self.slots;
        self.index.insert_unique(hash, at, |at| slots.get(*at).map_or(0, |slot| slot.hash));
        at
    }

    /// Returns what a request weighs now: more than each one before.
    fn weight(&mut self, now: f64) -> f64 {
        let fades = (now - self.landmark) / FADES_IN;
        if fades < LONGEST {
            return fades.exp();
        }
        let by = (-fades).exp();
        self.weights.iter_mut().for_each(|weight| *weight *= by);
        for Slot { error, sums, .. } in &mut self.slots {
            for number in [error, &mut sums.hits, &mut sums.took, &mut sums.bytes] {
                *number *= by;
            }
        }
        self.landmark = now;
        1.0
    }

    /// Returns all names that it has. `began`: when counting did.
    pub(super) fn counted(&self, began: f64, now: f64) -> impl Iterator<Item = Counted> {
        // What a steady rate of one a second would have come to by now.
        let steady = FADES_IN * (1.0 - ((began - now) / FADES_IN).exp());
        let to_rate = ((self.landmark - now) / FADES_IN).exp() / steady.max(f64::MIN_POSITIVE);
        self.slots.iter().zip(&self.weights).map(move |(slot, weight)| {
            let certain = (weight - slot.error).max(f64::MIN_POSITIVE);
            let Sums { hits, took, bytes } = slot.sums;
            Counted {
                name: slot.name.clone(),
                group: slot.group.clone(),
                rate: weight * to_rate,
                rate_error: slot.error * to_rate,
                means: Sums { hits: hits / certain, took: took / certain, bytes: bytes / certain },
            }
        })
    }
}

/// Returns the hash of a name.
pub(super) fn hash(name: &str) -> u64 {
    Hash::of(name.as_bytes()).high()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    const ONE: Sums = Sums { hits: 0.0, took: 2.0, bytes: 10.0 };

    fn add(sketch: &mut Sketch, name: &str, now: f64) {
        sketch.add(name, hash(name), None, ONE, now);
    }

    #[test]
    fn a_steady_load_has_its_rate_soon_and_keeps_it() {
        let mut sketch = Sketch::new(4, 0.0);
        let mut at = 0.0;
        for seconds in [1.0, 5.0, 60.0, 1000.0] {
            while at < seconds {
                at += 0.01;
                sketch.add("a", hash("a"), None, Sums { hits: 1.0, ..ONE }, at);
                sketch.add("a", hash("a"), None, ONE, at);
            }
            let of = sketch.counted(0.0, at).next().unwrap();
            assert!((of.rate - 200.0).abs() < 4.0, "{seconds}: {of:?}");
            assert!((of.means.hits - 0.5).abs() < 0.01 && (of.means.took - 2.0).abs() < 0.01, "{of:?}");
            assert!((of.means.bytes - 10.0).abs() < 0.01, "{of:?}");
        }
        let faded = sketch.counted(0.0, at + 30.0).next().unwrap();
        assert!(faded.rate < 1.0, "nothing has come for 30 s: {faded:?}");
    }

    #[test]
    fn the_most_frequent_of_100_000_names_are_found_within_the_bound_that_is_told() {
        const PLACES: usize = 128;
        let (mut sketch, mut truth) = (Sketch::new(PLACES, 0.0), HashMap::<String, f64>::new());
        let mut random = 1_u64;
        let mut total = 0.0;
        for n in 0..200_000_u64 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // One in two requests is for one of ten names, the first the most; the others are all different.
            let (one, of) = (random >> 33, (random >> 40) % 55);
            let frequent = (1..=10)
                .scan(0, |sum, n| {
                    Some((n, {
                        *sum += 11 - n;
                        *sum
                    }))
                })
                .find(|(_, sum)| of < *sum);
            let name = match frequent {
                Some((n, _)) if one % 2 == 0 => format!("/frequent/{n}"),
                _ => format!("/{n}"),
            };
            add(&mut sketch, &name, 0.0);
            *truth.entry(name).or_default() += 1.0;
            total += 1.0;
        }
        let mut all: Vec<Counted> = sketch.counted(-1e9, 0.0).collect();
        assert_eq!(all.len(), PLACES);
        all.sort_by(|a, b| (b.rate - b.rate_error).total_cmp(&(a.rate - a.rate_error)));
        let names: Vec<&str> = all.iter().take(10).map(|one| one.name.as_str()).collect();
        assert_eq!(names, (1..=10).map(|n| format!("/frequent/{n}")).collect::<Vec<_>>());
        for one in &all {
            let (true_count, told, error) = (truth[&one.name], one.rate * FADES_IN, one.rate_error * FADES_IN);
            assert!(told + 0.01 >= true_count && told - error <= true_count + 0.01, "{one:?} {true_count}");
            assert!(error <= total / PLACES as f64, "{one:?}");
        }
    }
}
