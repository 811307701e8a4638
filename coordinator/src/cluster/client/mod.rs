//! The client of the other coordinators: questions, peeks, pushes and announcements over HTTP/2 on their peer ports.

mod connector;
mod credentials;
mod hop_request;
mod link;
mod patience;
mod security;
mod stream;

pub(crate) use credentials::Credentials;
pub(crate) use link::Call;
pub(crate) use stream::tls_error;

use crate::{
    clock::Clock,
    http::head::RequestHead,
    origin::Failure,
    telemetry::{metrics::Metrics, trace::current_trace},
    tls::PeerTls,
};
use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use credentials::Needs;
use hop_request::hop_request;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header::AUTHORIZATION};
use hyper::body::Incoming;
use link::Link;
use meshcache_protocol::{
    Peer, Ring, paths,
    wire::{Question, Verdict, header},
};
use parking_lot::Mutex;
use patience::with_patience;
use std::{collections::HashMap, sync::Arc, time::Duration};

/// Calls the other coordinators, and records which answer.
pub(crate) struct PeerClient {
    clock: Clock,
    metrics: Arc<Metrics>,
    links: ArcSwap<HashMap<String, Arc<Link>>>,
    /// Held while the links are replaced: the ring and certificates change in different tasks.
    replacing_links: Mutex<()>,
    credentials: ArcSwap<Credentials>,
    tls: ArcSwapOption<PeerTls>,
}

impl PeerClient {
    pub(crate) fn new(clock: Clock, metrics: Arc<Metrics>) -> Self {
        let (links, credentials, tls) = (ArcSwap::default(), ArcSwap::default(), ArcSwapOption::default());
        Self { clock, metrics, links, replacing_links: Mutex::default(), credentials, tls }
    }

    /// Sets the peers: those of the ring, and those of the rings `before`. A peer whose address is the same keeps its
    /// connection.
    pub(crate) fn set_peers(&self, ring: &Ring, before: Vec<Peer>, me: &str) {
        let _replacing = self.replacing_links.lock();
        let old = self.links.load();
        let link = |peer: &Peer| {
            old.get(&peer.name)
                .filter(|link| link.peer.peer == peer.peer)
                .cloned()
                .unwrap_or_else(|| Arc::new(self.new_link(peer)))
        };
        let gone = before.iter().filter(|peer| ring.peer(&peer.name).is_none());
        let links = gone
            .chain(ring.peers())
            .filter(|peer| peer.name != me)
            .map(|peer| (peer.name.clone(), link(peer)))
            .collect();
        self.links.store(Arc::new(links));
        self.update_failing();
    }

    /// Acquires permission to call a peer: the peer answers, or this call tries whether it does again.
    pub(crate) fn try_acquire(&self, peer: &str, call: Call) -> bool {
        self.links.load().get(peer).is_some_and(|link| {
            let mut breaker = link.breaker(call).lock();
            let (may_call, is_open) = (breaker.try_acquire(self.clock.now()), breaker.is_open());
            if may_call && is_open {
                tracing::debug!(peer, ?call, "trial call to a failing peer");
            }
            may_call
        })
    }

    /// Records that a peer has announced itself: it may be called without a trial.
    pub(crate) fn peer_returned(&self, peer: &str) {
        if let Some(link) = self.links.load().get(peer) {
            self.record_answer(link, Call::Peek);
            self.record_answer(link, Call::Question);
        }
    }

    fn record_answer(&self, link: &Link, call: Call) {
        if link.breaker(call).lock().record_success() && call == Call::Question {
            tracing::info!(peer = link.peer.name, "peer answers again");
            self.update_failing();
        }
    }

    fn record_failure(&self, link: &Link, call: Call, failure: Failure) {
        let now = self.clock.now();
        // A peer that cannot be reached for a peek answers no questions either. One that is too slow for its short
        // deadline may, and one of a version without peeks does.
        if call == Call::Peek && matches!(failure, Failure::Refused | Failure::Reset) {
            self.record_failure(link, Call::Question, failure);
        } else {
            self.metrics.count_peer_failure(failure.reason());
        }
        if link.breaker(call).lock().record_failure(now) && call == Call::Question {
            tracing::warn!(
                peer = link.peer.name,
                reason = failure.label(),
                "peer does not answer: its keys go to the next"
            );
            self.update_failing();
        }
    }

    fn update_failing(&self) {
        let open = self.links.load().values().filter(|link| link.breaker(Call::Question).lock().is_open()).count();
        self.metrics.peers_failing.set(i64::try_from(open).unwrap_or(i64::MAX));
    }

    /// Asks a peer, once: for all requests of a key (`is_load`), or for one request as it is. Returns its verdict and
    /// the response with it; fails where it gives none in time.
    pub(crate) async fn ask(
        &self,
        peer: &str,
        head: &RequestHead,
        question: &Question,
        patience: Duration,
        is_load: bool,
    ) -> Result<(Verdict, Response<Incoming>), Failure> {
        let link = self.link(peer)?;
        let proof = self.proof(Needs::Reach)?;
        // Each sending has a span of its own.
        let span = Mutex::new(None);
        let request = || {
            let mut request = hop_request(peer, head, question, proof.clone(), is_load)?;
            *span.lock() = current_trace().client(&mut request);
            Some(request)
        };
        let verdict = |response: &Response<Incoming>| {
            response.headers().get(header::OUTCOME).and_then(|outcome| Verdict::parse(outcome.as_bytes()))
        };
        let answer = with_patience(patience, link.send_untimed(request))
            .await
            .and_then(|response| Ok((verdict(&response).ok_or(Failure::BadResponse)?, response)));
        match &answer {
            Ok(_) => self.record_answer(&link, Call::Question),
            Err(failure) => self.record_failure(&link, Call::Question, *failure),
        }
        match (&mut span.into_inner(), &answer) {
            (Some(span), Ok((verdict, response))) => {
                span.set_status(response.status());
                span.set("meshcache.outcome", verdict.outcome.label().into());
            }
            (Some(span), Err(failure)) => span.fail(failure.label()),
            (None, _) => {}
        }
        answer
    }

