//! The store as its users see it, with `now` in the tests' hands.

use super::*;
use bytes::Bytes;
use http::StatusCode;
use meshcache_protocol::{
    Request,
    freshness::{LifetimeRule, Selecting, Stored, Vary},
    request::Response,
};

/// A response that is good for so many milliseconds, and has nothing else to it.
pub(crate) fn fresh(lifetime: u64) -> Stored {
    Stored {
        status: 200,
        lifetime,
        initial_age: 0,
        while_revalidate: 0,
        if_error: 0,
        always_validate: false,
        must_revalidate: false,
        for_everybody: true,
        validator: false,
        immutable: false,
        disconnected: false,
        why: LifetimeRule::MaxAge,
    }
}

const MIB: u64 = 1 << 20;

fn key(n: usize) -> Key {
    Key::from_bytes(format!("key {n}").into_bytes())
}

/// An entry with so much body that is of use for so long. `variant`: its request's x-v.
fn entry(body: usize, keep: u64, arrived: u64, variant: Option<&str>) -> Arc<Entry> {
    let fields = variant.map(|v| [(&b"x-v"[..], v.as_bytes())]).unwrap_or([(b"x-none", b"")]);
    let request = Request::read(b"GET", b"http", b"h", b"/", &fields).unwrap();
    let vary = if variant.is_some() {
        Vary::of(&Response { status: 200, fields: &[(b"vary", b"x-v")] })
    } else {
        Vary::Nothing
    };
    let stored = fresh(keep);
    let fields = vec![(b"content-type".to_vec(), b"text/plain".to_vec()), (b"x-custom".to_vec(), b"1".to_vec())];
    Arc::new(Entry::new(Parts {
        status: StatusCode::OK,
        fields,
        tags: "surrogate-key",
        body: Bytes::from(vec![7; body]),
        selecting: Selecting::of(&vary, &request),
        stored,
        arrived,
        position: Arc::default(),
    }))
}

fn put(store: &Store, share: &Share, n: usize, entry: Arc<Entry>, now: u64) -> bool {
    let load = store.begin(key(n), Arc::default());
    store.put(share, &load, entry, now)
}

fn has(store: &Store, share: &Share, n: usize, now: u64) -> bool {
    store.get(share, &key(n), now, |_| true).is_some()
}

fn store(limit: u64) -> (Store, Arc<Share>) {
    let store = Store::new(limit);
    let share = store.shares(&[("g", limit)]).remove(0);
    (store, share)
}

fn expire(store: &Store, now: u64) {
    (0..store.parts()).for_each(|part| while store.expire(part, now) {});
}

#[test]
fn the_limit_holds_whatever_is_stored() {
    let (store, share) = store(4 * MIB);
    for n in 0..20_000 {
        put(&store, &share, n, entry(1024, 1_000_000, n as u64, None), n as u64);
        assert!(store.used() <= 4 * MIB + 64 * 1024, "{}", store.used());
    }
    let usage = &store.usage()[0];
    assert!(usage.items * 1024 > 4 * MIB / 3, "{} entries of 1 KiB in 4 MiB", usage.items);
    assert_eq!((usage.evictions + usage.items, usage.evictions_nonexpired), (20_000, usage.evictions));
}

#[test]
fn what_leaves_is_what_came() {
    let (store, share) = store(4 * MIB);
    for n in 0..1000 {
        put(&store, &share, n % 300, entry(n, 5000, n as u64, (n % 2 == 0).then_some("a")), n as u64);
    }
    assert!(store.usage()[0].bytes > 0);
    expire(&store, 10_000);
    let usage = &store.usage()[0];
    assert_eq!((usage.bytes, usage.items), (0, 0));
    assert!(store.used() < 64 * 1024, "only tables are left: {}", store.used());
}

