//! Purges, and loads in progress meanwhile.

use super::*;
use meshcache_protocol::purge::Candidates;

const EVERYWHERE: Candidates<'_, IndexTerm> = Candidates { group: None, terms: None };

#[test]
fn a_purge_keeps_out_loads_that_began_before_it() {
    let (store, quota) = store(4 * MIB);
    let (named, other) = (store.begin(key(1), Arc::default()), store.begin(key(2), Arc::default()));
    put(&store, &quota, 1, entry(10, 1000, 0, None), 0);
    store.purge_loads(|k| if *k == key(1) { KeyMatch::Yes } else { KeyMatch::No });
    let purged = store.purge(&[EVERYWHERE], PurgeAction::Remove, |k, _| *k == key(1));
    assert_eq!(purged.entries, 1);
    assert!(purged.bytes > 10);
    assert!(!store.put(&quota, &named, entry(10, 1000, 0, None), 1) && named.is_purged(&entry(10, 1000, 0, None)));
    assert!(store.put(&quota, &other, entry(10, 1000, 0, None), 1));
    assert!(put(&store, &quota, 1, entry(10, 1000, 0, None), 1), "a load that begins later is stored");
    assert_eq!(store.purge(&[EVERYWHERE], PurgeAction::Count, |_, _| true).entries, 2);
    let freed = store.remove(&quota, key(2).hash(), 0);
    assert_eq!((freed.entries, store.usage()[0].items), (1, 1));
}

fn by(term: IndexTerm) -> [Candidates<'static, IndexTerm>; 1] {
    [Candidates { group: Some("g"), terms: Some(vec![term]) }]
}

#[test]
fn entries_are_found_by_their_terms_as_long_as_they_are_stored() {
    let (store, quota) = store(64 * MIB);
    let all = || (0..100).map(|n| tagged(&format!("/{n}"), &format!("all, t{} t{}", n % 10, n % 3), 0));
    let store_all =
        || all().for_each(|(key, entry)| assert!(store.put(&quota, &store.begin(key, Arc::default()), entry, 0)));
    let found = |term| store.purge(&by(term), PurgeAction::Count, |_, _| true).entries;
    store_all();
    assert_eq!(found(IndexTerm::tag(b"unknown")), 0);
    assert_eq!(
        [
            IndexTerm::tag(b"all"),
            IndexTerm::tag(b"t7"),
            IndexTerm::tag(b"t1"),
            IndexTerm::path("/7"),
            IndexTerm::tag(b"/7")
        ]
        .map(found),
        [100, 10, 39, 1, 0]
    );
    assert_eq!(store.purge(&by(IndexTerm::tag(b"t7")), PurgeAction::Remove, |_, _| true).entries, 10);
    assert_eq!([IndexTerm::tag(b"all"), IndexTerm::tag(b"t7"), IndexTerm::path("/7")].map(found), [90, 0, 0]);
    let terms = vec![IndexTerm::tag(b"t1"), IndexTerm::tag(b"t1"), IndexTerm::tag(b"all")];
    assert_eq!(
        store.purge(&[Candidates { group: Some("g"), terms: Some(terms) }], PurgeAction::Count, |_, _| true).entries,
        90,
        "none is counted twice"
    );
    assert_eq!(
        store
            .purge(&by(IndexTerm::tag(b"t1")), PurgeAction::Remove, |key, _| key.parts().unwrap().path == "/1")
            .entries,
        1,
        "not all under a term are meant"
    );
    // Stored again with other tags: the old terms lead nowhere.
    let (key, entry) = tagged("/2", "other", 0);
    store.put(&quota, &store.begin(key, Arc::default()), entry, 0);
    assert_eq!([IndexTerm::tag(b"other"), IndexTerm::tag(b"all"), IndexTerm::path("/2")].map(found), [1, 88, 1]);
    expire(&store, 100_000);
    assert_eq!([IndexTerm::tag(b"other"), IndexTerm::tag(b"all"), IndexTerm::path("/2")].map(found), [0, 0, 0]);
    assert_eq!(store.usage()[0].bytes, 0);
    let again = || {
        expire(&store, 100_000);
        store_all();
        store.used()
    };
    let full = again();
    assert_eq!([again(), again()], [full; 2], "terms are counted when they come and when they go");
    assert_eq!(
        store
            .purge(
                &[Candidates { group: Some("unknown"), terms: Some(vec![IndexTerm::tag(b"all")]) }],
                PurgeAction::Remove,
                |_, _| true
            )
            .entries,
        0
    );
}

