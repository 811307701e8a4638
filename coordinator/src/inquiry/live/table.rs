//! What the requests of the last seconds were for: one table that somebody looks at.

use crate::{
    inquiry::live::{
        counters::{Counters, Samples},
        sketch::{Counted, MAX_NAME, Sketch, Sums, hash},
        wanted::{Wanted, shown},
    },
    telemetry::request_end::RequestEnd,
};
use meshcache_admin::{Top, TopBy, TopRow};
use meshcache_protocol::{Reason, reason::AnyReason};
use parking_lot::Mutex;
use smallvec::SmallVec;

/// Locks, so that threads seldom meet at one. A name is behind one of them, whoever counts it.
const SHARDS: usize = 8;
/// The names behind one lock: 1,024 in all.
const PLACES: usize = 128;
/// Below this time rates say nothing, seconds.
const LEAST: f64 = 0.2;
/// The time that rates are of, seconds.
const WINDOW: f64 = 10.0;

/// A table.
pub(super) struct Table {
    by: TopBy,
    wanted: Wanted,
    began: f64,
    shards: Vec<Mutex<Sketch>>,
    /// What is counted anyway: loads from origins, and what proxies tell.
    samples: Mutex<Samples>,
}

impl Table {
    /// Returns an empty one. `now`: seconds.
    pub(super) fn new(by: TopBy, wanted: Wanted, now: f64) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::new(Sketch::new(PLACES, now))).collect();
        Self { by, wanted, began: now, shards, samples: Mutex::default() }
    }

    /// Returns whether it is what is asked for.
    pub(super) fn is_for(&self, by: TopBy, wanted: &Wanted) -> bool {
        self.by == by && self.wanted == *wanted
    }

    /// Counts a request that has ended.
    pub(super) fn record(&self, end: &RequestEnd, now: f64) {
        if self.by == TopBy::Origins || !self.wanted.has(end) {
            return;
        }
        let Some(name) = Name::of(self.by, end) else { return };
        let noted = &end.noted;
        let is_observed = noted.reason == Some(AnyReason::Own(Reason::Observe));
        let is_hit = matches!(noted.outcome, Some("hit" | "stale")) && !is_observed;
        let of =
            Sums { hits: f64::from(u8::from(is_hit)), took: end.took.as_secs_f64() * 1000.0, bytes: end.bytes as f64 };
        let (name, hash) = (name.text(), hash(name.text()));
        if let Some(shard) = self.shards.get(hash as usize % SHARDS) {
            shard.lock().add(name, hash, noted.group.as_ref(), of, now);
        }
    }

    /// Returns its rows, the largest first. `counters`: as they are now.
    pub(super) fn rows(&self, counters: &Counters, now: f64) -> Top {
        let mut samples = self.samples.lock();
        samples.take(self.by, counters, now);
        let seconds = now - self.began;
        if seconds < LEAST {
            return Top::default();
        }
        let mut rows = samples.rows(self.by, &self.wanted);
        drop(samples);
        for shard in &self.shards {
            // Copied under the lock, written after it.
            let counted: Vec<Counted> = shard.lock().counted(self.began, now).collect();
            rows.extend(counted.into_iter().map(|counted| row(self.by, counted)));
        }
        sort(self.by, &mut rows);
        Top { seconds: seconds.min(WINDOW), rows, unreached: Vec::new() }
    }
}

fn row(by: TopBy, counted: Counted) -> TopRow {
    let Counted { name, group, rate, rate_error, means } = counted;
    TopRow {
        // A group's name and a reason are ours.
        name: if by == TopBy::Keys { shown(&name) } else { name },
        group: group.as_deref().map(str::to_owned),
        rate,
        rate_error,
        hits: means.hits,
        took: means.took,
        bytes: means.bytes * (rate - rate_error),
        told: false,
    }
}

/// Sorts rows: origins by their time, all else by the rate that is certain.
pub(super) fn sort(by: TopBy, rows: &mut [TopRow]) {
    let size = |row: &TopRow| if by == TopBy::Origins { row.took } else { row.rate - row.rate_error };
    rows.sort_by(|a, b| size(b).total_cmp(&size(a)).then_with(|| a.name.cmp(&b.name)));
}

/// A row's name, on the stack: most requests count for one that is there.
struct Name(SmallVec<[u8; MAX_NAME]>);

impl Name {
    fn of(by: TopBy, end: &RequestEnd) -> Option<Self> {
        let mut name = Self(SmallVec::new());
        let group = end.noted.group.as_deref();
        match (by, &end.asked) {
            (TopBy::Keys, Some(asked)) => name.push(&asked.host).push(&asked.path),
            (TopBy::Groups, _) => name.push(group.unwrap_or("(no group)")),
            (TopBy::Reasons, _) => name.push(group?).push(" ").push(end.noted.reason.as_ref()?.as_str()),
            (TopBy::Keys, None) | (TopBy::Origins, _) => return None,
        };
        Some(name)
    }

    /// Adds what has room.
    fn push(&mut self, text: &str) -> &mut Self {
        let fits = text.floor_char_boundary(MAX_NAME.saturating_sub(self.0.len()));
        self.0.extend_from_slice(text.as_bytes().get(..fits).unwrap_or_default());
        self
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inquiry::live::wanted::tests::{end, read};

    fn table(by: TopBy) -> Table {
        Table::new(by, read(serde_json::json!({})).unwrap(), 0.0)
    }

    #[test]
    fn a_table_of_100_000_paths_keeps_1_024_short_names() {
        let table = table(TopBy::Keys);
        for n in 0..100_000 {
            table.record(&end(&format!("/{n}/{}", "ü".repeat(500)), "miss", 200), 1.0);
            table.record(&end("/most", "hit", 200), 1.0);
        }
        let Top { rows, seconds, .. } = table.rows(&Counters::default(), 1.0);
        assert_eq!((rows.len(), seconds), (SHARDS * PLACES, 1.0));
        assert!(rows.iter().all(|row| row.name.len() <= MAX_NAME));
        assert!(rows[0].name == "h/most" && rows[0].hits > 0.99 && rows[0].rate_error <= 0.01 * rows[0].rate);
    }

    #[test]
    fn rows_are_groups_or_reasons_where_these_are_asked_for() {
        for (by, name) in [(TopBy::Groups, "g"), (TopBy::Reasons, "g private")] {
            let table = table(by);
            let mut pass = end("/a", "pass", 200);
            pass.noted.reason = Some(AnyReason::Own(Reason::Private));
            table.record(&pass, 1.0);
            let rows = table.rows(&Counters::default(), 1.0).rows;
            assert_eq!((rows.len(), rows[0].name.as_str(), rows[0].hits), (1, name, 0.0));
        }
        let reasons = table(TopBy::Reasons);
        reasons.record(&end("/a", "hit", 200), 1.0);
        assert!(reasons.rows(&Counters::default(), 1.0).rows.is_empty(), "a hit has none");
    }
}
