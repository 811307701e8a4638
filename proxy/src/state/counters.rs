//! Counters: of this worker for Envoy's own metrics, and by group for the coordinators.

pub use meshcache_protocol::Reason;
use meshcache_protocol::{
    Group,
    observe::{Comparison, word},
};
use std::collections::BTreeMap;

/// The number of requests by group and outcome, as the feed reports it.
pub type GroupCounts = BTreeMap<String, BTreeMap<String, u64>>;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$each:meta])* $variant:ident = $word:expr,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum $name { $($(#[$each])* $variant,)* }

        impl $name {
            /// All of them.
            pub const ALL: [Self; [$($word),*].len()] = [$(Self::$variant),*];

            /// The word in metrics and logs.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
}

words! {
    /// How a request of a group ended.
    Outcome {
        /// Answered from this proxy's own memory.
        Hot = "hot",
        /// The owner had it.
        Hit = "hit",
        /// The owner had it, past its freshness.
        Stale = "stale",
        /// The owner loaded it.
        Miss = "miss",
        /// The owner revalidated it.
        Revalidated = "revalidated",
        /// It passed to the service.
        Pass = "pass",
        /// A cache does not answer it: another method, a body, an upgrade, gRPC, an event stream.
        Uncached = "uncached",
        /// It passed to the service because no peer answered.
        Failed = "failed",
        /// The group only observes. It would have been looked up.
        Observed = "observed",
        /// The response of an observed request was not the one that the cache would have given.
        Mismatch = meshcache_protocol::observe::MISMATCH,
    }
}

/// Returns the outcome of a request that passes for this reason.
pub fn outcome_of_pass(reason: Reason) -> Outcome {
    match reason {
        Reason::PeersFailed | Reason::NoPeer | Reason::TooSlow | Reason::OwnerError => Outcome::Failed,
        Reason::Method | Reason::Upgrade | Reason::Body | Reason::Expect | Reason::Grpc | Reason::EventStream => {
            Outcome::Uncached
        }
        _ => Outcome::Pass,
    }
}

/// The reasons for which a request passes in a proxy, in the order of their metrics.
pub const PASS_REASONS: [Reason; 36] = [
    Reason::NoFeed,
    Reason::NoGroup,
    Reason::NoPath,
    Reason::Method,
    Reason::Upgrade,
    Reason::Body,
    Reason::Expect,
    Reason::Grpc,
    Reason::EventStream,
    Reason::ControlPath,
    Reason::BadAuthority,
    Reason::BadTarget,
    Reason::AmbiguousPath,
    Reason::AmbiguousCookie,
    Reason::Loop,
    Reason::Off,
    Reason::Observe,
    Reason::BypassHeader,
    Reason::BypassCookie,
    Reason::BypassQuery,
    Reason::Caller,
    Reason::Route,
    Reason::Debugger,
    Reason::Conditional,
    Reason::Remembered,
    Reason::NoPeer,
    Reason::Full,
    Reason::NotText,
    Reason::RequestHeadTooLarge,
    Reason::Owner,
    Reason::OwnerError,
    Reason::PeersFailed,
    Reason::TooSlow,
    Reason::Leave,
    Reason::Fill,
    Reason::Host,
];

words! {
    /// Other events that a worker counts.
    Event {
        /// Lookups sent to peers.
        Lookup = "questions",
        /// Requests that joined a lookup in flight.
        Joined = "joined",
        /// Peers that did not answer a lookup.
        PeerFailure = "peer_failures",
        /// Lookups sent to the next peer while the first had not answered.
        Hedge = "hedges",
        /// Stale hot responses given in place of a service's failure while no coordinator answered.
        StaleIfError = "stale_if_error",
        /// Responses stored in the hot cache.
        HotStored = "hot_kept",
        /// Answers of the feed.
        Feed = "feed_answers",
        /// Feed requests without an answer that can be read.
        FeedFailure = "feed_failures",
        /// Looks into the hot cache that had to wait for another thread. There is none in Wasm.
        LockWait = "lock_waits",
    }
}

/// A worker's counters since they were last taken.
pub struct Counters {
    groups: Vec<(String, [u64; Outcome::ALL.len()])>,
    /// The index of the group that was counted last.
    last: usize,
    outcomes: [u64; Outcome::ALL.len()],
    reasons: [u64; PASS_REASONS.len()],
    events: [u64; Event::ALL.len()],
    /// What groups that observe have compared, as words of the feed.
    observed: GroupCounts,
}

impl Default for Counters {
    fn default() -> Self {
        let (outcomes, events) = ([0; Outcome::ALL.len()], [0; Event::ALL.len()]);
        let observed = GroupCounts::new();
        Self { groups: Vec::new(), last: 0, outcomes, reasons: [0; PASS_REASONS.len()], events, observed }
    }
}

/// More groups than any configuration has. A request of a further one is counted without its group.
const MAX_GROUPS: usize = 4096;

impl Counters {
    /// Counters a request of a group.
    pub fn count_request(&mut self, group: &str, outcome: Outcome) {
        add(&mut self.outcomes, outcome as usize, 1);
        // Requests come in runs of one group.
        let is = |entry: &(String, _)| entry.0 == group;
        if !self.groups.get(self.last).is_some_and(is) {
            self.last = self.groups.iter().position(is).unwrap_or(self.groups.len());
            if self.last == self.groups.len() && self.last < MAX_GROUPS {
                self.groups.push((group.to_owned(), Default::default()));
            }
        }
        if let Some((_, counters)) = self.groups.get_mut(self.last) {
            add(counters, outcome as usize, 1);
        }
    }

    /// Counts two responses of a group that observes, and what was compared of them where there is room for all of it:
    /// a part of it would mislead.
    pub fn count_comparison(&mut self, group: &Group, compared: &Comparison) {
        if compared.is_mismatch() {
            self.count_request(group.name(), Outcome::Mismatch);
        }
        let own = self.observed.entry(group.name().to_owned()).or_default();
        // One difference until the next report: an example.
        let words = word::words(group, compared, !own.keys().any(|known| word::is_difference(known)));
        let words = [(group.name().to_owned(), words.into_iter().map(|word| (word, 1)).collect())];
        merge(&mut self.observed, &words.into());
    }

    /// Counts the reason of a pass.
    pub fn count_pass(&mut self, reason: Reason) {
        // A test shows that every reason of this crate is among them.
        if let Some(at) = PASS_REASONS.iter().position(|one| *one == reason) {
            add(&mut self.reasons, at, 1);
        }
    }

    /// Counters an event.
    pub fn count_event(&mut self, event: Event) {
        self.count_events(event, 1);
    }

    /// Counts so many events.
    pub fn count_events(&mut self, event: Event, n: u64) {
        add(&mut self.events, event as usize, n);
    }

    /// Moves the counts of others here.
    pub fn absorb(&mut self, others: &mut Self) {
        let Self { groups, last: _, outcomes, reasons, events, observed } = std::mem::take(others);
        merge(&mut self.observed, &observed);
        sum(&mut self.outcomes, &outcomes);
        sum(&mut self.reasons, &reasons);
        sum(&mut self.events, &events);
        for (group, counts) in groups {
            if let Some((_, own)) = self.groups.iter_mut().find(|(own, _)| *own == group) {
                sum(own, &counts);
            } else if self.groups.len() < MAX_GROUPS {
                self.groups.push((group, counts));
            }
        }
    }

    /// Returns the counts by group.
    pub fn groups(&self) -> GroupCounts {
        // Inserted one by one: to collect a map is to sort, in much code.
        let mut all = self.observed.clone();
        for (group, counters) in &self.groups {
            for (outcome, n) in Outcome::ALL.iter().zip(counters).filter(|(_, n)| **n > 0) {
                all.entry(group.clone()).or_default().insert(outcome.label().to_owned(), *n);
            }
        }
        all
    }

    /// Clears the counts by group, after they were handed over.
    pub fn clear_groups(&mut self) {
        self.groups.clear();
        self.observed.clear();
    }

    /// Hands over the counts for Envoy's metrics: the index among [`metric_names`] and the increment.
    pub fn take_metrics(&mut self, mut add: impl FnMut(usize, u64)) {
        let all = self.outcomes.iter_mut().chain(&mut self.reasons).chain(&mut self.events);
        for (at, counter) in all.enumerate() {
            match std::mem::take(counter) {
                0 => {}
                n => add(at, n),
            }
        }
    }
}

/// The names of Envoy's gauges: the content of the proxy's hot caches.
pub const GAUGES: [&str; 2] = ["meshcache_filter_hot_bytes", "meshcache_filter_hot_items"];

/// The names of Envoy's counters, in the order of [`Counters::take_metrics`].
pub fn metric_names() -> impl Iterator<Item = String> {
    let outcomes = Outcome::ALL.iter().map(|o| format!("meshcache_filter_requests_{}", o.label()));
    let reasons = PASS_REASONS.iter().map(|r| format!("meshcache_filter_pass_{}", r.label().replace('-', "_")));
    outcomes.chain(reasons).chain(Event::ALL.iter().map(|e| format!("meshcache_filter_{}", e.label())))
}

/// Adds counts to others. Of what was observed all of a group is added, or nothing for lack of room.
pub fn merge(into: &mut GroupCounts, more: &GroupCounts) {
    for (group, outcomes) in more {
        let words = into.values().chain([outcomes]).flat_map(BTreeMap::keys);
        let is_full = words.filter(|word| word::is_observed(word)).count() > word::MAX_WORDS;
        let counters = into.entry(group.clone()).or_default();
        let is_new = |word: &String| !counters.contains_key(word);
        let leaves_out = is_full && outcomes.keys().any(|word| word::is_observed(word) && is_new(word));
        for (outcome, n) in outcomes {
            if leaves_out && word::is_observed(outcome) {
                continue;
            }
            let counter = counters.entry(outcome.clone()).or_default();
            *counter = counter.saturating_add(*n);
        }
    }
}

/// Subtracts counts from others and drops those that become zero.
pub fn subtract(from: &mut GroupCounts, less: &GroupCounts) {
    for (group, outcomes) in less {
        for (outcome, n) in outcomes {
            if let Some(counter) = from.get_mut(group).and_then(|counters| counters.get_mut(outcome)) {
                *counter = counter.saturating_sub(*n);
            }
        }
    }
    from.values_mut().for_each(|outcomes| outcomes.retain(|_, n| *n > 0));
    from.retain(|_, outcomes| !outcomes.is_empty());
}

fn sum(counters: &mut [u64], more: &[u64]) {
    counters.iter_mut().zip(more).for_each(|(counter, more)| *counter = counter.saturating_add(*more));
}

fn add(counters: &mut [u64], at: usize, n: u64) {
    if let Some(counter) = counters.get_mut(at) {
        *counter = counter.saturating_add(n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_taken_once() {
        let mut counters = Counters::default();
        for group in ["a", "b", "a"] {
            counters.count_request(group, Outcome::Hot);
        }
        counters.count_pass(Reason::Loop);
        assert_eq!(serde_json::to_string(&counters.groups()).unwrap(), r#"{"a":{"hot":2},"b":{"hot":1}}"#);
        counters.clear_groups();
        assert!(counters.groups().is_empty());
        let names: Vec<_> = metric_names().collect();
        let mut metrics = Vec::new();
        counters.take_metrics(|at, n| metrics.push((names[at].as_str(), n)));
        assert_eq!(metrics, [("meshcache_filter_requests_hot", 3), ("meshcache_filter_pass_loop", 1)]);
        counters.take_metrics(|_, _| unreachable!());
    }

    #[test]
    fn every_reason_of_this_crate_is_counted() {
        let mut named = std::collections::BTreeSet::new();
        let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
        while let Some(path) = folders.pop() {
            if path.is_dir() {
                folders.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
                continue;
            }
            let text = std::fs::read_to_string(path).unwrap();
            let names = text
                .split("Reason::")
                .skip(1)
                .map(|rest| rest.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned());
            named.extend(names.filter(|name| !name.is_empty()));
        }
        // The reasons of responses.
        let of_responses = ["OriginError", "Private", "NoStore"];
        let not_counted: Vec<_> = named
            .iter()
            .filter(|name| {
                !of_responses.contains(&name.as_str())
                    && !PASS_REASONS.iter().any(|reason| format!("{reason:?}") == **name)
            })
            .collect();
        assert!(named.len() > 20 && not_counted.is_empty(), "{not_counted:?}");
    }

    #[test]
    fn every_metric_is_documented_and_every_documented_one_is_there() {
        let page = include_str!("../../../docs/metrics.md");
        let mut documented: Vec<_> = page
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
            .filter(|name| name.contains("_filter_"))
            .collect();
        let own: Vec<String> = metric_names().chain(GAUGES.map(str::to_owned)).collect();
        let mut own: Vec<_> = own.iter().map(String::as_str).collect();
        documented.sort_unstable();
        own.sort_unstable();
        assert_eq!(documented, own);
    }

    #[test]
    fn what_was_sent_is_subtracted_and_what_came_since_stays() {
        let mut all: GroupCounts = serde_json::from_str(r#"{"a":{"hot":2},"b":{"hot":1}}"#).unwrap();
        let sent = all.clone();
        merge(&mut all, &serde_json::from_str(r#"{"a":{"hot":5},"c":{"miss":1}}"#).unwrap());
        subtract(&mut all, &sent);
        assert_eq!(serde_json::to_string(&all).unwrap(), r#"{"a":{"hot":5},"c":{"miss":1}}"#);
    }
}
