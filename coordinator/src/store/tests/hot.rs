//! Hot copies in the store.

use super::*;

/// Asks for a key, and stores a copy of this many bytes if it is hot.
fn ask(store: &Store, quota: &Quota, n: usize, bytes: usize, now: u64) -> bool {
    if store.get_hot(quota, &key(n), now, |_| true).is_some() {
        return true;
    }
    let load = store.begin(key(n), Arc::default());
    store.is_hot(&key(n)) && store.put_hot(quota, &load, entry(bytes, 1_000_000, now, None), now)
}

fn is_there(store: &Store, quota: &Quota, n: usize, now: u64) -> bool {
    store.get_of(CacheType::Hot, quota, &key(n), now, |_| true).is_some()
}

#[test]
fn a_key_is_copied_when_it_is_asked_for_again() {
    let (store, quota) = store(64 * MIB);
    assert!(!ask(&store, &quota, 1, 100, 0) && ask(&store, &quota, 1, 100, 0) && is_there(&store, &quota, 1, 0));
    for n in 2..20_000 {
        ask(&store, &quota, n, 100, 0);
    }
    let copies = store.usage()[1].items;
    assert!(copies < 400, "a scan leaves few copies: {copies}");
}

#[test]
fn copies_take_an_eighth_of_the_store_and_of_each_group_and_count_in_its_limit() {
    let store = Store::new(16 * MIB);
    let quotas = store.quotas(&[("a", 16 * MIB), ("b", 16 * MIB), ("small", MIB)]);
    let copies = || store.usage().into_iter().skip(3).map(|usage| usage.bytes).collect::<Vec<_>>();
    for n in 0..2000 {
        let quota = &quotas[n % 3];
        put(&store, quota, 10_000 + n, entry(20_000, 1_000_000, 0, None), 0);
        for _ in 0..2 + n / 500 {
            ask(&store, quota, n, 4000, 0);
        }
        assert!(copies().iter().sum::<u64>() <= 2 * MIB && copies()[2] <= MIB / 8, "{:?}", copies());
        assert!(store.used() <= 16 * MIB + 64 * 1024, "{}", store.used());
        let small: u64 = store.usage().iter().filter(|usage| usage.group == "small").map(|usage| usage.bytes).sum();
        assert!(small <= MIB, "{small}");
    }
    assert!(copies().iter().sum::<u64>() > MIB && copies()[2] > MIB / 16, "{:?}", copies());
    assert!(!ask(&store, &quotas[0], 9999, MIB as usize, 0) && !ask(&store, &quotas[0], 9999, MIB as usize, 0));
}

#[test]
fn what_is_asked_for_most_keeps_its_place() {
    let (store, quota) = store(MIB);
    for n in 0..10 {
        (0..50).for_each(|_| _ = ask(&store, &quota, n, 10_000, 0));
    }
    for n in 10..1000 {
        (0..3).for_each(|_| _ = ask(&store, &quota, n, 10_000, 1));
    }
    assert!((0..10).all(|n| is_there(&store, &quota, n, 2)));
    assert_eq!(store.usage()[1].evictions_nonexpired, store.usage()[1].evictions);
}

#[test]
fn a_copy_is_no_entry_for_peers_and_gives_way_to_one() {
    let (store, quota) = store(64 * MIB);
    let ask = || ask(&store, &quota, 1, 100, 0);
    assert!(!ask() && ask());
    assert!(store.peek(&quota, &key(1), 0).is_none() && store.keys_by_use().is_empty() && !has(&store, &quota, 1, 0));
    put(&store, &quota, 1, entry(10, 1000, 0, None), 0);
    assert!(!is_there(&store, &quota, 1, 0), "what was loaded here is newer");
    assert_eq!((store.usage()[0].items, store.usage()[1].items, store.usage()[1].bytes), (1, 0, 0));
}

#[test]
fn copies_end_by_purges_and_removals_and_by_their_time() {
    let (store, quota) = store(64 * MIB);
    let fill = |now| assert!((0..3).any(|_| ask(&store, &quota, 1, 100, now)));
    let purge = |action| store.purge(&[PurgeScope::Group("g".into())], action, |_, _| true).entries;
    for action in [PurgeAction::Remove, PurgeAction::MakeStale(1)] {
        fill(0);
        assert_eq!((purge(PurgeAction::Count), purge(action)), (0, 0), "it counts where it is stored");
        assert!(!is_there(&store, &quota, 1, 1), "{action:?}");
    }
    fill(0);
    assert_eq!(store.remove(&quota, key(1).hash(), 0), Purged::default());
    assert!(!is_there(&store, &quota, 1, 0));
    fill(0);
    store.remove_variants(&quota, &key(1), |_| true);
    assert!(!is_there(&store, &quota, 1, 0));
    fill(0);
    expire(&store, 1_001_000);
    let usage = &store.usage()[1];
    assert_eq!((usage.items, usage.bytes, usage.evictions, usage.evictions_nonexpired), (0, 0, 1, 0));
    let load = store.begin(key(1), Arc::default());
    store.purge_loads(|_| PurgeMatch::Yes);
    assert!(!store.put_hot(&quota, &load, entry(100, 1000, 0, None), 0), "a purge that comes meanwhile wins");
}

#[test]
fn a_copy_lives_for_its_time_and_no_longer_than_it_is_fresh() {
    let mut of = (*entry(10, 60_000, 5000, None)).clone();
    of.stored = Stored { initial_age: 20_000, if_error: 9000, validator: true, ..of.stored };
    for (ttl, deadline) in [(10_000, 15_000), (40_000, 45_000), (90_000, 45_000)] {
        let copy = of.hot_copy(ttl, Arc::default());
        assert_eq!((copy.deadline(), copy.stored.age(0)), (deadline, 20_000), "{ttl}");
        assert!(copy.stored.is_fresh(deadline - 5001) && !copy.stored.is_fresh(deadline - 5000));
    }
}
