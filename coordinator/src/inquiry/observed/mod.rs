//! The evidence of groups that observe: of this coordinator, and of all of them together.

mod amend;
mod verdict;

use self::verdict::Rank;
use crate::cache::{observe::evidence::Evidence, state::Cache};
use meshcache_admin::{Coordinator, Difference, DifferingPart, Observed};
use meshcache_protocol::{
    Group, Groups,
    groups::{GroupConfig, Mode},
};
use std::{cmp::Reverse, collections::BTreeMap};

/// The most differences that are told of a group, and the most candidates of one.
const MAX_DIFFERENCES: usize = 20;
const MAX_CANDIDATES: usize = 8;
/// The most parts that are told of a group.
const MAX_PARTS: usize = 64;

/// Returns what this coordinator has seen of a group. `None`: the group does not observe.
pub(crate) fn of(cache: &Cache, group: &str) -> Option<Observed> {
    let table = cache.group_table();
    let served = table.named(group)?;
    let config = served.group.config();
    (config.mode == Mode::Observe).then(|| {
        let evidence = served.evidence.lock().clone();
        concluded(told(evidence, cache.clock.now()), config)
    })
}

/// Returns what all coordinators have seen of each group that observes here, under the rules that it has here.
pub(crate) fn of_all(coordinators: &[Coordinator], groups: &Groups) -> BTreeMap<String, Observed> {
    let observing = groups.iter().filter(|group| group.config().mode == Mode::Observe);
    let sum = |of: &Group| {
        let states = coordinators.iter().filter_map(|coordinator| coordinator.state.as_ref());
        let groups = states.flat_map(|state| &state.groups);
        let same = groups.filter(|group| group.name == of.name() && group.digest == of.digest());
        same.filter_map(|group| group.observed.as_ref()).fold(Observed::default(), added)
    };
    observing.map(|group| (group.name().to_owned(), concluded(sum(group), group.config()))).collect()
}

fn told(evidence: Evidence, now: u64) -> Observed {
    let Evidence { began, compared, told, mismatches, parts, last } = evidence;
    let parts = parts.into_iter().map(|(name, of)| DifferingPart {
        name,
        in_mismatches: of.in_mismatches,
        in_matches: of.in_matches,
    });
    let last = last.into_iter().map(|one| Difference {
        ago: now.saturating_sub(one.at),
        url: one.url,
        differs: one.differs,
        candidates: one.unlike,
        told: one.told,
    });
    let for_seconds = began.map_or(0, |began| now.saturating_sub(began) / 1000);
    let (parts, last) = (parts.collect(), last.collect());
    Observed { compared, told, mismatches, for_seconds, parts, last, ..Observed::default() }
}

/// Adds what another coordinator has seen.
fn added(mut all: Observed, more: &Observed) -> Observed {
    all.compared = all.compared.saturating_add(more.compared);
    all.told = all.told.saturating_add(more.told);
    all.mismatches = all.mismatches.saturating_add(more.mismatches);
    all.for_seconds = all.for_seconds.max(more.for_seconds);
    for part in more.parts.iter().take(MAX_PARTS) {
        match all.parts.iter_mut().find(|own| own.name == part.name) {
            Some(own) => {
                own.in_mismatches = own.in_mismatches.saturating_add(part.in_mismatches);
                own.in_matches = own.in_matches.saturating_add(part.in_matches);
            }
            None => all.parts.push(part.clone()),
        }
    }
    all.last.extend(more.last.iter().take(MAX_DIFFERENCES).cloned());
    all
}

/// Draws the conclusion, and orders the rest by it: what explains comes first, and what differs whatever the responses
/// are is left out.
fn concluded(observed: Observed, config: &GroupConfig) -> Observed {
    let (verdict, rank) = (verdict::of(&observed, config), Rank::new(&observed));
    let mut parts = observed.parts.clone();
    parts.sort_by_cached_key(|part| (Reverse(rank.explains(&part.name)), rank.of(&part.name)));
    parts.truncate(MAX_PARTS);
    let mut last = observed.last.clone();
    last.sort_by_key(|difference| difference.ago);
    last.truncate(MAX_DIFFERENCES);
    for difference in &mut last {
        difference.candidates.retain(|name| rank.may_explain(name));
        difference.candidates.sort_by_cached_key(|name| rank.of(name));
        difference.candidates.truncate(MAX_CANDIDATES);
    }
    Observed { verdict, parts, last, ..observed }
}

#[cfg(test)]
mod tests;
