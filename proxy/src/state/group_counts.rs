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

/// Adds counts to others. Of what was observed, parts and differences for which there is no room are left out until
/// the next report; the counts of what was compared and of what differed never are.
pub fn merge(into: &mut GroupCounts, more: &GroupCounts) {
    let may_be_left_out =
        |outcomes: &BTreeMap<String, u64>| outcomes.keys().filter(|w| word::may_be_left_out(w)).count();
    let mut words = into.values().map(may_be_left_out).fold(0_usize, usize::saturating_add);
    for (group, outcomes) in more {
        let counters = into.entry(group.clone()).or_default();
        for (outcome, n) in outcomes {
            if word::may_be_left_out(outcome) && !counters.contains_key(outcome) {
                // Counted in one case and not in the other, a part would explain what it does not.
                let has_twin = || word::twin(outcome).is_some_and(|twin| counters.contains_key(&twin));
                if words >= word::MAX_WORDS / 2 && !has_twin() {
                    continue;
                }
                words = words.saturating_add(1);
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
    fn what_was_compared_and_what_differed_is_told_however_little_room_there_is_for_parts() {
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
        // A difference in a group that has had no room for its parts, and of a part that has its other word already.
        let other = Group::for_tests(r#"{"name": "other", "mode": "observe"}"#);
        counters.count_comparison(&other, &compared(&["body"], &odd(1)));
        counters.count_comparison(&group, &compared(&["body"], &odd(0)));
        let all = counters.report();
        let words = all.values().flat_map(BTreeMap::keys).filter(|word| word::may_be_left_out(word)).count();
        assert!((word::MAX_WORDS / 2..=word::MAX_WORDS).contains(&words), "{words}");
        assert_eq!((told(&counters, " compared"), told(&counters, " mismatch")), (vec![104], vec![3]));
        let of_other: Vec<_> = all["other"].iter().filter(|(word, _)| word::is_observed(word)).collect();
        assert!(of_other.iter().any(|(word, n)| word.ends_with(" mismatch") && **n == 1), "{of_other:?}");
        let names = |what| told(&counters, what).len();
        assert_eq!((names("in-match\theader x-0-"), names("in-mismatch\theader x-0-")), (30, 30), "both or none");
        assert_eq!(all["g"]["mismatch"], 3);
        let mut shared = counters.report();
        merge(&mut shared, &counters.report());
        assert_eq!(shared["g"]["mismatch"], 6);
        let outcomes = counters.groups()["g"].keys().all(|word| !word::is_observed(word));
        assert!(outcomes, "the host has metrics of outcomes alone");
        counters.clear_groups();
        assert!(counters.report().is_empty());
    }
}
