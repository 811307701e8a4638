//! A coordinator that leaves and those that take over, each on a port of its own.

use super::*;
use crate::{
    cache::{
        removal,
        test_peers::{
            Counted, HOUR, NOW, cache, data_port, get, group, key, metric, owned_by, peer_port, set_ring, status,
            stop_time, store, stored, until,
        },
    },
    clock::simulated,
    store::PurgeAction,
};
use bytes::Bytes;
use http::Response;
use meshcache_protocol::purge::Scope;
use std::net::SocketAddr;

const MIB: u64 = 1 << 20;
const NOWHERE: &str = "http://127.0.0.1:1";

/// A coordinator that has left the ring to these peers.
fn leaving(peers: &[(&str, SocketAddr)]) -> Arc<Cache> {
    let leaving = cache("leaving", 64 * MIB, NOWHERE);
    set_ring(&[&leaving], peers);
    leaving
}

fn refused(report: &TransferReport) -> Vec<(&str, u64)> {
    report.refused.iter().map(|(reason, n)| (reason.as_str(), *n)).collect()
}

/// Asks for a target more than once, as clients do.
fn warm(cache: &Cache, target: &str) {
    let get = || cache.store.get(&group(cache).quota, &key(cache, target), cache.clock.now(), |_| true);
    assert!(get().is_some() && get().is_some());
}

