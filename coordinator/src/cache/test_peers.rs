//! Coordinators, peers and origins in this process, for tests of what coordinators send to each other.
//!
//! Time stands still in such a test, so that a busy machine ends no timeout: [`stop_time`] for timers, and
//! [`simulated`] for ages.

use crate::{
    cache::{
        groups::ServedGroup,
        invalidation, lookup,
        peek::{self, PeekAnswer},
        state::Cache,
        transfer,
    },
    clock::simulated,
    http::body::Body,
    settings::Port,
    store::{Entry, Parts, Recency, fresh},
};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use meshcache_protocol::{Groups, Key, Peer, Request as Asking, Ring, freshness::Selecting, paths, wire};
use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

/// When each test begins, by the cache's clock.
pub(crate) const NOW: u64 = 1_000_000;
/// How long entries of tests are fresh, milliseconds.
pub(crate) const HOUR: u64 = 3_600_000;

/// How long a peek waits for a load, by tokio's time.
pub(crate) const PEEK: Duration = Duration::from_millis(100);

/// Stops the time of timers for as long as the guard lives. `tokio::time::advance` moves it.
pub(crate) fn stop_time() -> mpsc::Sender<()> {
    simulated::set(NOW);
    tokio::time::pause();
    let (guard, dropped) = mpsc::channel();
    // Timers do not advance by themselves while a blocking task runs.
    tokio::task::spawn_blocking(move || dropped.recv());
    guard
}