#[test]
fn a_soft_purge_leaves_entries_that_are_useful_when_stale() {
    let (store, quota) = store(64 * MIB);
    for (path, stale) in [("/kept", 5000), ("/gone", 0)] {
        let (key, entry) = tagged(path, "t", stale);
        store.put(&quota, &store.begin(key, Arc::default()), entry, 0);
    }
    let purged = store.purge(&by(IndexTerm::tag(b"t")), PurgeAction::MakeStale(1000), |_, _| true);
    assert_eq!((purged.entries, store.usage()[0].items), (2, 1));
    let find = |path| store.get(&quota, &tagged(path, "", 0).0, 1001, |_| true);
    let kept = find("/kept").unwrap();
    assert!(!kept.stored.is_fresh(1000) && kept.stored.staleness(1001) == 1 && find("/gone").is_none());
    expire(&store, 7000);
    assert_eq!((store.usage()[0].items, store.usage()[0].bytes), (0, 0), "its windows begin with the purge");
    // What was stale already does not get younger.
    let (key, entry) = tagged("/old", "t", 90_000);
    store.put(&quota, &store.begin(key, Arc::default()), entry, 0);
    store.purge(&by(IndexTerm::tag(b"t")), PurgeAction::MakeStale(80_000), |_, _| true);
    assert_eq!(store.get(&quota, &tagged("/old", "", 0).0, 81_000, |_| true).unwrap().stored.staleness(81_000), 21_000);
}

#[test]
fn an_index_that_is_made_in_steps_takes_note_of_what_changes_meanwhile() {
    let (store, quota) = store(64 * MIB);
    let put = |n: usize, tags: &str| {
        let (key, entry) = tagged(&format!("/{n}"), tags, 0);
        assert!(store.put(&quota, &store.begin(key, Arc::default()), entry, 0));
    };
    (0..16_000).for_each(|n| put(n, "old"));
    let terms = ["old", "new"].map(|tag| IndexTerm::tag(tag.as_bytes()));
    let tables = crate::store::table::Tables { quota: None, cache_type: None };
    let step = |shard: &Mutex<Shard>| shard.lock().candidates(tables, Some(&terms)).is_some();
    assert!(!store.shards.iter().any(step), "there is more than one step to make");
    for n in 0..16_000 {
        match n % 3 {
            0 => _ = store.remove(&quota, tagged(&format!("/{n}"), "", 0).0.hash(), 0),
            1 => put(n, "new"),
            _ => put(16_000 + n, "new"),
        }
    }
    assert!(store.shards.iter().any(|shard| !step(shard)), "it is not whole by now");
    let found = |term| store.purge(&by(term), PurgeAction::Count, |_, _| true).entries;
    let tagged = |word: &[u8]| {
        let has = |_: &Key, variants: &[Arc<Entry>]| variants[0].tag_words().any(|tag| tag == word);
        store.purge(&[EVERYWHERE], PurgeAction::Count, has).entries
    };
    assert_eq!(terms.map(found), [tagged(b"old"), tagged(b"new")]);
    assert_eq!(
        (found(IndexTerm::path("/0")), found(IndexTerm::path("/1")), found(IndexTerm::path("/16002"))),
        (0, 1, 1)
    );
}

#[test]
fn what_a_purge_makes_stale_takes_no_more_memory() {
    let (store, quota) = store(64 * MIB);
    for n in 0..2000 {
        let (key, entry) = tagged(&format!("/{n}"), "t", 60_000);
        let mut entry = (*entry).clone();
        entry.arrived = n;
        store.put(&quota, &store.begin(key, Arc::default()), Arc::new(entry), n);
    }
    store.purge(&by(IndexTerm::tag(b"t")), PurgeAction::Count, |_, _| true);
    let before = store.used();
    let purged = store.purge(&by(IndexTerm::tag(b"t")), PurgeAction::MakeStale(5000), |_, _| true);
    assert_eq!((purged.entries, store.usage()[0].items), (2000, 2000));
    // Only their deadlines are queued anew.
    assert!(store.used() < before + 32 * 1024, "{} and {before}", store.used());
    let kept = |n| store.get(&quota, &tagged(&format!("/{n}"), "", 0).0, 5000, |_| true).unwrap();
    assert!((0..2000).all(|n| !kept(n).stored.is_fresh(kept(n).resident(5000))));
}

#[test]
fn a_purge_by_tag_keeps_out_only_loads_that_bring_it() {
    let (store, quota) = store(64 * MIB);
    let loads = ["/a", "/b"].map(|path| store.begin(tagged(path, "", 0).0, Arc::default()));
    let tags = ["t".to_owned()].into();
    store.purge_loads(|_| KeyMatch::ByTag(&tags));
    let stored =
        [(&loads[0], "s t"), (&loads[1], "s")].map(|(load, tags)| store.put(&quota, load, tagged("/", tags, 0).1, 0));
    assert_eq!(stored, [false, true]);
}