#[tokio::test]
async fn an_entry_that_was_handed_over_answers_as_a_hit_with_its_age() {
    let _stopped = stop_time();
    let heir = cache("heir", 64 * MIB, NOWHERE);
    let leaving = leaving(&[("heir", peer_port(&heir).await)]);
    store(&leaving, "/a?b=1", "kept", 30_000);
    let report = run(&leaving).await;
    assert_eq!((report.taken, refused(&report)), (1, vec![]));
    let reply = get(data_port(&heir).await, "/a?b=1").await;
    assert_eq!((reply.status.as_u16(), &reply.body[..], reply.header("age")), (200, &b"kept"[..], "30"));
    assert!(reply.header("cache-status").contains("; hit"), "{reply:?}");
    assert_eq!(reply.header("x-own"), "1");
    assert_eq!(metric(&leaving, r#"meshcache_pushed_entries_total{outcome="taken"}"#), 1);
    assert_eq!(metric(&heir, r#"meshcache_received_entries_total{outcome="taken"}"#), 1);
}

#[tokio::test]
async fn an_entry_that_was_purged_meanwhile_is_refused_as_purged() {
    let _stopped = stop_time();
    let heir = cache("heir", 64 * MIB, NOWHERE);
    let leaving = leaving(&[("heir", peer_port(&heir).await)]);
    store(&leaving, "/a", "old", 0);
    store(&leaving, "/b", "kept", 0);
    let what = Scope { urls: vec!["http://h/a".into()], ..Scope::default() };
    heir.consistency.append_own(what, false, |purge| removal::remove(&heir, &purge.scope, PurgeAction::Remove));
    let report = run(&leaving).await;
    assert_eq!((report.taken, refused(&report)), (1, vec![("purged", 1)]));
    assert_eq!((stored(&heir, "/a"), stored(&heir, "/b").as_deref()), (None, Some(&b"kept"[..])));
    assert_eq!(metric(&leaving, r#"meshcache_pushed_entries_total{outcome="purged"}"#), 1);
}

#[tokio::test]
async fn each_entry_goes_to_its_next_owner_and_to_no_other() {
    let _stopped = stop_time();
    let (b, c) = (cache("b", 64 * MIB, NOWHERE), cache("c", 64 * MIB, NOWHERE));
    let leaving = leaving(&[("b", peer_port(&b).await), ("c", peer_port(&c).await)]);
    let (of_b, of_c) = (owned_by(&leaving, "b").take(7), owned_by(&leaving, "c").take(5));
    let (of_b, of_c): (Vec<_>, Vec<_>) = (of_b.collect(), of_c.collect());
    of_b.iter().chain(&of_c).for_each(|target| store(&leaving, target, "kept", 0));
    assert_eq!(run(&leaving).await, TransferReport { taken: 12, ..TransferReport::default() });
    assert!(of_b.iter().all(|target| stored(&b, target).is_some() && stored(&c, target).is_none()));
    assert!(of_c.iter().all(|target| stored(&c, target).is_some() && stored(&b, target).is_none()));
}

#[tokio::test]
async fn a_peer_that_is_full_is_sent_no_more() {
    let _stopped = stop_time();
    let full = cache("full", MIB / 2, NOWHERE);
    let leaving = leaving(&[("full", peer_port(&full).await)]);
    for target in ["/1", "/2", "/3"] {
        store(&leaving, target, vec![7; MESSAGE], 0);
    }
    let report = run(&leaving).await;
    assert_eq!((report.taken, refused(&report)), (0, vec![("no-room", 1)]), "one message, and no second");
}

#[tokio::test]
async fn where_there_is_room_for_one_entry_the_most_used_is_kept() {
    let _stopped = stop_time();
    let small = cache("small", MIB, NOWHERE);
    let leaving = leaving(&[("small", peer_port(&small).await)]);
    for target in ["/1", "/2", "/3"] {
        store(&leaving, target, vec![7; 600 << 10], 0);
    }
    warm(&leaving, "/2");
    let report = run(&leaving).await;
    assert_eq!((report.taken, refused(&report)), (1, vec![("no-room", 2)]));
    assert_eq!(["/1", "/2", "/3"].map(|target| stored(&small, target).is_some()), [false, true, false]);
}

#[tokio::test]
async fn a_peer_that_fails_is_sent_no_more_and_the_others_get_what_is_theirs() {
    let _stopped = stop_time();
    let (heir, broken) = (cache("heir", 64 * MIB, NOWHERE), Counted::new(|_| status(500)).await);
    let leaving = leaving(&[("heir", peer_port(&heir).await), ("broken", broken.address)]);
    for target in owned_by(&leaving, "broken").take(3).chain(owned_by(&leaving, "heir").take(3)) {
        store(&leaving, &target, vec![7; MESSAGE], 0);
    }
    let report = run(&leaving).await;
    assert_eq!((report.taken, refused(&report), broken.count()), (3, vec![], 1));
}

#[tokio::test]
async fn a_peer_that_is_silent_holds_up_nobody_for_longer_than_its_patience() {
    let _stopped = stop_time();
    let silent = Counted::gated(|_| status(200)).await;
    let leaving = leaving(&[("silent", silent.address)]);
    store(&leaving, "/a", "kept", 0);
    let handed_over = tokio::spawn({
        let leaving = leaving.clone();
        async move { run(&leaving).await }
    });
    until("the message has come", || silent.count() == 1).await;
    tokio::time::advance(2 * PATIENCE).await;
    until("it has given up", || handed_over.is_finished()).await;
    assert_eq!(handed_over.await.unwrap(), TransferReport::default());
}

#[tokio::test]
async fn a_report_that_cannot_be_read_counts_for_nothing() {
    let _stopped = stop_time();
    for body in [Bytes::from("nonsense"), vec![b' '; 1 << 17].into()] {
        let peer = Counted::new(move |_| Response::new(body.clone().into())).await;
        let leaving = leaving(&[("peer", peer.address)]);
        store(&leaving, "/a", "kept", 0);
        assert_eq!((run(&leaving).await, peer.count()), (TransferReport::default(), 1));
        assert_eq!(metric(&leaving, "meshcache_pushed_entries_total"), 0);
    }
}

#[tokio::test]
async fn what_has_expired_or_lost_its_group_is_not_sent() {
    let _stopped = stop_time();
    let heir = cache("heir", 64 * MIB, NOWHERE);
    let leaving = leaving(&[("heir", peer_port(&heir).await)]);
    store(&leaving, "/old", "old", HOUR - 1000);
    store(&leaving, "/new", "new", 0);
    simulated::set(NOW + 1000);
    assert_eq!(run(&leaving).await, TransferReport { taken: 1, ..TransferReport::default() });
    let alone = cache("alone", MIB, NOWHERE);
    store(&alone, "/a", "kept", 0);
    assert_eq!(run(&alone).await, TransferReport::default(), "there is no peer");
}