#[test]
fn what_has_expired_is_freed_without_being_asked_for() {
    let (store, share) = store(64 * MIB);
    for n in 0..10_000 {
        put(&store, &share, n, entry(100, 1000 + n as u64, 0, None), 0);
    }
    expire(&store, 999);
    assert_eq!(store.usage()[0].items, 10_000);
    expire(&store, 6999);
    let left = store.usage()[0].items;
    assert!((4000..=5000).contains(&left), "a deadline is at most a second late: {left}");
    assert!(!has(&store, &share, 4000, 6999) && has(&store, &share, 7000, 6999));
    expire(&store, 20_000);
    assert_eq!(
        (store.usage()[0].items, store.usage()[0].evictions, store.usage()[0].evictions_nonexpired),
        (0, 10_000, 0)
    );
}

#[test]
fn what_is_stored_again_lives_on_and_deadlines_do_not_pile_up() {
    let (store, share) = store(4 * MIB);
    for n in 0..100_000u64 {
        put(&store, &share, 1, entry(10, 100_000 - n / 2, n, None), n);
    }
    assert!(store.used() < 64 * 1024, "{}", store.used());
    expire(&store, 120_000);
    assert!(has(&store, &share, 1, 120_000));
    expire(&store, 200_000);
    assert!(store.usage()[0].items == 0 && !has(&store, &share, 1, 120_000));
}

#[test]
fn a_scan_of_cold_keys_leaves_the_warm_ones() {
    let (store, share) = store(4 * MIB);
    let warm = 500;
    for n in 0..warm {
        put(&store, &share, n, entry(1024, 1_000_000, 0, None), 0);
    }
    (0..warm).for_each(|n| assert!(has(&store, &share, n, 1)));
    for n in warm..warm + 50_000 {
        put(&store, &share, n, entry(1024, 1_000_000, 2, None), 2);
    }
    let left = (0..warm).filter(|n| has(&store, &share, *n, 3)).count();
    assert_eq!(left, warm, "what has been asked for twice stays");
}

#[test]
fn one_groups_scan_leaves_anothers_warm_keys() {
    let store = Store::new(4 * MIB);
    let shares = store.shares(&[("a", 4 * MIB), ("b", 4 * MIB)]);
    (0..500).for_each(|n| assert!(put(&store, &shares[0], n, entry(1024, 1_000_000, 0, None), 0)));
    (0..500).for_each(|n| assert!(has(&store, &shares[0], n, 1)));
    (0..50_000).for_each(|n| assert!(put(&store, &shares[1], n, entry(1024, 1_000_000, 2, None), 2)));
    assert_eq!((0..500).filter(|n| has(&store, &shares[0], *n, 3)).count(), 500);
}

#[test]
fn a_group_takes_no_more_than_its_share() {
    let store = Store::new(8 * MIB);
    let shares = store.shares(&[("a", 2 * MIB), ("b", 8 * MIB)]);
    (0..1000).for_each(|n| assert!(put(&store, &shares[1], n, entry(1024, 1_000_000, 0, None), 0)));
    (0..10_000).for_each(|n| assert!(put(&store, &shares[0], n, entry(1024, 1_000_000, 0, None), 0)));
    let usage = store.usage();
    assert!(usage[0].bytes <= 2 * MIB && usage[0].bytes > 2 * MIB - 4096, "{usage:?}");
    assert_eq!(usage[1].items, 1000);
    store.shares(&[("b", 8 * MIB)]);
    assert_eq!((store.usage()[0].bytes, store.usage()[1].items), (0, 1000), "a group that is gone keeps nothing");
}

#[test]
fn what_cannot_fit_evicts_nothing() {
    let (store, share) = store(MIB);
    (0..100).for_each(|n| assert!(put(&store, &share, n, entry(1024, 1000, 0, None), 0)));
    assert!(!put(&store, &share, 1000, entry(2 << 20, 1000, 0, None), 0));
    assert_eq!((store.usage()[0].items, store.usage()[0].evictions), (100, 0));
}

#[test]
fn a_key_has_its_variants_and_not_too_many() {
    let (store, share) = store(4 * MIB);
    let names: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    for (n, name) in names.iter().enumerate() {
        put(&store, &share, 1, entry(n, 1000, 0, Some(name)), 0);
        put(&store, &share, 1, entry(n, 1000, 0, Some(name)), 0);
    }
    let find = |name: &str| {
        let fields = [(&b"x-v"[..], name.as_bytes())];
        let request = Request::read(b"GET", b"http", b"h", b"/", &fields).unwrap();
        store.get(&share, &key(1), 1, |entry| entry.selecting.matches(&request)).map(|entry| entry.body.len())
    };
    assert_eq!(store.usage()[0].items, 16);
    assert_eq!((find("19"), find("4"), find("3")), (Some(19), Some(4), None), "the oldest go");
}

