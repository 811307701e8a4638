//! Entries from another store.

use super::*;

fn transfer(store: &Store, quota: &Quota, n: usize, used: Recency, now: u64) -> bool {
    let load = store.begin(key(n), Arc::default());
    store.put_transferred(quota, &load, entry(60_000, 3_600_000, now, None), now, used)
}

#[test]
fn transferred_entries_are_in_the_index_as_well() {
    let (store, quota) = store(MIB);
    let (key, entry) = tagged("/a", "t1 t2", 0);
    for term in [IndexTerm::path("/a"), IndexTerm::tag(b"t2")] {
        for warm in [false, true] {
            let load = store.begin(key.clone(), Arc::default());
            assert!(store.put_transferred(&quota, &load, entry.clone(), 0, Recency { warm, touched: 0 }));
            assert_eq!(
                store.purge(&[PurgeScope::Indexed("g".into(), vec![term])], PurgeAction::Remove, |_, _| true).entries,
                1
            );
        }
    }
    assert_eq!(store.usage()[0].bytes, 0);
}

#[test]
fn a_transferred_entry_never_evicts_one_that_is_used_more() {
    let (store, quota) = store(4 * MIB);
    let cold = |touched| Recency { warm: false, touched };
    // Full of keys that were used at 1,000 and later.
    let mut own = 0;
    while store.usage()[0].evictions == 0 {
        put(&store, &quota, own, entry(60_000, 3_600_000, 1000 + own as u64, None), 1000 + own as u64);
        own += 1;
    }
    let items = store.usage()[0].items;
    assert!(!transfer(&store, &quota, 1000, cold(500), 5000), "it was used less than all of them");
    assert_eq!(store.usage()[0].items, items);
    assert!(transfer(&store, &quota, 1001, Recency { warm: true, touched: 500 }, 5000), "it was used more than once");
    assert!(transfer(&store, &quota, 1002, cold(4000), 5000), "it was used later");
    assert!(has(&store, &quota, 1001, 5000) && has(&store, &quota, 1002, 5000));
    assert!(store.used() <= 4 * MIB);
}

#[test]
fn keys_are_listed_by_use_and_keep_that_order_in_another_store() {
    let (from, quota) = store(4 * MIB);
    for n in 0..20 {
        put(&from, &quota, n, entry(1000, 3_600_000, n as u64, None), n as u64);
    }
    has(&from, &quota, 3, 100);
    let ranked_keys = from.keys_by_use();
    let keys: Vec<Key> = ranked_keys.iter().map(|ranked| from.entries_of(ranked, 100).unwrap().0).collect();
    let expected: Vec<Key> = [3].into_iter().chain((0..20).rev().filter(|n| *n != 3)).map(key).collect();
    assert_eq!(keys, expected);
    let (to, quota) = store(4 * MIB);
    for ranked in &ranked_keys {
        let (key, entries, used) = from.entries_of(ranked, 100).unwrap();
        assert!(to.put_transferred(&quota, &to.begin(key, Arc::default()), entries[0].clone(), 100, used));
    }
    let again: Vec<Key> = to.keys_by_use().iter().map(|ranked| to.entries_of(ranked, 100).unwrap().0).collect();
    assert_eq!(again, expected);
    assert!(to.entries_of(&ranked_keys[0], 3_600_200).is_none(), "what is of no use stays behind");
}
