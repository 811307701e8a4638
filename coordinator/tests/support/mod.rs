//! What the coordinator's own tests share: a coordinator on ports of its own, a client, an origin, and waiting for a
//! condition.
#![allow(dead_code, unused_imports, unreachable_pub)]

#[path = "../../../tests/src/port.rs"]
pub mod port;
#[path = "../../../tests/src/stopwatch.rs"]
pub mod stopwatch;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use meshcache_coordinator::{
    config::{Config, Flags},
    coordinator::Coordinator,
    server::Ports,
};
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

/// The flags as a command line has them.
#[derive(clap::Parser)]
struct CommandLine {
    #[command(flatten)]
    flags: Flags,
}

/// The configuration of these arguments, with all ports free ones on loopback.
pub fn config(arguments: &[&str]) -> Config {
    let mut all = vec!["test"];
    if !arguments.contains(&"--name") {
        all.extend(["--name", "me"]);
    }
    for port in ["--listen", "--admin", "--status", "--peer-listen"] {
        if !arguments.contains(&port) {
            all.extend([port, "127.0.0.1:0"]);
        }
    }
    all.extend(arguments);
    Config::try_from(<CommandLine as clap::Parser>::try_parse_from(all).unwrap().flags).unwrap()
}

/// A coordinator in this process.
pub struct Running {
    pub ports: Ports,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Running {
    pub async fn start(arguments: &[&str]) -> Self {
        Self::with(config(arguments)).await
    }

    pub async fn with(config: Config) -> Self {
        let coordinator = Coordinator::start(config).await.unwrap();
        let ports = coordinator.ports().unwrap();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            coordinator
                .serve(async {
                    let _ = stopped.await;
                })
                .await
                .unwrap()
        });
        Self { ports, stop: Some(stop), task }
    }

    pub fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }

    pub async fn ended(self) {
        tokio::time::timeout(Duration::from_secs(20), self.task).await.unwrap().unwrap();
    }

    pub async fn metrics(&self) -> String {
        get(self.ports.status, "/metrics").await.body
    }
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: String,
}

impl Reply {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

pub async fn send(to: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(TcpStream::connect(to).await.unwrap())).await.unwrap();
    tokio::spawn(connection);
    let mut request = http::Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", to.to_string());
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (head, body) =
        sender.send_request(request.body(Full::new(Bytes::from(body.to_owned()))).unwrap()).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Reply { status: head.status.as_u16(), headers: head.headers, body: String::from_utf8_lossy(&body).into_owned() }
}

pub async fn get(to: SocketAddr, path: &str) -> Reply {
    send(to, "GET", path, &[], "").await
}

/// An origin that counts what it is asked. `/private` is private, `/wait` answers when `released` says so, all else may
/// be stored, with the purge tag `tag`.
pub struct Origin {
    pub url: String,
    pub asked: Arc<AtomicUsize>,
    pub released: Arc<tokio::sync::Notify>,
    heads: Arc<std::sync::Mutex<Vec<http::HeaderMap>>>,
}

impl Origin {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let origin = Self { url, asked: Arc::default(), released: Arc::default(), heads: Arc::default() };
        let (asked, released, heads) = (origin.asked.clone(), origin.released.clone(), origin.heads.clone());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (asked, released, heads) = (asked.clone(), released.clone(), heads.clone());
                let answer = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                    let (asked, released) = (asked.clone(), released.clone());
                    heads.lock().unwrap().push(request.headers().clone());
                    async move {
                        asked.fetch_add(1, Ordering::SeqCst);
                        if request.uri().path() == "/wait" {
                            released.notified().await;
                        }
                        let control = if request.uri().path() == "/private" { "private" } else { "max-age=60" };
                        Ok::<_, Infallible>(
                            http::Response::builder()
                                .header("cache-control", control)
                                .header("surrogate-key", "tag")
                                .body(Full::new(Bytes::from("hello")))
                                .unwrap(),
                        )
                    }
                });
                // It takes what a coordinator takes, and what that adds.
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .max_headers(512)
                        .serve_connection(TokioIo::new(stream), answer),
                );
            }
        });
        origin
    }

    /// The values of a field in the requests that had it, the first request first.
    pub fn received(&self, name: &str) -> Vec<String> {
        let heads = self.heads.lock().unwrap();
        heads.iter().filter_map(|head| Some(head.get(name)?.to_str().unwrap().to_owned())).collect()
    }
}

/// How long a condition may take, in the time that the machine gives.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until a condition holds; panics with `what` when it never does.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let (end, waited) = (Instant::now() + PATIENCE, stopwatch::Stopwatch::start());
    while !condition().await {
        assert!(Instant::now() < end || waited.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A file with this text that goes away with the test.
pub fn file(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.yaml");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}
