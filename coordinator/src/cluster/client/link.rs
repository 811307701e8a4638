//! One peer: its connections, and the circuit breakers of the calls to it.

use super::{
    connector::AddressConnector,
    stream::{PeerSecurity, tls_error},
};
use crate::{
    http::body::Body,
    origin::{Failure, causes},
    telemetry::rare::Rare,
};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{self, Client},
    rt::{TokioExecutor, TokioTimer},
};
use meshcache_protocol::{Breaker, Peer};
use parking_lot::Mutex;
use std::{io, time::Duration};
use tokio::time::timeout;

/// A connection that is idle for this time is probed, and closed after as long again without an answer.
const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// The flow control windows, bytes: of one answer, and of all on one connection. Answers whose readers take nothing must
/// not hold up the others: there is room for all 4,096 that one connection may have at once.
const WINDOWS: (u32, u32) = (256 << 10, 1 << 30);

/// A kind of call that a peer may be too slow for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// A question about a key that it owns.
    Question,
    /// A peek at a key that it owned before.
    Peek,
}

/// A peer that can be called.
pub(super) struct Link {
    pub(super) peer: Peer,
    client: Client<AddressConnector, Body>,
    /// While it is open, the next peer in the key's order is asked.
    questions: Mutex<Breaker>,
    /// Peeks wait for less: a peer that is too slow for them may still be quick enough for questions.
    peeks: Mutex<Breaker>,
    /// Of lines about TLS with this peer.
    log: Rare,
}

impl Link {
    pub(super) fn new(peer: &Peer, security: PeerSecurity) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .http2_only(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .http2_keep_alive_timeout(KEEP_ALIVE)
            .http2_initial_stream_window_size(WINDOWS.0)
            .http2_initial_connection_window_size(WINDOWS.1)
            .build(AddressConnector::new(&peer.peer, security));
        let (questions, peeks) = (Mutex::default(), Mutex::default());
        Self { peer: peer.clone(), client, questions, peeks, log: Rare::default() }
    }

    /// Returns a link to the same peer with other connections. Calls that are under way go on.
    pub(super) fn renewed(&self, security: PeerSecurity) -> Self {
        let copy = |breaker: &Mutex<Breaker>| Mutex::new(*breaker.lock());
        let (questions, peeks) = (copy(&self.questions), copy(&self.peeks));
        Self { questions, peeks, ..Self::new(&self.peer, security) }
    }

    pub(super) fn breaker(&self, call: Call) -> &Mutex<Breaker> {
        match call {
            Call::Question => &self.questions,
            Call::Peek => &self.peeks,
        }
    }

    /// Sends a request, and waits for the head of its answer. `request`: makes it.
    pub(super) async fn send(
        &self,
        request: impl Fn() -> Option<Request<Body>>,
        patience: Duration,
    ) -> Result<Response<Incoming>, Failure> {
        timeout(patience, self.send_untimed(request)).await.map_err(|_| Failure::Timeout)?
    }

    /// Sends a request without a timeout: that is the caller's.
    pub(super) async fn send_untimed(
        &self,
        request: impl Fn() -> Option<Request<Body>>,
    ) -> Result<Response<Incoming>, Failure> {
        let mut sent = self.client.request(request().ok_or(Failure::Internal)?).await;
        if sent.as_ref().is_err_and(has_ended_well) {
            sent = self.client.request(request().ok_or(Failure::Internal)?).await;
        }
        sent.map_err(|error| {
            if let Some(tls) = tls_error(&error)
                && self.log.is_due()
            {
                tracing::warn!(peer = self.peer.name, address = self.peer.peer, error = %tls, "no TLS with a peer");
            }
            failure(&error)
        })
    }
}

/// Whether the peer has ended the connection to have it made anew (GOAWAY without an error). hyper gives such an error
/// for a request that was sent just before, too.
fn has_ended_well(error: &legacy::Error) -> bool {
    let is_good_end = |h2: &h2::Error| h2.is_remote() && h2.is_go_away() && h2.reason() == Some(h2::Reason::NO_ERROR);
    causes(error).any(|cause| cause.downcast_ref::<h2::Error>().is_some_and(is_good_end))
}

/// Classifies an error. A peer that cannot be reached is gone; whether the name, the route or the port is to blame does
/// not matter to its caller.
fn failure(error: &legacy::Error) -> Failure {
    if tls_error(error).is_some() {
        return Failure::Tls;
    }
    if !error.is_connect() {
        return Failure::of_error(error);
    }
    let timed_out = causes(error)
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::TimedOut));
    if timed_out { Failure::Timeout } else { Failure::Refused }
}