/// Lets other tasks run until a condition holds.
pub(crate) async fn until(what: &str, mut is: impl FnMut() -> bool) {
    for _ in 0..100_000 {
        if is() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("never came: {what}");
}

/// An empty cache with one group, `g`, for all hosts.
pub(crate) fn cache(name: &str, store_bytes: u64, origin: &str) -> Arc<Cache> {
    let cache = Cache::sample(name, store_bytes);
    configure(&cache, serde_json::json!({"origin": {"url": origin}}));
    cache.set_peer_token(Some("token".into()));
    cache
}

/// Gives a cache the group `g` with these fields.
pub(crate) fn configure(cache: &Cache, fields: serde_json::Value) {
    let mut group = serde_json::json!({"name": "g", "match": {"hosts": ["*"]}});
    group.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let config = serde_json::json!({"version": 1, "groups": [group]});
    cache.set_groups(Arc::new(Groups::new(serde_json::from_value(config).unwrap()).unwrap())).unwrap();
}

pub(crate) fn group(cache: &Cache) -> Arc<ServedGroup> {
    cache.group_table().named("g").unwrap().clone()
}

/// The key of a target at host `h`.
pub(crate) fn key(cache: &Cache, target: &str) -> Key {
    let request = Asking::read(b"GET", b"http", b"h", target.as_bytes(), &[]).unwrap();
    Key::of(&group(cache).group, &request, None)
}

/// A response that arrived this many milliseconds ago.
pub(crate) fn entry(cache: &Cache, body: impl Into<Bytes>, ago: u64) -> Entry {
    Entry::new(Parts {
        status: StatusCode::OK,
        fields: vec![(b"x-own".to_vec(), b"1".to_vec())],
        tags: "surrogate-key",
        body: body.into(),
        selecting: Selecting::default(),
        stored: fresh(HOUR),
        arrived: cache.clock.now() - ago,
        position: cache.consistency.position(),
    })
}

/// Stores such a response.
pub(crate) fn store(cache: &Cache, target: &str, body: impl Into<Bytes>, ago: u64) {
    let load = cache.store.begin(key(cache, target), cache.consistency.position());
    let entry = Arc::new(entry(cache, body, ago));
    assert!(cache.store.put(&group(cache).quota, &load, entry, cache.clock.now()));
}

/// The body that is stored under a target.
pub(crate) fn stored(cache: &Cache, target: &str) -> Option<Bytes> {
    let (entries, _) = cache.store.peek(&group(cache).quota, &key(cache, target), cache.clock.now())?;
    Some(entries[0].body())
}

/// A message with one entry of a target, as its owner would send it.
pub(crate) fn message(cache: &Cache, target: &str, entry: Entry) -> Vec<u8> {
    let mut message = meshcache_protocol::frame::new_message(&entry.position);
    let used = Recency { warm: false, touched: entry.arrived };
    transfer::write(cache, &key(cache, target), &[Arc::new(entry)], used, group(cache).group.digest(), &mut message);
    message
}

/// The sum of the series of a metric that begin so.
pub(crate) fn metric(cache: &Cache, series: &str) -> u64 {
    let page = String::from_utf8(cache.metrics.page().unwrap()).unwrap();
    let values = page.lines().filter(|line| line.starts_with(series)).filter_map(|line| line.rsplit(' ').next());
    values.map(|value| value.parse::<u64>().unwrap()).sum()
}

/// Makes these peers the ring of each of these caches.
pub(crate) fn set_ring(caches: &[&Arc<Cache>], peers: &[(&str, SocketAddr)]) {
    let peer = |(name, at): &(&str, SocketAddr)| Peer {
        name: (*name).into(),
        data: "127.0.0.1:1".into(),
        peer: at.to_string(),
    };
    let ring = Arc::new(Ring::new(peers.iter().map(peer).collect()));
    caches.iter().for_each(|cache| cache.cluster.set_ring(ring.clone()));
}

/// Targets that this peer of a cache's ring owns.
pub(crate) fn owned_by(cache: &Cache, peer: &str) -> impl Iterator<Item = String> {
    let ring = cache.cluster.ring();
    let owner = move |key: &Key| ring.owner(key.hash()).unwrap().name.clone();
    let (keys, peer) = ((0..).map(|n| (format!("/{n}"), key(cache, &format!("/{n}")))), peer.to_owned());
    keys.filter(move |(_, key)| owner(key) == peer).map(|(target, _)| target)
}

/// Serves on a port of its own.
pub(crate) async fn serve<F: Future<Output = Response<Body>> + Send + 'static>(
    answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let answer = answer.clone();
            let service = service_fn(move |request| {
                let answer = answer(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            tokio::spawn(async move {
                let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

/// A cache's data port.
pub(crate) async fn data_port(cache: &Arc<Cache>) -> SocketAddr {
    let cache = cache.clone();
    serve(move |request| {
        let (cache, request) = (cache.clone(), request.map(Body::from));
        async move {
            if request.uri().path().starts_with(paths::INVALIDATE) {
                return invalidation::answer(&cache, Port::Data, request).await;
            }
            lookup::answer(&cache, Port::Data, request).await
        }
    })
    .await
}

/// What a cache answers to peeks, pushes and invalidations, on a port of its own.
pub(crate) async fn peer_port(cache: &Arc<Cache>) -> SocketAddr {
    let cache = cache.clone();
    serve(move |request| {
        let (cache, request) = (cache.clone(), request.map(Body::from));
        async move {
            match request.uri().path() {
                paths::PUSH => {
                    let message = transfer::read_message(request.into_body()).await.unwrap();
                    let report = transfer::receive(&cache, &message, cache.clock.now()).await.unwrap();
                    Response::new(serde_json::to_vec(&report).unwrap().into())
                }
                paths::PEEK => {
                    let key = request.into_body().collect().await.unwrap().to_bytes().into();
                    match peek::answer(&cache, key, PEEK).await {
                        PeekAnswer::Entries(message) => Response::new(message.into()),
                        PeekAnswer::Loading => status(202),
                        PeekAnswer::Nothing => status(204),
                    }
                }
                path if path.starts_with(paths::INVALIDATE) => invalidation::answer(&cache, Port::Peer, request).await,
                path => panic!("{path}"),
            }
        }
    })
    .await
}

pub(crate) fn status(status: u16) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

/// A server that counts its requests, and answers each when its gate is open.
pub(crate) struct Counted {
    pub(crate) address: SocketAddr,
    pub(crate) count: Arc<AtomicUsize>,
    pub(crate) gate: Arc<Semaphore>,
}

impl Counted {
    /// The gate is shut.
    pub(crate) async fn gated(answer: impl Fn(usize) -> Response<Body> + Clone + Send + Sync + 'static) -> Self {
        let (count, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let (counted, own) = (count.clone(), gate.clone());
        let address = serve(move |request| {
            let (n, gate, answer) = (counted.fetch_add(1, Ordering::SeqCst), own.clone(), answer.clone());
            async move {
                let _ = request.into_body().collect().await;
                let _open = gate.acquire().await.unwrap();
                answer(n)
            }
        });
        Self { address: address.await, count, gate }
    }

    /// The gate is open.
    pub(crate) async fn new(answer: impl Fn(usize) -> Response<Body> + Clone + Send + Sync + 'static) -> Self {
        let counted = Self::gated(answer).await;
        counted.open();
        counted
    }

    /// An origin whose responses are fresh for an hour.
    pub(crate) async fn origin(body: &'static str) -> Self {
        Self::gated(move |_| {
            let mut response = Response::new(Body::from(body));
            response.headers_mut().insert("cache-control", http::HeaderValue::from_static("max-age=3600"));
            response
        })
        .await
    }

    pub(crate) fn open(&self) {
        self.gate.add_permits(1000);
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// What a client gets.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A plain client's GET for a target at host `h`.
pub(crate) async fn get(data_port: SocketAddr, target: &str) -> Reply {
    ask("GET", data_port, target).await
}

/// A plain client's request for a target at host `h`.
pub(crate) async fn ask(method: &str, data_port: SocketAddr, target: &str) -> Reply {
    collect(open(method, data_port, target, None).await).await
}

/// A proxy's question about a target at host `h`. `words`: what it says beside its group and rules.
pub(crate) async fn question(cache: &Cache, data_port: SocketAddr, target: &str, words: &str) -> Reply {
    let wire = format!("1; group=g; rules={}; {words}", group(cache).group.digest());
    collect(open("GET", data_port, target, Some(&wire)).await).await
}

async fn collect(response: Response<Incoming>) -> Reply {
    let (head, body) = response.into_parts();
    Reply { status: head.status, headers: head.headers, body: body.collect().await.unwrap().to_bytes() }
}

/// The response to a request, as far as its head. `wire`: what a proxy says; none is a plain client.
pub(crate) async fn open(method: &str, data_port: SocketAddr, target: &str, wire: Option<&str>) -> Response<Incoming> {
    let stream = TokioIo::new(TcpStream::connect(data_port).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(target).header("host", "h");
    if let Some(wire) = wire {
        request = request.header(wire::header::WIRE, wire);
    }
    sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap()
}
