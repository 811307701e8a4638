//! Questions to other coordinators, over HTTP/2 on their peer ports.

use crate::{
    clock::Clock,
    http::{
        body::Body,
        head::{CONDITIONAL_FIELDS, RequestHead},
    },
    origin::{Failure, causes},
    telemetry::metrics::Metrics,
};
use arc_swap::{ArcSwap, ArcSwapOption};
use http::{
    HeaderMap, HeaderValue, Request, Response, Uri,
    header::{AUTHORIZATION, CONTENT_LENGTH, EXPECT, HOST},
};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{self, Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use meshcache_protocol::{
    Breaker, Peer, Ring, connection,
    wire::{self, Question, Verdict, header, never_to_origin},
};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    future::Future,
    io,
    pin::{Pin, pin},
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
/// A peer's patience is waited for in so many steps, none of them shorter than [`STEP`].
const STEPS: u32 = 50;
const STEP: Duration = Duration::from_millis(5);
/// Bytes under way: of one answer, and of all on one connection.
const WINDOWS: (u32, u32) = (1 << 20, 8 << 20);

/// The other coordinators, as they are reached, and whether they answer.
pub(crate) struct Peers {
    clock: Clock,
    metrics: Arc<Metrics>,
    links: ArcSwap<HashMap<String, Arc<Link>>>,
    token: ArcSwapOption<HeaderValue>,
}

struct Link {
    peer: Peer,
    client: Client<Fixed, Body>,
    /// Of questions: while it is open, the next peer in the key's order is asked.
    questions: Mutex<Breaker>,
    /// Of peeks, which wait for less: a peer that is too slow for them may still be quick enough for questions.
    peeks: Mutex<Breaker>,
}

/// What a peer is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// A question about a key that it owns.
    Question,
    /// What it still has of a key that it owned.
    Peek,
}

impl Peers {
    pub(crate) fn new(clock: Clock, metrics: Arc<Metrics>) -> Self {
        Self { clock, metrics, links: ArcSwap::default(), token: ArcSwapOption::default() }
    }

    /// Keeps a client for each peer of the ring, and for those who were in rings `before`; one whose address is the
    /// same keeps its connection.
    pub(crate) fn set(&self, ring: &Ring, before: Vec<Peer>, me: &str) {
        let old = self.links.load();
        let link = |peer: &Peer| {
            old.get(&peer.name)
                .filter(|link| link.peer.peer == peer.peer)
                .cloned()
                .unwrap_or_else(|| Arc::new(Link::new(peer)))
        };
        let gone = before.iter().filter(|peer| ring.peer(&peer.name).is_none());
        let links = gone
            .chain(ring.peers())
            .filter(|peer| peer.name != me)
            .map(|peer| (peer.name.clone(), link(peer)))
            .collect();
        self.links.store(Arc::new(links));
        self.count();
    }

    /// Whether a peer may be asked now: it answers, or this is a trial.
    pub(crate) fn admits(&self, peer: &str, call: Call) -> bool {
        self.links.load().get(peer).is_some_and(|link| {
            let mut breaker = link.breaker(call).lock();
            let (admits, trial) = (breaker.admits(self.clock.now()), breaker.is_open());
            if admits && trial {
                tracing::debug!(peer, ?call, "trial: does it answer again?");
            }
            admits
        })
    }

    /// A peer says that it is there: nobody waits for a trial.
    pub(crate) fn is_back(&self, peer: &str) {
        if let Some(link) = self.links.load().get(peer) {
            self.answered(link, Call::Peek);
            self.answered(link, Call::Question);
        }
    }

    fn answered(&self, link: &Link, call: Call) {
        if link.breaker(call).lock().answers() && call == Call::Question {
            tracing::info!(peer = link.peer.name, "peer answers again");
            self.count();
        }
    }

    fn failed(&self, link: &Link, call: Call, failure: Failure) {
        let now = self.clock.now();
        // Whoever cannot be reached for a peek answers nothing else either. One that is silent for its short deadline
        // may, and one that is too old to know what a peek is does.
        if call == Call::Peek && matches!(failure, Failure::Refused | Failure::Reset) {
            self.failed(link, Call::Question, failure);
        } else {
            self.metrics.count_peer_failure(failure.reason());
        }
        if link.breaker(call).lock().fails(now) && call == Call::Question {
            tracing::warn!(
                peer = link.peer.name,
                reason = failure.label(),
                "peer does not answer: its keys go to the next"
            );
            self.count();
        }
    }

