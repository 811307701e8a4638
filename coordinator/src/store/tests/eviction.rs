//! Limits, eviction and expiry.

use super::*;

#[test]
fn the_limit_holds_whatever_is_stored() {
    let (store, quota) = store(4 * MIB);
    for n in 0..20_000 {
        put(&store, &quota, n, entry(1024, 1_000_000, n as u64, None), n as u64);
        assert!(store.used() <= 4 * MIB + 64 * 1024, "{}", store.used());
    }
    let usage = &store.usage()[0];
    assert!(usage.items * 1024 > 4 * MIB / 3, "{} entries of 1 KiB in 4 MiB", usage.items);
    assert_eq!((usage.evictions + usage.items, usage.evictions_nonexpired), (20_000, usage.evictions));
}

#[test]
fn entries_free_the_bytes_that_they_took() {
    let (store, quota) = store(4 * MIB);
    for n in 0..1000 {
        put(&store, &quota, n % 300, entry(n, 5000, n as u64, (n % 2 == 0).then_some("a")), n as u64);
    }
    assert!(store.usage()[0].bytes > 0);
    expire(&store, 10_000);
    let usage = &store.usage()[0];
    assert_eq!((usage.bytes, usage.items), (0, 0));
    assert!(store.used() < 64 * 1024, "only tables are left: {}", store.used());
}

#[test]
fn expired_entries_are_freed_without_a_lookup() {
    let (store, quota) = store(64 * MIB);
    for n in 0..10_000 {
        put(&store, &quota, n, entry(100, 1000 + n as u64, 0, None), 0);
    }
    expire(&store, 999);
    assert_eq!(store.usage()[0].items, 10_000);
    expire(&store, 6999);
    let left = store.usage()[0].items;
    assert!((4000..=5000).contains(&left), "a deadline is at most a second late: {left}");
    assert!(!has(&store, &quota, 4000, 6999) && has(&store, &quota, 7000, 6999));
    expire(&store, 20_000);
    assert_eq!(
        (store.usage()[0].items, store.usage()[0].evictions, store.usage()[0].evictions_nonexpired),
        (0, 10_000, 0)
    );
}

#[test]
fn an_entry_that_is_stored_again_lives_on_and_deadlines_do_not_pile_up() {
    let (store, quota) = store(4 * MIB);
    for n in 0..100_000u64 {
        put(&store, &quota, 1, entry(10, 100_000 - n / 2, n, None), n);
    }
    assert!(store.used() < 64 * 1024, "{}", store.used());
    expire(&store, 120_000);
    assert!(has(&store, &quota, 1, 120_000));
    expire(&store, 200_000);
    assert!(store.usage()[0].items == 0 && !has(&store, &quota, 1, 120_000));
}

#[test]
fn a_scan_of_cold_keys_leaves_the_warm_ones() {
    let (store, quota) = store(4 * MIB);
    let warm = 500;
    for n in 0..warm {
        put(&store, &quota, n, entry(1024, 1_000_000, 0, None), 0);
    }
    (0..warm).for_each(|n| assert!(has(&store, &quota, n, 1)));
    for n in warm..warm + 50_000 {
        put(&store, &quota, n, entry(1024, 1_000_000, 2, None), 2);
    }
    let left = (0..warm).filter(|n| has(&store, &quota, *n, 3)).count();
    assert_eq!(left, warm, "keys that were used twice stay");
}

#[test]
fn one_groups_scan_leaves_anothers_warm_keys() {
    let store = Store::new(4 * MIB);
    let quotas = store.quotas(&[("a", 4 * MIB), ("b", 4 * MIB)]);
    (0..500).for_each(|n| assert!(put(&store, &quotas[0], n, entry(1024, 1_000_000, 0, None), 0)));
    (0..500).for_each(|n| assert!(has(&store, &quotas[0], n, 1)));
    (0..50_000).for_each(|n| assert!(put(&store, &quotas[1], n, entry(1024, 1_000_000, 2, None), 2)));
    assert_eq!((0..500).filter(|n| has(&store, &quotas[0], *n, 3)).count(), 500);
}

#[test]
fn a_group_takes_no_more_than_its_share() {
    let store = Store::new(8 * MIB);
    let quotas = store.quotas(&[("a", 2 * MIB), ("b", 8 * MIB)]);
    (0..1000).for_each(|n| assert!(put(&store, &quotas[1], n, entry(1024, 1_000_000, 0, None), 0)));
    (0..10_000).for_each(|n| assert!(put(&store, &quotas[0], n, entry(1024, 1_000_000, 0, None), 0)));
    let usage = store.usage();
    assert!(usage[0].bytes <= 2 * MIB && usage[0].bytes > 2 * MIB - 4096, "{usage:?}");
    assert_eq!(usage[1].items, 1000);
    store.quotas(&[("b", 8 * MIB)]);
    assert_eq!((store.usage()[0].bytes, store.usage()[1].items), (0, 1000), "a group that is gone keeps nothing");
}

#[test]
fn an_entry_that_cannot_fit_evicts_nothing() {
    let (store, quota) = store(MIB);
    (0..100).for_each(|n| assert!(put(&store, &quota, n, entry(1024, 1000, 0, None), 0)));
    assert!(!put(&store, &quota, 1000, entry(2 << 20, 1000, 0, None), 0));
    assert_eq!((store.usage()[0].items, store.usage()[0].evictions), (100, 0));
}
