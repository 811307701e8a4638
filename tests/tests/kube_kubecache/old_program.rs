//! A stand-in of kubecache v0.13.1, which cannot be installed here: what matters of it to its clients and peers while a
//! Deployment rolls. It caches by path and query, and takes every ready Pod of its label for a peer, which it asks
//! `GET /_groupcache/path/KEY` on port 5000 over HTTP/1.1. What it makes of the answer is as in its groupcache
//! (modernprogram/groupcache 2.7): 404 and 503 are errors for its client, and so is a 200 that is no message of its own;
//! whatever else goes wrong, it loads by itself.

use std::{
    collections::HashMap,
    convert::Infallible,
    hash::{DefaultHasher, Hash, Hasher},
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use meshcache_tests::Ask;
use tokio::net::TcpListener;

/// The peers of kubecache's Pods.
#[derive(Default)]
pub(crate) struct Peers {
    /// The ready Pods of the label, as the API has them.
    pub(crate) ready: Mutex<Vec<Ipv4Addr>>,
    /// Questions that a peer refused, so that a Pod loaded by itself.
    pub(crate) refusals: AtomicUsize,
}

/// How its own messages begin.
const MARK: &str = "a message of groupcache: ";
const PEERS: &str = "/_groupcache/path/";

struct Old {
    me: Ipv4Addr,
    peers: Arc<Peers>,
    backend: SocketAddr,
    cache: Mutex<HashMap<String, String>>,
}

/// Listens on kubecache's ports. To be called in the Pod's network.
pub(crate) async fn start(me: Ipv4Addr, peers: Arc<Peers>, backend: SocketAddr) {
    let old = Arc::new(Old { me, peers, backend, cache: Mutex::default() });
    serve(8888, |_| async { answer(200, "health ok\n") }).await;
    let data = old.clone();
    serve(8080, move |request| {
        let old = data.clone();
        async move { old.client(&request.uri().to_string()).await }
    })
    .await;
    serve(5000, move |request| {
        let old = old.clone();
        async move {
            match request.uri().path().strip_prefix(PEERS) {
                Some(key) => old
                    .load(&unescape(key))
                    .await
                    .map_or_else(|why| answer(503, why), |value| answer(200, MARK.to_owned() + &value)),
                // There it panics, and the connection breaks.
                None => panic!("unexpected path {}", request.uri()),
            }
        }
    })
    .await;
}

impl Old {
    async fn client(&self, key: &str) -> Response<Full<Bytes>> {
        if let Some(value) = self.cached(key) {
            return answer(200, value);
        }
        let peers = self.peers.ready.lock().unwrap().clone();
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let at = usize::try_from(hasher.finish() % peers.len().max(1) as u64).unwrap();
        if let Some(peer) = peers.get(at).filter(|peer| **peer != self.me) {
            let ask = Ask::get(&format!("{peer}:5000"), &format!("{PEERS}{}", escape(key)));
            match ask.send(SocketAddr::from((*peer, 5000))).await {
                Ok(said) if said.status == 200 => {
                    return match said.text().strip_prefix(MARK) {
                        Some(value) => answer(200, value.to_owned()),
                        None => answer(500, format!("peer {peer} sent what is no message: {}", said.text())),
                    };
                }
                Ok(said) if [404, 503].contains(&said.status) => {
                    return answer(500, format!("peer {peer} says {} {}", said.status, said.text()));
                }
                Ok(_) | Err(_) => drop(self.peers.refusals.fetch_add(1, Ordering::Relaxed)),
            }
        }
        match self.load(key).await {
            Ok(value) => answer(200, value),
            Err(why) => answer(500, why),
        }
    }

    fn cached(&self, key: &str) -> Option<String> {
        self.cache.lock().unwrap().get(key).cloned()
    }

    async fn load(&self, key: &str) -> Result<String, String> {
        if let Some(value) = self.cached(key) {
            return Ok(value);
        }
        let said = Ask::get("backend", key).send(self.backend).await.map_err(|error| error.to_string())?;
        self.cache.lock().unwrap().insert(key.to_owned(), said.text());
        Ok(said.text())
    }
}

async fn serve<F>(port: u16, handle: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static)
where
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))).await.unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let handle = handle.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let handled = handle(request);
                    async move { Ok::<_, Infallible>(handled.await) }
                });
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
}

fn answer(status: u16, body: impl Into<String>) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::new(body.into().into())).unwrap()
}

/// A key as one segment of a path.
fn escape(key: &str) -> String {
    key.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

fn unescape(text: &str) -> String {
    let mut parts = text.split('%');
    let mut key = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (code, rest) = part.split_at(2);
        key.push(char::from(u8::from_str_radix(code, 16).unwrap()));
        key.push_str(rest);
    }
    key
}