#[test]
fn an_equal_hash_under_another_key_is_a_miss() {
    let (store, share) = store(4 * MIB);
    put(&store, &share, 1, entry(10, 1000, 0, None), 0);
    let mut shard = store.shard(key(1).hash()).lock();
    assert!(shard.ask(share.id, &key(1), 1, MIB, |_| true).is_some());
    // A key whose hash says the same cannot be made: the slot's own key is changed instead.
    shard.forge(share.id, &key(1), key(2));
    assert!(shard.ask(share.id, &key(1), 1, MIB, |_| true).is_none());
}

#[test]
fn a_purge_keeps_out_what_was_being_loaded() {
    let (store, share) = store(4 * MIB);
    let (named, other) = (store.begin(key(1), Arc::default()), store.begin(key(2), Arc::default()));
    put(&store, &share, 1, entry(10, 1000, 0, None), 0);
    store.keep_out(|k| if *k == key(1) { Meant::Yes } else { Meant::No });
    let purged = store.purge(&[Where::Everywhere], Fate::Gone, |k, _| *k == key(1));
    assert_eq!(purged.entries, 1);
    assert!(purged.bytes > 10);
    assert!(!store.put(&share, &named, entry(10, 1000, 0, None), 1) && named.is_purged(&entry(10, 1000, 0, None)));
    assert!(store.put(&share, &other, entry(10, 1000, 0, None), 1));
    assert!(put(&store, &share, 1, entry(10, 1000, 0, None), 1), "a load that begins later is stored");
    assert_eq!(store.purge(&[Where::Everywhere], Fate::Counted, |_, _| true).entries, 2);
    let freed = store.remove(&share, key(2).hash(), 0);
    assert_eq!((freed.entries, store.usage()[0].items), (1, 1));
}

/// A real key and an entry with these tags.
fn tagged(path: &str, tags: &str, stale: u64) -> (Key, Arc<Entry>) {
    let config = serde_json::json!({"version": 1, "groups": [{"name": "g", "match": {"hosts": ["*"]}, "origin": {"url": "http://o"}}]});
    let groups = meshcache_protocol::Groups::new(serde_json::from_value(config).unwrap()).unwrap();
    let request = Request::read(b"GET", b"http", b"h", path.as_bytes(), &[]).unwrap();
    let key = Key::of(groups.iter().next().unwrap(), &request, None);
    let like = entry(10, 60_000, 0, None);
    let stored = Stored { if_error: stale, ..like.stored.clone() };
    let fields = vec![(b"surrogate-key".to_vec(), tags.as_bytes().to_vec())];
    let selecting = like.selecting.clone();
    let parts = Parts {
        status: like.status,
        fields,
        tags: "surrogate-key",
        body: Bytes::new(),
        selecting,
        stored,
        arrived: 0,
        position: Arc::default(),
    };
    (key, Arc::new(Entry::new(parts)))
}

fn by(mark: Mark) -> [Where; 1] {
    [Where::Marked("g".into(), vec![mark])]
}

