//! Counters: of this worker for Envoy's own metrics, and by group for the coordinators.

pub use meshcache_protocol::Reason;
use std::collections::BTreeMap;

/// Group to outcome to how many requests: as the feed's question carries it.
pub type ByGroup = BTreeMap<String, BTreeMap<String, u64>>;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$each:meta])* $variant:ident = $word:expr,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum $name { $($(#[$each])* $variant,)* }

        impl $name {
            /// Every one.
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
        /// The owner had it confirmed.
        Revalidated = "revalidated",
        /// It went its ordinary way to the service.
        Pass = "pass",
        /// It is nothing that a cache answers: another method, a body, an upgrade, gRPC, an event stream.
        Uncached = "uncached",
        /// It went its ordinary way because no peer answered.
        Failed = "failed",
        /// The group only observes: it would have been looked up.
        Observed = "observed",
        /// One of these came with another response than it would have been answered with.
        Mismatch = meshcache_protocol::observe::MISMATCH,
    }
}

/// What a request that passes counts as, by why it does.
pub fn outcome(reason: Reason) -> Outcome {
    match reason {
        Reason::PeersFailed | Reason::NoPeer | Reason::TooSlow | Reason::OwnerError => Outcome::Failed,
        Reason::Method | Reason::Upgrade | Reason::Body | Reason::Expect | Reason::Grpc | Reason::EventStream => {
            Outcome::Uncached
        }
        _ => Outcome::Pass,
    }
}

/// Why a request passes here, as it is counted.
pub const PASSES: [Reason; 34] = [
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
    Reason::Host,
];

words! {
    /// What else a worker counts.
    Event {
        /// Questions sent to peers.
        Question = "questions",
        /// Requests that joined a question under way.
        Joined = "joined",
        /// Peers that did not answer a question.
        PeerFailure = "peer_failures",
        /// Questions to the next peer while the first was still waited for.
        Hedge = "hedges",
        /// Hot answers past their time given in place of a service's failure, while no coordinator answered.
        StandIn = "stale_if_error",
        /// Answers put into the hot cache.
        Kept = "hot_kept",
        /// Feed answers.
        Feed = "feed_answers",
        /// Feed questions without an answer that can be read.
        FeedFailure = "feed_failures",
    }
}

/// A worker's counters since they were last taken.
pub struct Counts {
    groups: Vec<(String, [u64; Outcome::ALL.len()])>,
    last: usize,
    outcomes: [u64; Outcome::ALL.len()],
    reasons: [u64; PASSES.len()],
    events: [u64; Event::ALL.len()],
}

impl Default for Counts {
    fn default() -> Self {
        let (outcomes, events) = ([0; Outcome::ALL.len()], [0; Event::ALL.len()]);
        Self { groups: Vec::new(), last: 0, outcomes, reasons: [0; PASSES.len()], events }
    }
}

/// More groups than any configuration has; beyond it a request is counted without its group.
const MOST_GROUPS: usize = 4096;

impl Counts {
    /// Counts a request of a group.
    pub fn outcome(&mut self, group: &str, outcome: Outcome) {
        add(&mut self.outcomes, outcome as usize);
        // Requests come in runs of one group.
        let is = |entry: &(String, _)| entry.0 == group;
        if !self.groups.get(self.last).is_some_and(is) {
            self.last = self.groups.iter().position(is).unwrap_or(self.groups.len());
            if self.last == self.groups.len() && self.last < MOST_GROUPS {
                self.groups.push((group.to_owned(), Default::default()));
            }
        }
        if let Some((_, counters)) = self.groups.get_mut(self.last) {
            add(counters, outcome as usize);
        }
    }

    /// Counts why a request passed.
    pub fn pass(&mut self, reason: Reason) {
        // Every reason of this filter is among them: its tests see to that.
        if let Some(at) = PASSES.iter().position(|one| *one == reason) {
            add(&mut self.reasons, at);
        }
    }

    /// Counts an event.
    pub fn event(&mut self, event: Event) {
        add(&mut self.events, event as usize);
    }

    /// What was counted by group.
    pub fn groups(&self) -> ByGroup {
        let named = |counters: &[u64; Outcome::ALL.len()]| {
            let some = Outcome::ALL.iter().zip(counters).filter(|(_, n)| **n > 0);
            some.map(|(outcome, n)| (outcome.label().to_owned(), *n)).collect::<BTreeMap<_, _>>()
        };
        let all = self.groups.iter().map(|(group, counters)| (group.clone(), named(counters)));
        all.filter(|(_, counters)| !counters.is_empty()).collect()
    }

    /// Forgets what was counted by group: it is in good hands.
    pub fn clear_groups(&mut self) {
        self.groups.clear();
    }

    /// Hands over what was counted for Envoy's metrics: its place among all metrics, and how many.
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

/// The names of Envoy's gauges: what is in this proxy's memory.
pub const GAUGES: [&str; 2] = ["meshcache_filter_hot_bytes", "meshcache_filter_hot_items"];

/// The names of Envoy's counters, in the order of [`Counts::take_metrics`].
pub fn metric_names() -> impl Iterator<Item = String> {
    let outcomes = Outcome::ALL.iter().map(|o| format!("meshcache_filter_requests_{}", o.label()));
    let reasons = PASSES.iter().map(|r| format!("meshcache_filter_pass_{}", r.label().replace('-', "_")));
    outcomes.chain(reasons).chain(Event::ALL.iter().map(|e| format!("meshcache_filter_{}", e.label())))
}

/// Adds one to another.
pub fn merge(into: &mut ByGroup, more: &ByGroup) {
    for (group, outcomes) in more {
        let known = into.entry(group.clone()).or_default();
        for (outcome, n) in outcomes {
            let counter = known.entry(outcome.clone()).or_default();
            *counter = counter.saturating_add(*n);
        }
    }
}

/// Takes one from another; what comes to nothing is gone.
pub fn subtract(from: &mut ByGroup, less: &ByGroup) {
    for (group, outcomes) in less {
        for (outcome, n) in outcomes {
            if let Some(counter) = from.get_mut(group).and_then(|known| known.get_mut(outcome)) {
                *counter = counter.saturating_sub(*n);
            }
        }
    }
    from.values_mut().for_each(|outcomes| outcomes.retain(|_, n| *n > 0));
    from.retain(|_, outcomes| !outcomes.is_empty());
}

fn add(counters: &mut [u64], at: usize) {
    if let Some(counter) = counters.get_mut(at) {
        *counter = counter.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_taken_once() {
        let mut counts = Counts::default();
        for group in ["a", "b", "a"] {
            counts.outcome(group, Outcome::Hot);
        }
        counts.pass(Reason::Loop);
        assert_eq!(serde_json::to_string(&counts.groups()).unwrap(), r#"{"a":{"hot":2},"b":{"hot":1}}"#);
        counts.clear_groups();
        assert!(counts.groups().is_empty());
        let names: Vec<_> = metric_names().collect();
        let mut metrics = Vec::new();
        counts.take_metrics(|at, n| metrics.push((names[at].as_str(), n)));
        assert_eq!(metrics, [("meshcache_filter_requests_hot", 3), ("meshcache_filter_pass_loop", 1)]);
        counts.take_metrics(|_, _| unreachable!());
    }

    #[test]
    fn every_reason_of_the_filter_is_counted() {
        let mut said = std::collections::BTreeSet::new();
        let folders = ["src/http", "src/request", "src/request/exchange", "src/state"]
            .map(|folder| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder));
        for file in folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap()) {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap_or_default();
            let names = text
                .split("Reason::")
                .skip(1)
                .map(|rest| rest.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned());
            said.extend(names.filter(|name| !name.is_empty()));
        }
        // These are said of answers.
        let of_answers = ["OriginError", "Private", "NoStore"];
        let not_counted: Vec<_> = said
            .iter()
            .filter(|name| {
                !of_answers.contains(&name.as_str()) && !PASSES.iter().any(|reason| format!("{reason:?}") == **name)
            })
            .collect();
        assert!(said.len() > 20 && not_counted.is_empty(), "{not_counted:?}");
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
        let mut all: ByGroup = serde_json::from_str(r#"{"a":{"hot":2},"b":{"hot":1}}"#).unwrap();
        let sent = all.clone();
        merge(&mut all, &serde_json::from_str(r#"{"a":{"hot":5},"c":{"miss":1}}"#).unwrap());
        subtract(&mut all, &sent);
        assert_eq!(serde_json::to_string(&all).unwrap(), r#"{"a":{"hot":5},"c":{"miss":1}}"#);
    }
}