    fn count(&self) {
        let open = self.links.load().values().filter(|link| link.questions.lock().is_open()).count();
        self.metrics.peers_failing.set(i64::try_from(open).unwrap_or(i64::MAX));
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

    /// Asks a peer, once, for all who ask for the key (`is_load`) or for one request as it is. Its verdict and what
    /// comes with it; a failure where it says nothing in time.
    pub(crate) async fn ask(
        &self,
        peer: &str,
        head: &RequestHead,
        question: &Question,
        patience: Duration,
        is_load: bool,
    ) -> Result<(Verdict, Response<Incoming>), Failure> {
        let link = self.link(peer)?;
        let token = self.token.load_full().ok_or(Failure::Refused)?;
        let request = call(peer, head, question, &token, is_load).ok_or(Failure::Internal)?;
        let verdict = |response: &Response<Incoming>| {
            response.headers().get(header::OUTCOME).and_then(|outcome| Verdict::parse(outcome.as_bytes()))
        };
        let answer = patiently(patience, link.ask(request))
            .await
            .and_then(|response| Ok((verdict(&response).ok_or(Failure::BadResponse)?, response)));
        match &answer {
            Ok(_) => self.answered(&link, Call::Question),
            Err(failure) => self.failed(&link, Call::Question, *failure),
        }
        answer
    }

    /// A peer's answer to a question broke off.
    pub(crate) fn broke_off(&self, peer: &str) {
        if let Ok(link) = self.link(peer) {
            self.failed(&link, Call::Question, Failure::IncompleteBody);
        }
    }

    /// Asks a peer for what it has of a key; how it answered counts for its breaker.
    pub(crate) async fn peek(&self, peer: &str, key: &[u8], patience: Duration) -> Result<Response<Incoming>, Failure> {
        let link = self.link(peer)?;
        let told =
            Question { patience: u64::try_from(patience.as_millis()).unwrap_or(u64::MAX) / 4 * 3, ..Question::new() };
        let answer = self.post(&link, wire::PEEK_PATH, &told, key.to_vec(), patience).await;
        match &answer {
            Ok(_) => self.answered(&link, Call::Peek),
            Err(failure) => self.failed(&link, Call::Peek, *failure),
        }
        answer
    }

    /// Tells a peer something under one of our own paths.
    pub(crate) async fn tell(
        &self,
        peer: &str,
        path: &str,
        body: Vec<u8>,
        patience: Duration,
    ) -> Result<Response<Incoming>, Failure> {
        self.post(&*self.link(peer)?, path, &Question::new(), body, patience).await
    }

    /// The same to one that may be in no ring.
    pub(crate) async fn say(
        &self,
        peer: &Peer,
        path: &str,
        body: Vec<u8>,
        patience: Duration,
    ) -> Result<Response<Incoming>, Failure> {
        let link = self.link(&peer.name).unwrap_or_else(|_| Arc::new(Link::new(peer)));
        self.post(&link, path, &Question::new(), body, patience).await
    }

    async fn post(
        &self,
        link: &Link,
        path: &str,
        said: &Question,
        body: Vec<u8>,
        patience: Duration,
    ) -> Result<Response<Incoming>, Failure> {
        let token = self.token.load_full().ok_or(Failure::Refused)?;
        let uri = Uri::builder()
            .scheme("http")
            .authority(link.peer.name.as_str())
            .path_and_query(path)
            .build()
            .map_err(|_| Failure::Internal)?;
        let request = Request::post(uri)
            .version(http::Version::HTTP_2)
            .header(AUTHORIZATION, &*token)
            .header(header::WIRE, said.to_string());
        let response = link.send(request.body(body.into()).map_err(|_| Failure::Internal)?, patience).await?;
        if response.status().is_success() { Ok(response) } else { Err(Failure::BadResponse) }
    }

    fn link(&self, peer: &str) -> Result<Arc<Link>, Failure> {
        self.links.load().get(peer).cloned().ok_or(Failure::Refused)
    }

    /// Tells a peer that an unsafe request has succeeded for a target. `call`: the path of the call.
    pub(crate) async fn invalidate(
        &self,
        peer: &str,
        head: &RequestHead,
        call: &str,
        patience: Duration,
    ) -> Result<(), Failure> {
        let link = self.link(peer)?;
        let token = self.token.load_full().ok_or(Failure::Refused)?;
        let question = Question { hop: true, ..Question::new() };
        let mut request = self::call(peer, head, &question, &token, true).ok_or(Failure::Internal)?;
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = Uri::builder()
            .scheme("http")
            .authority(peer)
            .path_and_query(call)
            .build()
            .map_err(|_| Failure::Internal)?;
        let response = link.send(request, patience).await?;
        if response.status().is_success() { Ok(()) } else { Err(Failure::BadResponse) }
    }
}

/// The client's request as a call: the peer's own name as host, the client's host and scheme beside it.
fn call(
    peer: &str,
    head: &RequestHead,
    question: &Question,
    token: &HeaderValue,
    is_load: bool,
) -> Option<Request<Body>> {
    let uri = Uri::builder().scheme("http").authority(peer).path_and_query(head.target()).build().ok()?;
    let mut headers = HeaderMap::with_capacity(head.headers().len() + 8);
    for (name, value) in head.headers() {
        let stays = [HOST, CONTENT_LENGTH, EXPECT, AUTHORIZATION].contains(name)
            || never_to_origin(name.as_str().as_bytes())
            || connection::is_hop_by_hop(name.as_str().as_bytes())
            || (is_load && CONDITIONAL_FIELDS.contains(&name.as_str()));
        if !stays {
            headers.append(name.clone(), value.clone());
        }
    }
    headers.insert(header::WIRE, HeaderValue::try_from(question.to_string()).ok()?);
    if let Some(route) = &question.route {
        headers.insert(header::ROUTE, HeaderValue::from_str(route).ok()?);
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
        Self { peer: peer.clone(), client, questions: Mutex::default(), peeks: Mutex::default() }
    }

    fn breaker(&self, call: Call) -> &Mutex<Breaker> {
        match call {
            Call::Question => &self.questions,
            Call::Peek => &self.peeks,
        }
    }

    async fn send(&self, request: Request<Body>, patience: Duration) -> Result<Response<Incoming>, Failure> {
        timeout(patience, self.ask(request)).await.map_err(|_| Failure::Timeout)?
    }

    async fn ask(&self, request: Request<Body>) -> Result<Response<Incoming>, Failure> {
        self.client.request(request).await.map_err(|error| failure(&error))
    }
}

/// Waits for a peer's answer for as long as it may be silent. It waits in small steps, each of which counts as one
/// however late it ends: a process that is starved of CPU would else take its own lateness for the peer's silence, with
/// the answer unread in front of it.
async fn patiently<T>(patience: Duration, answer: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let mut answer = pin!(answer);
    let (step, mut left) = ((patience / STEPS).max(STEP), patience);
    loop {
        let now = step.min(left);
        if let Ok(answer) = timeout(now, &mut answer).await {
            return answer;
        }
        left = left.saturating_sub(now);
        if left.is_zero() {
            return Err(Failure::Timeout);
        }
    }
}

/// Why a peer says nothing. One that cannot be reached is gone; whether the name, the way or the port is to blame is
/// nothing to its asker.
fn failure(error: &legacy::Error) -> Failure {
    if !error.is_connect() {
        return Failure::of_error(error);
    }
    let timed_out = causes(error)
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::TimedOut));
    if timed_out { Failure::Timeout } else { Failure::Refused }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, poll_fn};
    use tokio::time::{Instant, advance, sleep};

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_is_waited_for_no_longer_than_the_patience() {
        for patience in [1000, 400, 7, 1].map(Duration::from_millis) {
            let begun = Instant::now();
            assert_eq!(patiently::<()>(patience, pending()).await, Err(Failure::Timeout));
            let took = begun.elapsed();
            // Tokio's timers are late by a millisecond at most, each.
            assert!(
                took >= patience && took <= patience + (STEPS + 1) * Duration::from_millis(1),
                "{took:?} for {patience:?}"
            );
        }
        let in_time = async {
            sleep(Duration::from_millis(999)).await;
            Ok(7)
        };
        assert_eq!(patiently(Duration::from_secs(1), in_time).await, Ok(7));
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_asker_sleeps_through_is_not_its_peers_silence() {
        // Each time that it is looked at, the process was away for 90 ms: the answer is there at the 30th time, after
        // 2.7 s.
        let mut looks = 0;
        let mut away = None;
        let answer = poll_fn(move |cx| {
            looks += 1;
            if looks > 30 {
                return Poll::Ready(Ok(()));
            }
            let sleeps = away.insert(Box::pin(advance(Duration::from_millis(90))));
            let _ = sleeps.as_mut().poll(cx);
            Poll::Pending
        });
        assert_eq!(patiently(Duration::from_secs(1), answer).await, Ok(()));
    }
}
