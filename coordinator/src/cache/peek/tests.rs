//! Two coordinators, the second of which has just become the owner of some of the first one's keys.

use super::*;
use crate::{
    cache::{
        flight::JoinCondition,
        removal,
        test_peers::{
            self, Counted, NOW, Reply, cache, data_port, get, key, metric, owned_by, peer_port, set_ring, status,
            stop_time, store, stored, until,
        },
    },
    clock::simulated,
    store::PurgeAction,
};
use meshcache_protocol::purge::{Purge, Scope};
use std::net::SocketAddr;

const MIB: u64 = 1 << 20;

/// The previous owner, the new one, and a target that has moved from one to the other.
struct Pair {
    previous: Arc<Cache>,
    new: Arc<Cache>,
    data: [SocketAddr; 2],
    target: String,
}

impl Pair {
    async fn new(origin: &Counted) -> Self {
        let previous = cache("previous", MIB, &origin.url());
        let at = peer_port(&previous).await;
        Self::with(previous, at, origin).await
    }

    /// The previous owner answers peeks there.
    async fn with(previous: Arc<Cache>, at: SocketAddr, origin: &Counted) -> Self {
        let new = cache("new", MIB, &origin.url());
        let data = [data_port(&previous).await, data_port(&new).await];
        let peers = [("previous", at), ("new", peer_port(&new).await)];
        set_ring(&[&previous], &peers[..1]);
        set_ring(&[&new], &peers);
        let target = owned_by(&new, "new").next().unwrap();
        Self { previous, new, data, target }
    }

    /// A client's request to the new owner.
    async fn get(&self) -> Reply {
        get(self.data[1], &self.target).await
    }

    /// A client's request to either, in a task of its own.
    fn spawn_get(&self, data: SocketAddr) -> tokio::task::JoinHandle<Reply> {
        let target = self.target.clone();
        tokio::spawn(async move { get(data, &target).await })
    }

    /// Asks the previous owner, then the new one, whose peek waits for the load that the first request began.
    async fn peek_during_load(&self, origin: &Counted) -> [tokio::task::JoinHandle<Reply>; 2] {
        let first = self.spawn_get(self.data[0]);
        until("the previous owner is loading", || origin.count() == 1).await;
        let second = self.spawn_get(self.data[1]);
        until("the peek waits for that load", || self.previous.loads.waiters() == 2).await;
        [first, second]
    }

    fn peeks(&self, outcome: &str) -> u64 {
        let all = metric(&self.new, "meshcache_peeks_total{");
        let these = metric(&self.new, &format!("meshcache_peeks_total{{outcome=\"{outcome}\"}}"));
        assert_eq!(all, these, "no other outcome");
        these
    }

    fn answered(&self, outcome: &str) -> u64 {
        metric(&self.previous, &format!("meshcache_peeks_answered_total{{outcome=\"{outcome}\"}}"))
    }
}

#[tokio::test]
async fn a_new_owner_takes_what_the_previous_one_has_with_its_age() {
    let _stopped = stop_time();
    let origin = Counted::origin("new").await;
    let pair = Pair::new(&origin).await;
    store(&pair.previous, &pair.target, "kept", 30_000);
    let reply = pair.get().await;
    assert_eq!((reply.status.as_u16(), &reply.body[..], reply.header("age")), (200, &b"kept"[..], "30"));
    assert_eq!((origin.count(), pair.peeks("found"), pair.answered("found")), (0, 1, 1));
    assert!(pair.get().await.header("cache-status").contains("; hit"), "it is in the new owner's store");
    assert_eq!(pair.peeks("found"), 1, "one peek");
}

#[tokio::test]
async fn what_the_previous_owner_does_not_have_is_loaded() {
    let _stopped = stop_time();
    let origin = Counted::origin("new").await;
    origin.open();
    let pair = Pair::new(&origin).await;
    assert_eq!(&pair.get().await.body[..], b"new");
    assert_eq!((origin.count(), pair.peeks("nothing"), pair.answered("nothing")), (1, 1, 1));
}

#[tokio::test]
async fn a_peek_that_finds_a_load_under_way_waits_and_takes_what_it_brings() {
    let _stopped = stop_time();
    let origin = Counted::origin("once").await;
    let pair = Pair::new(&origin).await;
    let [first, second] = pair.peek_during_load(&origin).await;
    origin.open();
    assert_eq!((&first.await.unwrap().body[..], &second.await.unwrap().body[..]), (&b"once"[..], &b"once"[..]));
    assert_eq!((origin.count(), pair.peeks("found"), pair.answered("loading")), (1, 1, 0));
}

#[tokio::test]
async fn a_load_that_outlasts_a_peek_is_asked_for_again() {
    let _stopped = stop_time();
    let origin = Counted::origin("once").await;
    let pair = Pair::new(&origin).await;
    let [first, second] = pair.peek_during_load(&origin).await;
    tokio::time::advance(test_peers::PEEK + Duration::from_millis(1)).await;
    until("the peek is answered with `loading`", || pair.answered("loading") == 1).await;
    until("it has asked again", || pair.previous.loads.waiters() == 2).await;
    origin.open();
    assert_eq!((&first.await.unwrap().body[..], &second.await.unwrap().body[..]), (&b"once"[..], &b"once"[..]));
    assert_eq!((origin.count(), pair.peeks("found")), (1, 1), "one load, and one peek however often it asks");
}

