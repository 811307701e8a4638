//! Copies over time, and what ends them, with a real owner.

use crate::{
    cache::{
        lookup, removal,
        state::Cache,
        test_peers::{
            Counted, HOUR, NOW, Reply, cache, data_port, get, key, owned_by, serve, set_ring, stop_time, store, until,
        },
    },
    clock::simulated,
    http::body::Body,
    settings::Port,
    store::PurgeAction,
};
use meshcache_protocol::purge::Scope;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::Semaphore;

const MIB: u64 = 1 << 20;
const NOWHERE: &str = "127.0.0.1:1";

/// A coordinator, and an owner that has answered `questions` and answers while its gate is open.
struct Pair {
    me: Arc<Cache>,
    data: SocketAddr,
    /// A target that the owner has stored 30 s ago.
    target: String,
    questions: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
    origin: Counted,
}

impl Pair {
    async fn new() -> Self {
        let origin = Counted::origin("loaded").await;
        origin.open();
        let (me, owner) = (cache("me", 64 * MIB, &origin.url()), cache("owner", 64 * MIB, &origin.url()));
        let (questions, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(1000)));
        let (answering, asked, open) = (owner.clone(), questions.clone(), gate.clone());
        let port = serve(move |request| {
            let (owner, gate) = (answering.clone(), open.clone());
            asked.fetch_add(1, Ordering::SeqCst);
            async move {
                let response = lookup::answer(&owner, Port::Peer, request.map(Body::from)).await;
                let _open = gate.acquire().await.unwrap();
                response
            }
        })
        .await;
        set_ring(&[&me, &owner], &[("me", NOWHERE.parse().unwrap()), ("owner", port)]);
        let target = owned_by(&me, "owner").next().unwrap();
        store(&owner, &target, "kept", 30_000);
        Self { data: data_port(&me).await, me, target, questions, gate, origin }
    }

    async fn get(&self) -> Reply {
        get(self.data, &self.target).await
    }

    fn questions(&self) -> usize {
        self.questions.load(Ordering::SeqCst)
    }

    async fn is_hot(&self) -> bool {
        self.get().await.header("cache-status").ends_with("detail=hot")
    }
}

#[tokio::test]
async fn a_copy_goes_on_counting_its_age_and_ends_with_hot_ttl() {
    let _stopped = stop_time();
    let pair = Pair::new().await;
    for (at, age, by) in
        [(0, "30", "owner"), (0, "30", "owner"), (0, "30", "hot"), (9999, "39", "hot"), (10_000, "40", "owner")]
    {
        simulated::set(NOW + at);
        let got = pair.get().await;
        assert_eq!((&got.body[..], got.header("age")), (&b"kept"[..], age), "at {at}");
        let left = if by == "hot" { 10_000 - at } else { HOUR - 30_000 - at } / 1000;
        assert_eq!(got.header("cache-status"), format!("meshcache; hit; ttl={left}; detail={by}"), "at {at}");
    }
    assert_eq!((pair.questions(), pair.origin.count()), (3, 0));
}

#[tokio::test]
async fn a_purge_that_comes_while_the_answer_is_on_its_way_keeps_it_out() {
    let _stopped = stop_time();
    let pair = Arc::new(Pair::new().await);
    pair.get().await;
    pair.gate.forget_permits(1000);
    let asking = tokio::spawn({
        let pair = pair.clone();
        async move { pair.get().await }
    });
    until("the owner has the second question", || pair.questions() == 2).await;
    let what = Scope { urls: vec![format!("http://h{}", pair.target)], ..Scope::default() };
    pair.me.consistency.append_own(what, false, |purge| removal::remove(&pair.me, &purge.scope, PurgeAction::Remove));
    pair.gate.add_permits(1000);
    assert_eq!(&asking.await.unwrap().body[..], b"kept", "it was asked for before the purge");
    assert!(!pair.is_hot().await, "this question has the purge with it");
    assert_eq!(pair.questions(), 3);
}

#[tokio::test]
async fn what_is_being_purged_when_the_owner_is_asked_is_not_kept() {
    let _stopped = stop_time();
    let pair = Pair::new().await;
    pair.get().await;
    let what = Scope { urls: vec![format!("http://h{}", pair.target)], ..Scope::default() };
    // Carried out, and not yet in the position that the next question carries.
    let (from, to) = std::sync::mpsc::channel::<()>();
    let purging = std::thread::spawn({
        let me = pair.me.clone();
        move || {
            me.consistency.append_own(what, false, |purge| {
                removal::remove(&me, &purge.scope, PurgeAction::Remove);
                to.recv().unwrap();
            });
        }
    });
    let named = |cache: &Cache| cache.consistency.since(&cache.consistency.position(), 9).unwrap().len();
    until("the purge is in the log", || named(&pair.me) == 1).await;
    assert_eq!(&pair.get().await.body[..], b"kept", "the owner does not know yet");
    from.send(()).unwrap();
    purging.join().unwrap();
    assert!(!pair.is_hot().await);
}

#[tokio::test]
async fn a_new_owner_does_not_give_its_copy() {
    let _stopped = stop_time();
    let pair = Pair::new().await;
    while !pair.is_hot().await {}
    set_ring(&[&pair.me], &[("me", NOWHERE.parse().unwrap())]);
    let got = pair.get().await;
    assert!(!got.header("cache-status").contains("hot"), "{got:?}");
    assert_eq!(pair.me.usage()[0].items, 1, "it has an entry of its own now");
    assert_eq!(pair.me.usage()[1].items, 0, "in place of the copy");
}

#[tokio::test]
async fn what_was_invalidated_here_a_moment_ago_is_not_kept() {
    let _stopped = stop_time();
    let pair = Pair::new().await;
    pair.me.store.add_tombstone(key(&pair.me, &pair.target).hash(), pair.me.clock.now());
    for at in [0, 1000, 2000] {
        simulated::set(NOW + at);
        pair.get().await;
        assert!(!pair.is_hot().await, "at {at} the owner may not have heard of it");
    }
    simulated::set(NOW + 2001);
    pair.get().await;
    assert!(pair.is_hot().await);
}
