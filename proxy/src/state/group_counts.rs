//! Counts by group, on their way to a coordinator: requests by outcome, and what groups that observe have compared, in
//! the words of the feed.

use meshcache_protocol::{
    Group,
    observe::{Comparison, word},
};
use std::collections::BTreeMap;

/// The number of requests by group and outcome, as the feed reports it.
pub type GroupCounts = BTreeMap<String, BTreeMap<String, u64>>;

/// Adds two responses that were compared.
pub(crate) fn add_comparison(all: &mut GroupCounts, group: &Group, compared: &Comparison) {
    // One difference until the next report: an example.
    let is_first = |own: &BTreeMap<String, u64>| !own.keys().any(|known| word::is_difference(known));
    let with_difference = all.get(group.name()).is_none_or(is_first);
    let mut more = GroupCounts::new();
    let counters = more.entry(group.name().to_owned()).or_default();
    word::words(group, compared, with_difference).into_iter().for_each(|word| {
        counters.insert(word, 1);
    });
    merge(all, &more);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::counters::Counters;

    #[test]
    fn what_was_sent_is_subtracted_and_what_came_since_stays() {
        let mut all: GroupCounts = serde_json::from_str(r#"{"a":{"hot":2},"b":{"hot":1}}"#).unwrap();
        let sent = all.clone();
        merge(&mut all, &serde_json::from_str(r#"{"a":{"hot":5},"c":{"miss":1}}"#).unwrap());
        subtract(&mut all, &sent);
        assert_eq!(serde_json::to_string(&all).unwrap(), r#"{"a":{"hot":5},"c":{"miss":1}}"#);
    }

    #[test]
    fn what_was_compared_is_told_whole_or_not_at_all_and_never_in_more_words_than_there_is_room_for() {
        let group = Group::for_tests(r#"{"mode": "observe"}"#);
        let compared = |differs: &[&str], unlike: &[String]| Comparison {
            differs: differs.iter().map(|what| (*what).to_owned()).collect(),
            unlike: unlike.to_vec(),
            url: "http://h/a".to_owned(),
        };
        let told = |counters: &Counters, what: &str| {
            let all = counters.report();
            let words = all.get("g").into_iter().flatten().filter(|(word, _)| word.contains(what));
            words.map(|(_, times)| *times).collect::<Vec<_>>()
        };
        let mut counters = Counters::default();
        counters.count_comparison(&group, &compared(&[], &["header x-a".to_owned()]));
        counters.count_comparison(&group, &compared(&["body"], &["header x-a".to_owned()]));
        counters.count_comparison(&group, &compared(&["location"], &["header x-b".to_owned()]));
        assert_eq!((told(&counters, " compared"), told(&counters, " difference\t")), (vec![3], vec![1]));
        assert_eq!(
            (told(&counters, "in-match\theader x-a"), told(&counters, "in-mismatch\theader x-a")),
            (vec![1], vec![1])
        );
        let odd = |n: u32| -> Vec<String> { (0..30).map(|of| format!("header x-{n}-{of}")).collect() };
        for n in 0..100 {
            counters.count_comparison(&group, &compared(&[], &odd(n)));
        }
        let words = counters.report()["g"].keys().filter(|word| word::is_observed(word)).count();
        assert!((100..=word::MAX_WORDS).contains(&words), "{words}");
        let names = told(&counters, "in-match\theader x-").len() as u64;
        assert_eq!((names - 1) / 30, told(&counters, " compared")[0] - 3, "all parts of what is counted");
        assert_eq!(counters.report()["g"]["mismatch"], 2, "which are counted in any case");
        let mut shared = counters.report();
        merge(&mut shared, &counters.report());
        assert_eq!(shared["g"]["mismatch"], 4);
        let outcomes = counters.groups()["g"].keys().all(|word| !word::is_observed(word));
        assert!(outcomes, "the host has metrics of outcomes alone");
        counters.clear_groups();
        assert!(counters.report().is_empty());
    }
}
