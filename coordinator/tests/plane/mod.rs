//! A real origin, a real cache before it, and clients, all on loopback.
//!
//! Long: origin, cache and clients belong together.
#![allow(
    dead_code,
    unused_imports,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

pub mod stream;

#[path = "../../../tests/src/port.rs"]
pub mod port;
#[path = "../../../tests/src/stopwatch.rs"]
pub mod stopwatch;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    client::legacy::{Client as Http, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use meshcache_coordinator::{
    cache::{lookup, state::Cache},
    settings::{Identity, PeerTrust, Port, Settings},
    telemetry::{group_metrics::GroupMetrics, metrics::Metrics},
};
use meshcache_protocol::{Groups, Peer, Ring, groups::Config};
use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

pub type Body = BoxBody<Bytes, Infallible>;

/// What an origin was asked.
pub struct Seen {
    pub method: String,
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// How many came before.
    pub n: usize,
}

type Handler = dyn Fn(Seen) -> Pin<Box<dyn Future<Output = Response<Body>> + Send>> + Send + Sync;

/// An origin that counts.
pub struct Origin {
    pub address: SocketAddr,
    count: Arc<AtomicUsize>,
}

impl Origin {
    pub async fn new<F: Future<Output = Response<Body>> + Send + 'static>(
        answer: impl Fn(Seen) -> F + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let count = Arc::new(AtomicUsize::new(0));
        let (counted, answer): (_, Arc<Handler>) = (count.clone(), Arc::new(move |seen| Box::pin(answer(seen))));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (count, answer) = (counted.clone(), answer.clone());
                tokio::spawn(async move {
                    let service = service_fn(move |request: Request<Incoming>| {
                        let (n, answer) = (count.fetch_add(1, Ordering::SeqCst), answer.clone());
                        async move {
                            let (head, body) = request.into_parts();
                            let body =
                                body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
                            Ok::<_, Infallible>(
                                answer(Seen {
                                    method: head.method.to_string(),
                                    target: head.uri.to_string(),
                                    headers: head.headers,
                                    body,
                                    n,
                                })
                                .await,
                            )
                        }
                    });
                    let _ =
                        auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, count }
    }

    /// An origin whose answers come when the gate is open.
    pub async fn gated(answer: impl Fn(Seen) -> Response<Body> + Send + Sync + 'static) -> (Self, Gate) {
        let (gate, answer) = (Gate::closed(), Arc::new(answer));
        let own = gate.clone();
        let origin = Self::new(move |seen| {
            let (gate, answer) = (own.clone(), answer.clone());
            async move {
                gate.pass().await;
                answer(seen)
            }
        });
        (origin.await, gate)
    }

    /// An origin that says these bytes to whatever it is asked, and hangs up.
    pub async fn raw(answer: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let count = Arc::new(AtomicUsize::new(0));
        let counted = count.clone();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let counted = counted.clone();
                tokio::spawn(async move {
                    read_head(&mut stream).await;
                    counted.fetch_add(1, Ordering::SeqCst);
                    let _ = stream.write_all(answer).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        Self { address, count }
    }

    /// An origin that does with each connection what the test says; what it counts is connections. The number: how many
    /// came before.
    pub async fn scripted<F: Future<Output = ()> + Send + 'static>(
        on: impl Fn(usize, TcpStream) -> F + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let count = Arc::new(AtomicUsize::new(0));
        let counted = count.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(on(counted.fetch_add(1, Ordering::SeqCst), stream));
            }
        });
        Self { address, count }
    }

    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Reads a head without its body; empty where the other side has hung up.