#[test]
fn what_has_a_mark_is_found_by_it_as_long_as_it_is_there() {
    let (store, share) = store(64 * MIB);
    let all = || (0..100).map(|n| tagged(&format!("/{n}"), &format!("all, t{} t{}", n % 10, n % 3), 0));
    let store_all =
        || all().for_each(|(key, entry)| assert!(store.put(&share, &store.begin(key, Arc::default()), entry, 0)));
    let found = |mark| store.purge(&by(mark), Fate::Counted, |_, _| true).entries;
    store_all();
    let full = store.used();
    assert_eq!(
        [Mark::tag(b"all"), Mark::tag(b"t7"), Mark::tag(b"t1"), Mark::path("/7"), Mark::tag(b"/7")].map(found),
        [100, 10, 39, 1, 0]
    );
    assert_eq!(store.purge(&by(Mark::tag(b"t7")), Fate::Gone, |_, _| true).entries, 10);
    assert_eq!([Mark::tag(b"all"), Mark::tag(b"t7"), Mark::path("/7")].map(found), [90, 0, 0]);
    let marks = vec![Mark::tag(b"t1"), Mark::tag(b"t1"), Mark::tag(b"all")];
    assert_eq!(
        store.purge(&[Where::Marked("g".into(), marks)], Fate::Counted, |_, _| true).entries,
        90,
        "none is counted twice"
    );
    assert_eq!(
        store.purge(&by(Mark::tag(b"t1")), Fate::Gone, |key, _| key.parts().unwrap().path == "/1").entries,
        1,
        "not all under a mark are meant"
    );
    // Stored anew with other tags: the old ones lead nowhere.
    let (key, entry) = tagged("/2", "other", 0);
    store.put(&share, &store.begin(key, Arc::default()), entry, 0);
    assert_eq!([Mark::tag(b"other"), Mark::tag(b"all"), Mark::path("/2")].map(found), [1, 88, 1]);
    expire(&store, 100_000);
    assert_eq!([Mark::tag(b"other"), Mark::tag(b"all"), Mark::path("/2")].map(found), [0, 0, 0]);
    assert_eq!(store.usage()[0].bytes, 0);
    store_all();
    assert_eq!(store.used(), full, "marks are counted when they come and when they go");
    assert_eq!(
        store.purge(&[Where::Marked("nobody".into(), vec![Mark::tag(b"all")])], Fate::Gone, |_, _| true).entries,
        0
    );
}

#[test]
fn what_is_handed_over_has_its_marks_as_well() {
    let (store, share) = store(MIB);
    let (key, entry) = tagged("/a", "t1 t2", 0);
    for mark in [Mark::path("/a"), Mark::tag(b"t2")] {
        for warm in [false, true] {
            let load = store.begin(key.clone(), Arc::default());
            assert!(store.put_used(&share, &load, entry.clone(), 0, Used { warm, touched: 0 }));
            assert_eq!(store.purge(&by(mark), Fate::Gone, |_, _| true).entries, 1);
        }
    }
    assert_eq!(store.usage()[0].bytes, 0);
}

#[test]
fn a_soft_purge_leaves_what_is_of_use_when_stale() {
    let (store, share) = store(64 * MIB);
    for (path, stale) in [("/kept", 5000), ("/gone", 0)] {
        let (key, entry) = tagged(path, "t", stale);
        store.put(&share, &store.begin(key, Arc::default()), entry, 0);
    }
    let purged = store.purge(&by(Mark::tag(b"t")), Fate::Stale(1000), |_, _| true);
    assert_eq!((purged.entries, store.usage()[0].items), (2, 1));
    let find = |path| store.get(&share, &tagged(path, "", 0).0, 1001, |_| true);
    let kept = find("/kept").unwrap();
    assert!(!kept.stored.is_fresh(1000) && kept.stored.staleness(1001) == 1 && find("/gone").is_none());
    expire(&store, 7000);
    assert_eq!((store.usage()[0].items, store.usage()[0].bytes), (0, 0), "its windows begin with the purge");
    // What was stale already does not get younger.
    let (key, entry) = tagged("/old", "t", 90_000);
    store.put(&share, &store.begin(key, Arc::default()), entry, 0);
    store.purge(&by(Mark::tag(b"t")), Fate::Stale(80_000), |_, _| true);
    assert_eq!(store.get(&share, &tagged("/old", "", 0).0, 81_000, |_| true).unwrap().stored.staleness(81_000), 21_000);
}

#[test]
fn a_purge_by_tag_keeps_out_only_loads_that_bring_it() {
    let (store, share) = store(64 * MIB);
    let loads = ["/a", "/b"].map(|path| store.begin(tagged(path, "", 0).0, Arc::default()));
    store.keep_out(|_| Meant::ByTag(["t".to_owned()].into()));
    let stored =
        [(&loads[0], "s t"), (&loads[1], "s")].map(|(load, tags)| store.put(&share, load, tagged("/", tags, 0).1, 0));
    assert_eq!(stored, [false, true]);
}

