//! The variants and parts of one key.

use super::*;

#[test]
fn a_key_has_its_variants_and_not_too_many() {
    let (store, quota) = store(4 * MIB);
    let names: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    for (n, name) in names.iter().enumerate() {
        put(&store, &quota, 1, entry(n, 1000, 0, Some(name)), 0);
        put(&store, &quota, 1, entry(n, 1000, 0, Some(name)), 0);
    }
    let find = |name: &str| {
        let fields = [(&b"x-v"[..], name.as_bytes())];
        let request = Request::read(b"GET", b"http", b"h", b"/", &fields).unwrap();
        store.get(&quota, &key(1), 1, |entry| entry.selecting.matches(&request)).map(|entry| entry.body_bytes().len())
    };
    assert_eq!(store.usage()[0].items, 16);
    assert_eq!((find("19"), find("4"), find("3")), (Some(19), Some(4), None), "the oldest go");
}

#[test]
fn an_equal_hash_under_another_key_is_a_miss() {
    let (store, quota) = store(4 * MIB);
    put(&store, &quota, 1, entry(10, 1000, 0, None), 0);
    put(&store, &quota, 2, entry(10, 1000, 0, None), 0);
    let other = store.get(&quota, &key(2), 1, |_| true).unwrap();
    let mut shard = store.shard(key(1).hash()).lock();
    assert!(shard.get(quota.table(CacheType::Main), &key(1), 1, MIB, |_| true).is_some());
    // Two keys with one hash cannot be made: the entry is changed instead.
    shard.forge(quota.table(CacheType::Main), &key(1), other);
    assert!(shard.get(quota.table(CacheType::Main), &key(1), 1, MIB, |_| true).is_none());
}

#[test]
fn a_part_replaces_parts_that_it_covers_and_parts_crowd_out_only_parts() {
    let (store, quota) = store(MIB);
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
        let (held, _) = store.peek(&quota, &key(1), 10).unwrap();
        held.iter().map(|entry| entry.extent().map(|extent| (extent.first, extent.last))).collect::<Vec<_>>()
    };
    assert!(put(&store, &quota, 1, entry(10, 1000, 0, Some("whole, for others")), 0));
    for (first, last) in [(0, 9), (20, 29), (0, 14), (40, 49), (60, 69), (80, 89)] {
        assert!(put(&store, &quota, 1, part(first, last, 1), 1));
    }
    assert_eq!(
        extents(),
        [Some((80, 89)), Some((60, 69)), Some((40, 49)), Some((0, 14)), None],
        "the oldest went, and the one that another has"
    );
    assert!(put(&store, &quota, 1, entry(10, 1000, 2, None), 2));
    assert_eq!(extents(), [None, None], "the whole takes the ranked of its parts");
}
