//! What keeps an entry of another coordinator out of the store, and what it looks like inside.

use super::*;
use crate::{
    cache::test_peers::{HOUR, NOW, cache, configure, entry, group, key, message, metric, stored},
    clock::simulated,
    store::PurgeAction,
};
use meshcache_protocol::{frame::VERSION, purge::Scope};

const MIB: u64 = 1 << 20;
const NOWHERE: &str = "http://127.0.0.1:1";

fn here() -> Arc<Cache> {
    simulated::set(NOW);
    cache("here", MIB, NOWHERE)
}

/// What comes of a message of one entry.
async fn outcome(cache: &Cache, message: &[u8]) -> &'static str {
    let report = receive(cache, message, cache.clock.now()).await.unwrap();
    report.by_outcome().find(|(_, n)| *n == 1).unwrap().0
}

#[tokio::test]
async fn an_entry_is_as_old_as_it_was_there_and_as_its_message_was_late() {
    let cache = here();
    let message = message(&cache, "/a", entry(&cache, "kept", 5000));
    let began = cache.clock.now();
    simulated::set(NOW + 700);
    assert_eq!(receive(&cache, &message, began).await.unwrap().taken, 1);
    let (entries, used) = cache.store.peek(&group(&cache).quota, &key(&cache, "/a"), cache.clock.now()).unwrap();
    assert_eq!(entries[0].resident(cache.clock.now()), 5700);
    assert_eq!((used.warm, entries[0].fields().next().unwrap().1.as_bytes()), (false, &b"1"[..]));
}

#[tokio::test]
async fn what_has_expired_on_its_way_is_refused() {
    let cache = here();
    let message = message(&cache, "/a", entry(&cache, "old", HOUR - 500));
    let began = cache.clock.now();
    simulated::set(NOW + 499);
    assert_eq!(receive(&cache, &message, began).await.unwrap().taken, 1);
    let other = here();
    simulated::set(NOW + 500);
    assert_eq!(receive(&other, &message, began).await.unwrap().refused["expired"], 1);
}

#[tokio::test]
async fn what_is_older_than_what_is_here_is_refused_and_what_is_newer_replaces_it() {
    let cache = here();
    for (body, ago, is) in
        [("first", 2000, "taken"), ("same", 2000, "known"), ("older", 3000, "known"), ("newer", 1000, "taken")]
    {
        assert_eq!(outcome(&cache, &message(&cache, "/a", entry(&cache, body, ago))).await, is, "{body}");
    }
    assert_eq!(stored(&cache, "/a").as_deref(), Some(&b"newer"[..]));
}

#[tokio::test]
async fn an_entry_of_other_rules_or_of_no_group_or_without_a_key_is_refused() {
    let cache = here();
    let good = message(&cache, "/a", entry(&cache, "kept", 0));
    configure(&cache, serde_json::json!({"origin": {"url": NOWHERE}, "freshness": {"default": "5s"}}));
    assert_eq!(outcome(&cache, &good).await, "rules");
    let none = Cache::sample("none", MIB);
    assert_eq!(outcome(&none, &good).await, "rules");
    let mut nameless = frame::new_message(&Position::default());
    let (_, mut frames) = frame::read(&good).unwrap();
    frames[0].key = b"no key";
    frames[0].write(&mut nameless).unwrap();
    assert_eq!(outcome(&cache, &nameless).await, "broken");
}

#[tokio::test]
async fn an_entry_whose_status_is_none_is_refused() {
    let cache = here();
    let mut broken = entry(&cache, "kept", 0);
    broken.stored.status = 77;
    assert_eq!(outcome(&cache, &message(&cache, "/a", broken)).await, "broken");
}

#[tokio::test]
async fn an_entry_that_fits_in_no_share_is_refused_for_want_of_room() {
    let cache = here();
    let large = message(&cache, "/a", entry(&cache, vec![7; 2 << 20], 0));
    assert_eq!(outcome(&cache, &large).await, "no-room");
    assert_eq!(metric(&cache, r#"meshcache_received_entries_total{outcome="no-room"}"#), 1);
}

#[tokio::test]
async fn a_purge_that_only_the_receiver_knows_keeps_out_what_it_names_and_nothing_else() {
    let cache = here();
    let (old, other) = (entry(&cache, "old", 0), entry(&cache, "kept", 0));
    let what = Scope { urls: vec!["http://h/a".into()], ..Scope::default() };
    cache.consistency.append_own(what, false, |purge| removal::remove(&cache, &purge.scope, PurgeAction::Remove));
    assert_eq!(outcome(&cache, &message(&cache, "/a", old)).await, "purged");
    assert_eq!(outcome(&cache, &message(&cache, "/b", other)).await, "taken");
    assert_eq!(outcome(&cache, &message(&cache, "/a", entry(&cache, "new", 0))).await, "taken", "loaded after it");
}

#[tokio::test]
async fn a_purge_that_only_the_sender_knows_has_the_receiver_catch_up_first() {
    let cache = here();
    let mut news = entry(&cache, "new", 0);
    news.position = Arc::new(Position::parse("other.1:1").unwrap());
    let woken = cache.consistency.catch_up_requests();
    assert_eq!(outcome(&cache, &message(&cache, "/a", news)).await, "purged");
    assert!(woken.has_changed().unwrap());
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_peers_are_silent_is_refused_as_purged() {
    let cache = here();
    cache.consistency.set_peers(["silent"].into_iter());
    simulated::set(NOW + 60_000);
    assert_eq!(outcome(&cache, &message(&cache, "/a", entry(&cache, "old", 0))).await, "purged");
}

#[test]
fn parts_are_not_sent() {
    let cache = here();
    let mut part = entry(&cache, "half", 0);
    part.status = StatusCode::PARTIAL_CONTENT;
    let frames = message(&cache, "/a", part);
    assert_eq!(frame::read(&frames).unwrap().1, []);
}

#[tokio::test]
async fn bytes_that_are_no_message_change_nothing() {
    let cache = here();
    for bad in [&b""[..], b"nonsense", &[VERSION, 255, 255, 255, 255]] {
        assert!(receive(&cache, bad, cache.clock.now()).await.is_err(), "{bad:?}");
    }
    assert_eq!(metric(&cache, "meshcache_received_entries_total"), 0);
}

#[test]
fn the_first_slice_of_a_file_stays_since_its_own_key_leads_to_another_owner() {
    let cache = here();
    let empty = frame::new_message(&Position::default()).len();
    for (extent, moves) in [("bytes 0-2/9", false), ("bytes 3-5/9", true)] {
        let slice = crate::cache::response::tests::entry(&[("meshcache-slice", extent)], b"abc");
        assert_eq!(message(&cache, "/a", slice).len() > empty, moves, "{extent}");
    }
}
