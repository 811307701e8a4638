//! Questions to other coordinators, over HTTP/2 on their peer ports.

use crate::{
    body::Body,
    head::Head,
    origin::{Failure, PARTIAL, classify, is_hop_by_hop, named_by_connection},
};
use arc_swap::{ArcSwap, ArcSwapOption};
use http::{
    HeaderMap, HeaderValue, Request, Response, Uri,
    header::{AUTHORIZATION, CONTENT_LENGTH, EXPECT, HOST},
};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use meshcache_protocol::{
    Peer, Ring,
    wire::{Question, Verdict, header, never_to_origin},
};
use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{net::TcpStream, time::timeout};
use tower_service::Service;

/// A connection to a peer is there in this time or the next peer is asked.
const CONNECT: Duration = Duration::from_secs(1);
/// A connection that is silent for so long is asked for a sign of life, and given up after as long again.
const ALIVE: Duration = Duration::from_secs(2);
/// Bytes under way: of one answer, and of all on one connection.
const WINDOWS: (u32, u32) = (1 << 20, 8 << 20);

/// The other coordinators, as they are reached.
#[derive(Default)]
pub(crate) struct Peers {
    links: ArcSwap<HashMap<String, Link>>,
    token: ArcSwapOption<HeaderValue>,
}

#[derive(Clone)]
struct Link {
    peer: Peer,
    client: Client<Fixed, Body>,
}

impl Peers {
    /// Keeps a client for each peer; one whose address is the same keeps its connection.
    pub(crate) fn set(&self, ring: &Ring, me: &str) {
        let old = self.links.load();
        let link = |peer: &Peer| old.get(&peer.name).filter(|link| link.peer.peer == peer.peer).cloned().unwrap_or_else(|| Link::new(peer));
        let links = ring.peers().iter().filter(|peer| peer.name != me).map(|peer| (peer.name.clone(), link(peer))).collect();
        self.links.store(Arc::new(links));
    }

    pub(crate) fn set_token(&self, token: Option<String>) {
        let value = token.and_then(|token| HeaderValue::from_str(&format!("Bearer {token}")).ok()).map(|mut value| {
            value.set_sensitive(true);
            Arc::new(value)
        });
        self.token.store(value);
    }

    /// Whether it has a token to show.
    pub(crate) fn may_ask(&self) -> bool {
        self.token.load().is_some()
    }

    /// Asks a peer, once, for all who ask for the key (`is_load`) or for one request as it is. Its verdict and what comes with it; a failure where it says nothing in time.
    pub(crate) async fn ask(
        &self,
        peer: &str,
        head: &Head,
        question: &Question,
        patience: Duration,
        is_load: bool,
    ) -> Result<(Verdict, Response<Incoming>), Failure> {
        let link = self.links.load().get(peer).cloned().ok_or(Failure::Refused)?;
        let token = self.token.load_full().ok_or(Failure::Refused)?;
        let request = call(peer, head, question, &token, is_load).ok_or(Failure::Internal)?;
        let response = timeout(patience, link.client.request(request)).await.map_err(|_| Failure::Timeout)?.map_err(|error| classify(&error))?;
        let verdict = response.headers().get(header::OUTCOME).and_then(|outcome| Verdict::parse(outcome.as_bytes()));
        Ok((verdict.ok_or(Failure::BadResponse)?, response))
    }
}

/// The client's request as a call: the peer's own name as host, the client's host and scheme beside it.
fn call(peer: &str, head: &Head, question: &Question, token: &HeaderValue, is_load: bool) -> Option<Request<Body>> {
    let uri = Uri::builder().scheme("http").authority(peer).path_and_query(head.target()).build().ok()?;
    let named = named_by_connection(head.headers());
    let mut headers = HeaderMap::with_capacity(head.headers().len() + 8);
    for (name, value) in head.headers() {
        let stays = [HOST, CONTENT_LENGTH, EXPECT, AUTHORIZATION].contains(name)
            || never_to_origin(name.as_str().as_bytes())
            || is_hop_by_hop(name, &named)
            || (is_load && PARTIAL.contains(&name.as_str()));
        if !stays {
            headers.append(name.clone(), value.clone());
        }
    }
    for (name, value) in question.headers() {
        headers.insert(name, HeaderValue::from_str(&value).ok()?);
    }
    headers.insert(header::AUTHORITY, HeaderValue::from_bytes(head.authority()).ok()?);
    headers.insert(header::SCHEME, HeaderValue::from_static(head.scheme()));
    if let Some(clients) = head.headers().get(AUTHORIZATION) {
        headers.insert(header::AUTHORIZATION, clients.clone());
    }
    headers.insert(AUTHORIZATION, token.clone());
    let mut request = Request::new(Body::empty());
    *request.method_mut() = head.method().clone();
    *request.uri_mut() = uri;
    *request.version_mut() = http::Version::HTTP_2;
    *request.headers_mut() = headers;
    Some(request)
}

impl Link {
    fn new(peer: &Peer) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .http2_only(true)
            .http2_keep_alive_interval(ALIVE)
            .http2_keep_alive_timeout(ALIVE)
            .http2_initial_stream_window_size(WINDOWS.0)
            .http2_initial_connection_window_size(WINDOWS.1)
            .build(Fixed::new(&peer.peer));
        Self { peer: peer.clone(), client }
    }
}

/// Connects to one address, whatever name is asked for: a mesh routes by the peer's name, we know where it is.
#[derive(Clone)]
struct Fixed {
    tcp: HttpConnector,
    address: Option<Uri>,
}

type Fault = Box<dyn std::error::Error + Send + Sync>;

impl Fixed {
    fn new(address: &str) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT));
        Self { tcp, address: format!("http://{address}/").parse().ok() }
    }
}

impl Service<Uri> for Fixed {
    type Response = TokioIo<TcpStream>;
    type Error = Fault;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Fault>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Some(address) = self.address.clone() else { return Box::pin(async { Err("not an address".into()) }) };
        let connecting = self.tcp.call(address);
        Box::pin(async move { connecting.await.map_err(Into::into) })
    }
}