#[tokio::test]
async fn what_was_purged_here_and_not_there_is_loaded_anew() {
    let _stopped = stop_time();
    let origin = Counted::origin("new").await;
    origin.open();
    let pair = Pair::new(&origin).await;
    store(&pair.previous, &pair.target, "old", 0);
    let what = Scope { urls: vec![format!("http://h{}", pair.target)], ..Scope::default() };
    let order = |purge: &Purge| removal::remove(&pair.new, &purge.scope, PurgeAction::Remove);
    pair.new.consistency.append_own(what, false, order);
    assert_eq!((&pair.get().await.body[..], origin.count(), pair.peeks("purged")), (&b"new"[..], 1, 1));
    assert_eq!(stored(&pair.new, &pair.target).as_deref(), Some(&b"new"[..]));
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_or_is_about_another_key_is_no_answer() {
    let _stopped = stop_time();
    let teacher = cache("teacher", MIB, "http://127.0.0.1:1");
    let other = test_peers::message(&teacher, "/other", test_peers::entry(&teacher, "other", 0));
    for (answer, outcome) in [(b"nonsense".to_vec(), "failed"), (other, "nothing")] {
        let origin = Counted::origin("new").await;
        origin.open();
        let peer = Counted::new(move |_| Response::new(answer.clone().into())).await;
        let pair = Pair::with(cache("previous", MIB, &origin.url()), peer.address, &origin).await;
        assert_eq!(&pair.get().await.body[..], b"new");
        assert_eq!((origin.count(), peer.count(), pair.peeks(outcome)), (1, 1, 1));
        assert_eq!(stored(&pair.new, "/other"), None);
    }
}

#[tokio::test]
async fn a_previous_owner_that_fails_or_is_silent_costs_one_peek() {
    let _stopped = stop_time();
    let origin = Counted::origin("new").await;
    origin.open();
    for peer in [Counted::new(|_| status(500)).await, Counted::gated(|_| status(200)).await] {
        let pair = Pair::with(cache("previous", MIB, &origin.url()), peer.address, &origin).await;
        let reply = pair.spawn_get(pair.data[1]);
        until("it is asked", || peer.count() == 1).await;
        if !reply.is_finished() {
            tokio::time::advance(2 * DEADLINE).await;
        }
        until("it has been loaded", || reply.is_finished()).await;
        assert_eq!(&reply.await.unwrap().body[..], b"new");
        assert_eq!(pair.peeks("failed"), 1);
    }
}

#[tokio::test]
async fn a_key_that_was_always_here_or_is_anothers_is_not_asked_for() {
    let _stopped = stop_time();
    let origin = Counted::origin("new").await;
    origin.open();
    let pair = Pair::new(&origin).await;
    get(pair.data[0], &pair.target).await;
    assert_eq!(metric(&pair.previous, "meshcache_peeks_total{"), 0, "it was the owner all the time");
    let others = owned_by(&pair.new, "previous").next().unwrap();
    get(pair.data[1], &others).await;
    assert_eq!(metric(&pair.new, "meshcache_peeks_total{"), 0, "its owner has not changed");
    pair.new.set_peer_token(None);
    pair.get().await;
    assert_eq!(metric(&pair.new, "meshcache_peeks_total{"), 0, "without a token no peer would answer");
}

#[tokio::test]
async fn a_peek_is_no_use_of_the_key() {
    let _stopped = stop_time();
    let cache = cache("me", MIB, "http://127.0.0.1:1");
    store(&cache, "/a", "kept", 0);
    simulated::set(NOW + 5000);
    for _ in 0..3 {
        let answer = answer(&cache, key(&cache, "/a").bytes().to_vec(), Duration::ZERO).await;
        assert!(matches!(answer, PeekAnswer::Entries(_)), "{answer:?}");
    }
    let (_, used) = cache.store.peek(&test_peers::group(&cache).quota, &key(&cache, "/a"), cache.clock.now()).unwrap();
    assert_eq!((used.warm, cache.clock.now() - used.touched), (false, 5000));
}

#[tokio::test]
async fn what_is_loaded_from_another_coordinator_is_not_waited_for() {
    let _stopped = stop_time();
    let cache = cache("me", MIB, "http://127.0.0.1:1");
    let (_waiter, guard) = cache.loads.join(&key(&cache, "/a"), JoinCondition::default(), || None).unwrap();
    let peek = async |bytes: &[u8]| answer(&cache, bytes.to_vec(), Duration::from_secs(1)).await;
    assert_eq!(peek(key(&cache, "/a").bytes()).await, PeekAnswer::Nothing, "its own peek is still under way");
    guard.as_ref().unwrap().mark_loading();
    tokio::join!(
        async { assert_eq!(peek(key(&cache, "/a").bytes()).await, PeekAnswer::Loading) },
        tokio::time::advance(Duration::from_secs(2)),
    );
    assert_eq!(peek(b"no key").await, PeekAnswer::Nothing);
}