    /// Records that a peer's answer to a question broke off.
    pub(crate) fn record_incomplete(&self, peer: &str) {
        if let Ok(link) = self.link(peer) {
            self.record_failure(&link, Call::Question, Failure::IncompleteBody);
        }
    }

    /// Asks a peer for the entries that it has of a key.
    pub(crate) async fn peek(&self, peer: &str, key: &[u8], patience: Duration) -> Result<Response<Incoming>, Failure> {
        let link = self.link(peer)?;
        let question =
            Question { patience: u64::try_from(patience.as_millis()).unwrap_or(u64::MAX) / 4 * 3, ..Question::new() };
        let proof = self.proof(Needs::Reach)?;
        let answer = self.call(&link, proof, paths::PEEK, &question, key.to_vec(), patience).await;
        match &answer {
            Ok(_) => self.record_answer(&link, Call::Peek),
            Err(failure) => self.record_failure(&link, Call::Peek, *failure),
        }
        answer
    }

    /// Posts a message to one of a peer's own paths.
    pub(crate) async fn post(
        &self,
        peer: &str,
        path: &str,
        body: Vec<u8>,
        patience: Duration,
    ) -> Result<Response<Incoming>, Failure> {
        self.call(&*self.link(peer)?, self.proof(Needs::Token)?, path, &Question::new(), body, patience).await
    }

    /// Posts a message to a peer that may be in no ring.
    pub(crate) async fn post_to(
        &self,
        peer: &Peer,
        path: &str,
        body: Vec<u8>,
        patience: Duration,
    ) -> Result<Response<Incoming>, Failure> {
        let link = self.link(&peer.name).unwrap_or_else(|_| Arc::new(self.new_link(peer)));
        self.call(&link, self.proof(Needs::Token)?, path, &Question::new(), body, patience).await
    }

    /// Asks whoever listens where a peer may be for the entries of no key. Returns the status: a coordinator has none.
    pub(crate) async fn probe(&self, peer: &Peer, patience: Duration) -> Result<StatusCode, Failure> {
        let (link, proof) = (self.new_link(peer), self.proof(Needs::Reach)?);
        Ok(self.answer(&link, proof, paths::PEEK, &Question::new(), Vec::new(), patience).await?.status())
    }

    async fn call(
        &self,
        link: &Link,
        proof: Option<HeaderValue>,
        path: &str,
        question: &Question,
        body: Vec<u8>,
        patience: Duration,
    ) -> Result<Response<Incoming>, Failure> {
        let response = self.answer(link, proof, path, question, body, patience).await?;
        if response.status().is_success() { Ok(response) } else { Err(Failure::BadResponse) }
    }

    /// The answer to a call, whatever its status.
    async fn answer(
        &self,
        link: &Link,
        proof: Option<HeaderValue>,
        path: &str,
        question: &Question,
        body: Vec<u8>,
        patience: Duration,
    ) -> Result<Response<Incoming>, Failure> {
        let uri = Uri::builder()
            .scheme("http")
            .authority(link.peer.name.as_str())
            .path_and_query(path)
            .build()
            .map_err(|_| Failure::Internal)?;
        let body = Bytes::from(body);
        let request = || {
            let mut request = Request::post(uri.clone())
                .version(http::Version::HTTP_2)
                .header(header::WIRE, question.to_string())
                .body(body.clone().into())
                .ok()?;
            if let Some(proof) = &proof {
                request.headers_mut().insert(AUTHORIZATION, proof.clone());
            }
            Some(request)
        };
        link.send(request, patience).await
    }

    fn new_link(&self, peer: &Peer) -> Link {
        Link::new(peer, self.security(Some(&peer.name)))
    }

    fn link(&self, peer: &str) -> Result<Arc<Link>, Failure> {
        self.links.load().get(peer).cloned().ok_or(Failure::Refused)
    }

    /// Posts to a peer that an unsafe request has succeeded for a target. `path`: the path of the call.
    pub(crate) async fn invalidate(
        &self,
        peer: &str,
        head: &RequestHead,
        path: &str,
        patience: Duration,
    ) -> Result<(), Failure> {
        let link = self.link(peer)?;
        let question = Question { hop: true, ..Question::new() };
        let proof = self.proof(Needs::Reach)?;
        let uri = Uri::builder()
            .scheme("http")
            .authority(peer)
            .path_and_query(path)
            .build()
            .map_err(|_| Failure::Internal)?;
        let request = || {
            let mut request = hop_request(peer, head, &question, proof.clone(), true)?;
            *request.method_mut() = http::Method::POST;
            *request.uri_mut() = uri.clone();
            Some(request)
        };
        let response = link.send(request, patience).await?;
        if response.status().is_success() { Ok(()) } else { Err(Failure::BadResponse) }
    }
}
