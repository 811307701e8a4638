//! A purge whose client hangs up, and one that meets members that are unknown here.

use crate::{
    cache::{response::tests::entry, state::Cache},
    cluster::{
        gossip::{Digest, Identity, List},
        gossiper::Gossiper,
        seeds::{SeedSource, Seeds},
    },
    config::{seeds::SeedConfig, tokens::Tokens},
    consistency::messages::{CatchUpRequest, CatchUpResponse},
    feed::Feed,
    purge::{PeerSync, PurgeCall, PurgeReport, PurgeRequest, Purger},
};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use meshcache_protocol::{
    Key, Peer, paths,
    purge::{Purge, Scope},
};
use parking_lot::Mutex;
use serde_json::json;
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{net::TcpListener, time::timeout};

fn everything() -> PurgeRequest {
    PurgeRequest { scope: Scope { all: true, ..Scope::default() }, soft: false, dry_run: false }
}

#[test]
fn a_purge_is_announced_though_its_client_has_hung_up() {
    // One thread purges, and another task occupies it first: nothing is done before the client has left.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    let (go, busy) = std::sync::mpsc::channel();
    runtime.spawn_blocking(move || busy.recv());
    runtime.block_on(is_announced_without_its_client(go));
}

async fn is_announced_without_its_client(go: std::sync::mpsc::Sender<()>) {
    let cache = Cache::sample("a", 1 << 20);
    let metrics = cache.metrics.clone();
    let feed = Feed::new(cache.clone(), metrics.clone(), "meshcache", "a");
    let purger = Purger::new(cache, feed, metrics.clone(), Tokens::open(None).unwrap());
    tokio::select! {
        biased;
        _ = purger.purge(everything()) => panic!("purged at once"),
        () = std::future::ready(()) => go.send(()).unwrap(),
    }
    let end = tokio::time::Instant::now() + Duration::from_secs(20);
    while metrics.purges.get() == 0 {
        assert!(tokio::time::Instant::now() < end, "it was carried out and not announced");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_purge_that_was_heard_of_before_its_call_came_is_reported_with_what_it_removed() {
    let cache = crate::cache::request::tests::cache(json!({}));
    let metrics = cache.metrics.clone();
    let feed = Feed::new(cache.clone(), metrics.clone(), "meshcache", "a");
    let purger = Purger::new(cache.clone(), feed, metrics, Tokens::open(None).unwrap());
    let load = cache.store.begin(Key::from_bytes(vec![1]), Arc::default());
    let served = cache.group_table().named("g").unwrap().clone();
    assert!(cache.store.put(&served.quota, &load, Arc::new(entry(&[], b"abc")), cache.clock.now()));
    let purge = Purge { source: "b.1".into(), n: 1, scope: everything().scope, soft: false };
    let position = serde_json::from_value(json!("b.1:1")).unwrap();
    let answer = CatchUpResponse { position, purges: vec![purge.clone()], ..CatchUpResponse::default() };
    assert!(purger.local.catch_up("b", answer).await);
    for call in ["the first", "one whose answer before was lost"] {
        let report = purger.receive(PurgeCall::Purge(purge.clone())).await.unwrap();
        assert!(report.entries == 1 && report.bytes > 3, "{call}: {report:?}");
    }
}

/// A member `b` or `new` of a list that has `new` from the first purge at `b` on.
struct Member {
    identity: Identity,
    others: Vec<Identity>,
    /// Whose list it has, if not its own.
    list_of: Option<Arc<Member>>,
    asker: Mutex<Option<Identity>>,
    purges: AtomicUsize,
}

impl Member {
    fn new(identity: Identity, others: Vec<Identity>, list_of: Option<Arc<Member>>) -> Arc<Self> {
        Arc::new(Self { identity, others, list_of, asker: Mutex::default(), purges: AtomicUsize::new(0) })
    }

    async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let member = self.clone();
            let answer = service_fn(move |request| {
                let member = member.clone();
                async move { Ok::<_, Infallible>(member.answer(request).await) }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let answer = if path == paths::PURGE {
            self.purges.fetch_add(1, SeqCst);
            let list = Some(self.list().id());
            serde_json::to_vec(&PurgeReport { listeners: Some(Vec::new()), list, ..PurgeReport::default() })
        } else {
            let asked: CatchUpRequest = serde_json::from_slice(&body).unwrap();
            let (position, question) = (asked.position, asked.gossip.unwrap());
            *self.asker.lock() = Some(question.from.clone());
            let list = self.list();
            let gossip = Digest {
                from: self.identity.clone(),
                list: Some(list.id()),
                members: Some(list),
                counts_receiver: true,
                ..question
            };
            let source = format!("{}.1", self.identity.name());
            serde_json::to_vec(&CatchUpResponse {
                source,
                position,
                gossip: Some(gossip),
                ..CatchUpResponse::default()
            })
        };
        Response::new(Full::from(answer.unwrap()))
    }

    fn list(&self) -> List {
        if let Some(other) = &self.list_of {
            return other.list();
        }
        let asker = self.asker.lock();
        let epoch = usize::from(self.purges.load(SeqCst) > 0);
        let members: Vec<_> = asker.iter().chain([&self.identity]).chain(self.others.iter().take(epoch)).collect();
        serde_json::from_value(json!({"lineage": 1, "epoch": epoch + 1, "members": members})).unwrap()
    }
}

#[tokio::test]
async fn a_purge_reaches_the_members_of_a_later_list_of_which_an_acknowledgement_tells() {
    let (at_b, at_new) =
        (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let identity = |listener: &TcpListener, name: &str| {
        let at = listener.local_addr().unwrap().to_string();
        Identity { peer: Peer { name: name.into(), data: at.clone(), peer: at }, start: 1 }
    };
    let b = Member::new(identity(&at_b, "b"), vec![identity(&at_new, "new")], None);
    let new = Member::new(identity(&at_new, "new"), Vec::new(), Some(b.clone()));
    let seed = b.identity.peer.peer.parse().unwrap();
    tokio::spawn(b.clone().serve(at_b));
    tokio::spawn(new.clone().serve(at_new));

    let cache = Cache::sample("a", 1 << 20);
    let metrics = cache.metrics.clone();
    let own = Peer { name: "a".into(), data: "127.0.0.1:1".into(), peer: "127.0.0.1:2".into() };
    let gossiper = Gossiper::new(&own, metrics.clone());
    cache.cluster.set_gossiper(gossiper.clone());
    let feed = Feed::new(cache.clone(), metrics.clone(), "meshcache", "a");
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "token").unwrap();
    let purger = Purger::new(cache, feed, metrics, Tokens::open(Some(token.path().into())).unwrap());
    tokio::spawn(PeerSync::new(&purger, "a").run());
    let (mut lists, seeds) = (gossiper.lists(), Seeds::new(SeedSource::new(SeedConfig::List(vec![seed]), 1).unwrap()));
    tokio::spawn(async move { gossiper.seek(seeds).await });
    timeout(Duration::from_secs(20), lists.wait_for(Option::is_some)).await.unwrap().unwrap();

    let report = purger.purge(everything()).await;
    assert_eq!((report.unreached, b.purges.load(SeqCst), new.purges.load(SeqCst)), (vec![], 1, 1));
}

#[tokio::test]
async fn who_is_no_member_any_more_stops_answering_from_its_store() {
    // It was alone, and its lease would hold for ever. Another cluster took it over, and has not listed it yet.
    let cache = Cache::sample("a", 1 << 20);
    let metrics = cache.metrics.clone();
    let own = Peer { name: "a".into(), data: "127.0.0.1:1".into(), peer: "127.0.0.1:1".into() };
    cache.cluster.set_gossiper(Gossiper::new(&own, metrics.clone()));
    let feed = Feed::new(cache.clone(), metrics.clone(), "meshcache", "a");
    let purger = Purger::new(cache.clone(), feed, metrics, Tokens::fixed(vec!["t".into()]));
    assert!(cache.consistency.holds_lease());
    let syncing = tokio::spawn(PeerSync::new(&purger, "a").run());
    let ended = async {
        while cache.consistency.holds_lease() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(20), ended).await.expect("its lease holds for ever");
    syncing.abort();
}