fn hand(store: &Store, share: &Share, n: usize, used: Used, now: u64) -> bool {
    let load = store.begin(key(n), Arc::default());
    store.put_used(share, &load, entry(60_000, 3_600_000, now, None), now, used)
}

#[test]
fn what_is_handed_over_never_takes_the_room_of_what_is_used_more() {
    let (store, share) = store(4 * MIB);
    let cold = |touched| Used { warm: false, touched };
    // Full of keys that were asked for at 1,000 and later.
    let mut own = 0;
    while share.evictions.load(Relaxed) == 0 {
        put(&store, &share, own, entry(60_000, 3_600_000, 1000 + own as u64, None), 1000 + own as u64);
        own += 1;
    }
    let items = share.items.load(Relaxed);
    assert!(!hand(&store, &share, 1000, cold(500), 5000), "it was used less than all of them");
    assert_eq!(share.items.load(Relaxed), items);
    assert!(hand(&store, &share, 1001, Used { warm: true, touched: 500 }, 5000), "it was asked for more than once");
    assert!(hand(&store, &share, 1002, cold(4000), 5000), "it was asked for later");
    assert!(has(&store, &share, 1001, 5000) && has(&store, &share, 1002, 5000));
    assert!(store.used() <= 4 * MIB);
}

#[test]
fn places_are_told_the_most_used_first_and_stay_in_that_order_elsewhere() {
    let (from, share) = store(4 * MIB);
    for n in 0..20 {
        put(&from, &share, n, entry(1000, 3_600_000, n as u64, None), n as u64);
    }
    has(&from, &share, 3, 100);
    let places = from.by_use();
    let keys: Vec<Key> = places.iter().map(|place| from.at(place, 100).unwrap().0).collect();
    let expected: Vec<Key> = [3].into_iter().chain((0..20).rev().filter(|n| *n != 3)).map(key).collect();
    assert_eq!(keys, expected);
    let (to, share) = store(4 * MIB);
    for place in &places {
        let (key, entries, used) = from.at(place, 100).unwrap();
        assert!(to.put_used(&share, &to.begin(key, Arc::default()), entries[0].clone(), 100, used));
    }
    let again: Vec<Key> = to.by_use().iter().map(|place| to.at(place, 100).unwrap().0).collect();
    assert_eq!(again, expected);
    assert!(to.at(&places[0], 3_600_200).is_none(), "what is of no use stays behind");
}

#[test]
fn a_part_takes_the_place_of_what_it_has_and_parts_crowd_out_only_parts() {
    let (store, share) = store(MIB);
    let part = |first: u64, last: u64, arrived: u64| {
        let stored = Stored { status: 206, ..entry(0, 1000, arrived, None).stored.clone() };
        let fields = vec![(b"content-range".to_vec(), format!("bytes {first}-{last}/1000").into_bytes())];
        let (status, body) = (StatusCode::PARTIAL_CONTENT, Bytes::from(vec![7; (last - first + 1) as usize]));
        let (selecting, position) = (Selecting::default(), Arc::default());
        Arc::new(Entry::new(Parts {
            status,
            fields,
            tags: "surrogate-key",
            body,
            selecting,
            stored,
            arrived,
            position,
        }))
    };
    let extents = || {
        let (held, _) = store.peek(&share, &key(1), 10).unwrap();
        held.iter().map(|entry| entry.extent().map(|extent| (extent.first, extent.last))).collect::<Vec<_>>()
    };
    assert!(put(&store, &share, 1, entry(10, 1000, 0, Some("whole, for others")), 0));
    for (first, last) in [(0, 9), (20, 29), (0, 14), (40, 49), (60, 69), (80, 89)] {
        assert!(put(&store, &share, 1, part(first, last, 1), 1));
    }
    assert_eq!(
        extents(),
        [Some((80, 89)), Some((60, 69)), Some((40, 49)), Some((0, 14)), None],
        "the oldest went, and the one that another has"
    );
    assert!(put(&store, &share, 1, entry(10, 1000, 2, None), 2));
    assert_eq!(extents(), [None, None], "the whole takes the place of its parts");
}