pub async fn read_head(stream: &mut TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).await.unwrap_or(0) == 1 {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// Lets an origin's answers out when the test says so.
#[derive(Clone)]
pub struct Gate(Arc<Semaphore>);

impl Gate {
    pub fn closed() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    pub async fn pass(&self) {
        let _ = self.0.acquire().await.unwrap();
    }

    pub fn open(&self) {
        self.0.add_permits(1000);
    }
}

/// An answer with these header fields.
pub fn answer(status: u16, fields: &[(&str, &str)], body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::builder().status(status);
    for (name, value) in fields {
        response = response.header(*name, *value);
    }
    response.body(Full::new(body.into()).boxed()).unwrap()
}

/// A cache before an origin, with a port on loopback.
pub struct Front {
    pub cache: Arc<Cache>,
    pub metrics: Arc<Metrics>,
    pub data: SocketAddr,
    pub peer: SocketAddr,
}

pub const MIB: u64 = 1 << 20;

/// All coordinators of a test are asked for the same host.
pub const HOST: (&str, &str) = ("host", "h");

impl Front {
    /// One group `g` for every host, with these fields over the defaults.
    pub async fn new(origin: &Origin, group: serde_json::Value) -> Self {
        Self::with(origin, group, 64 * MIB, "me", Identity::None).await
    }

    pub async fn with(
        origin: &Origin,
        group: serde_json::Value,
        store_bytes: u64,
        me: &str,
        identity: Identity,
    ) -> Self {
        let metrics = Metrics::new().unwrap();
        let cache = Cache::new(
            Settings {
                me: me.into(),
                installation: "meshcache".into(),
                store_bytes,
                identity,
                peer_trust: PeerTrust::Token,
            },
            metrics.clone(),
        );
        let front =
            Self { data: serve(&cache, Port::Data).await, peer: serve(&cache, Port::Peer).await, cache, metrics };
        front.reload(origin, group);
        front
    }

    pub fn reload(&self, origin: &Origin, group: serde_json::Value) {
        let mut json = serde_json::json!({"name": "g", "match": {"hosts": ["*"]}, "origin": {"url": origin.url()}});
        for (name, field) in group.as_object().unwrap() {
            let merged = match (name.as_str(), field) {
                ("origin", field) => {
                    let mut origin = json["origin"].clone();
                    origin.as_object_mut().unwrap().extend(field.as_object().unwrap().clone());
                    origin
                }
                _ => field.clone(),
            };
            json[name] = merged;
        }
        self.configure(serde_json::json!([json]));
    }

    /// All groups, as they stand in the file.
    pub fn configure(&self, groups: serde_json::Value) {
        let config: Config = serde_json::from_value(serde_json::json!({"version": 1, "groups": groups})).unwrap();
        self.cache.set_groups(Arc::new(Groups::new(config).unwrap())).unwrap();
    }

    pub fn group(&self) -> Arc<GroupMetrics> {
        self.metrics.group("g")
    }

    pub async fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, &[]).await
    }

    pub async fn ask(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> Answer {
        ask(self.data, method, target, fields, Bytes::new()).await
    }

    /// A filter's question.
    pub async fn question(&self, target: &str, fields: &[(&str, &str)]) -> Answer {
        self.question_with("", target, fields).await
    }

    /// The same; `words`: what it says beside group and rules.
    pub async fn question_with(&self, words: &str, target: &str, fields: &[(&str, &str)]) -> Answer {
        let said = format!("1; group=g; rules={}; {words}", self.cache.groups().named("g").unwrap().digest());
        let all = [&[("meshcache-wire", &*said)], fields].concat();
        ask(self.data, "GET", target, &all, Bytes::new()).await
    }
}

/// Makes these caches one ring.
pub fn ring(fronts: &[(&str, &Front)]) {
    let peers = fronts
        .iter()
        .map(|(name, front)| Peer { name: (*name).into(), data: front.data.to_string(), peer: front.peer.to_string() })
        .collect();
    let ring = Arc::new(Ring::new(peers));
    for (_, front) in fronts {
        front.cache.cluster.set_ring(ring.clone());
        front.cache.set_peer_token(Some("token".into()));
    }
}

async fn serve(cache: &Arc<Cache>, port: Port) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let cache = cache.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let cache = cache.clone();
            tokio::spawn(async move {
                let service = service_fn(|request: http::Request<hyper::body::Incoming>| {
                    let cache = cache.clone();
                    async move { Ok::<_, Infallible>(lookup::answer(&cache, port, request.map(Into::into)).await) }
                });
                let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

/// What a client got.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// The body broke off.
    pub is_cut: bool,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

thread_local! {
    static CLIENT: Http<HttpConnector, Full<Bytes>> = {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        Http::builder(TokioExecutor::new()).build(tcp)
    };
}

pub fn request(
    address: SocketAddr,
    method: &str,
    target: &str,
    fields: &[(&str, &str)],
    body: Bytes,
) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(format!("http://{address}{target}"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(Full::new(body)).unwrap()
}

pub async fn ask(address: SocketAddr, method: &str, target: &str, fields: &[(&str, &str)], body: Bytes) -> Answer {
    let client = CLIENT.with(Clone::clone);
    let response = client.request(request(address, method, target, fields, body)).await.unwrap();
    let (head, mut body) = response.into_parts();
    let (mut all, mut is_cut) = (Vec::new(), false);
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => all.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Err(_) => is_cut = true,
        }
    }
    Answer { status: head.status, headers: head.headers, body: all.into(), is_cut }
}

/// Bytes to a port as they are, and all that comes back.
pub async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// How long a condition may take, in the time that the machine gives.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for a condition.
pub async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let (end, waited) = (std::time::Instant::now() + PATIENCE, stopwatch::Stopwatch::start());
    while !is() {
        assert!(std::time::Instant::now() < end || waited.elapsed() < PATIENCE, "never came: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
