//! Loads from origins: the one place, beside peers, of the HTTP client. It follows no redirect, decodes no body and knows no proxy.

mod connect;
mod head;
mod paced;

pub(crate) use head::{PARTIAL, Purpose, answered, goes_as_keyed, outgoing, via, with_headers};
pub(crate) use paced::Paced;

use crate::body::{Body, Cut};
use connect::{Connector, Used};
use http::{Method, Request, Response, uri::Authority};
use hyper_util::{
    client::legacy::{Client, connect::capture_connection},
    rt::{TokioExecutor, TokioTimer},
};
use meshcache_protocol::groups::{Group, Groups, OriginHost};
use parking_lot::Mutex;
use std::{collections::HashMap, error::Error, time::Duration};

/// An origin's `ca` that cannot be used: which group's, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("group `{group}`: origin.ca: {what}")]
pub struct BadCa {
    /// The group's name.
    pub group: String,
    /// What is wrong.
    pub what: String,
}

/// Why there is no answer of an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection: refused, no route, no such name, TLS not trusted.
    Refused,
    /// No head in time, or a pause in the body that was too long.
    Timeout,
    /// The connection broke before the head was there.
    Reset,
    /// What came is not HTTP, or its head is too large.
    BadResponse,
    /// The connection broke in the middle of the body.
    IncompleteBody,
    /// The client stopped sending its body.
    IncompleteRequest,
    /// No place for a load in time, and the group refuses then.
    Overload,
    /// There was no answer, and what is stored may not be given without one (RFC 9111 section 5.2.2.2).
    Unvalidated,
    /// Our own fault.
    Internal,
}

impl Failure {
    const ALL: [Self; 9] = [
        Self::Refused,
        Self::Timeout,
        Self::Reset,
        Self::BadResponse,
        Self::IncompleteBody,
        Self::IncompleteRequest,
        Self::Overload,
        Self::Unvalidated,
        Self::Internal,
    ];

    /// The failure of this word.
    pub(crate) fn of(word: &str) -> Self {
        Self::ALL.into_iter().find(|failure| failure.label() == word).unwrap_or(Self::Internal)
    }

    /// The log word and metric label.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::BadResponse => "bad-response",
            Self::IncompleteBody => "incomplete-body",
            Self::IncompleteRequest => "incomplete-request",
            Self::Overload => "overload",
            Self::Unvalidated => "must-revalidate",
            Self::Internal => "internal",
        }
    }
}

/// Responses whose heads are larger than this are no good: Envoy refuses above 60 KiB.
const LARGEST_HEAD: usize = 64 * 1024;
const MOST_FIELDS: usize = 256;
/// A connection takes this long at most, whatever the origin's timeout.
const CONNECT: Duration = Duration::from_secs(10);
/// Connections to an origin that are kept although nobody uses them, and for how long: less than what servers allow.
const IDLE: (usize, Duration) = (64, Duration::from_secs(20));

type Http = Client<Connector, Body>;

/// A group's origin.
#[derive(Clone)]
pub(crate) struct Origin {
    client: Http,
    timeout: Duration,
    authority: Authority,
    scheme: http::uri::Scheme,
    host: OriginHost,
}

/// The clients of all origins: one for each set of trusted authorities, so that a reload keeps connections.
#[derive(Default)]
pub(crate) struct Clients(Mutex<HashMap<connect::Trust, Http>>);

impl Clients {
    /// The origins of the groups, in their order.
    pub(crate) fn origins(&self, groups: &Groups) -> Result<Vec<Origin>, BadCa> {
        let mut used = HashMap::new();
        let origins = groups.iter().map(|group| self.origin(group, &mut used)).collect();
        // Clients that no group needs any more go, with their connections.
        *self.0.lock() = used;
        origins
    }

    fn origin(&self, group: &Group, used: &mut HashMap<connect::Trust, Http>) -> Result<Origin, BadCa> {
        let of = &group.config().origin;
        let bad = |what: String| BadCa { group: group.name().to_owned(), what };
        let trust = connect::Trust::of(of).map_err(bad)?;
        let client = match used.get(&trust).cloned().or_else(|| self.0.lock().get(&trust).cloned()) {
            Some(client) => client,
            None => client(Connector::new(&trust, CONNECT).map_err(bad)?),
        };
        used.insert(trust, client.clone());
        let authority = of.url.authority().parse().map_err(|_| bad(format!("`{}` is no host", of.url.authority())))?;
        let scheme = if of.url.scheme() == "https" { http::uri::Scheme::HTTPS } else { http::uri::Scheme::HTTP };
        Ok(Origin { client, timeout: of.timeout.duration(), authority, scheme, host: of.host })
    }
}

fn client(connector: Connector) -> Http {
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(IDLE.0)
        .pool_idle_timeout(IDLE.1)
        .http1_max_buf_size(2 * LARGEST_HEAD)
        .http1_max_headers(MOST_FIELDS)
        .http2_max_header_list_size(LARGEST_HEAD as u32)
        .http2_adaptive_window(true)
        .build(connector)
}

impl Origin {
    /// How long it may take until its head is there, and between two pieces of its body.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Sends a request; its answer's body is cut where it pauses for too long.
    pub(crate) async fn send(&self, request: Request<Body>) -> Result<Response<Paced>, Failure> {
        let again = repeatable(&request);
        let response = match self.once(request).await {
            // A server may close a connection that was idle just when we take it: that says nothing about the request.
            Err((_, true)) if let Some(again) = again => self.once(again).await.map_err(|(failure, _)| failure)?,
            other => other.map_err(|(failure, _)| failure)?,
        };
        Ok(response.map(|body| Paced::new(body, self.timeout)))
    }

    /// The failure, and whether it was that of a connection which had been good before.
    async fn once(&self, mut request: Request<Body>) -> Result<Response<hyper::body::Incoming>, (Failure, bool)> {
        let connection = capture_connection(&mut request);
        let sent = tokio::time::timeout(self.timeout, self.client.request(request)).await;
        let used = || connection.connection_metadata().as_ref().and_then(Used::of);
        match sent {
            Ok(Ok(response)) => {
                if let Some(used) = used() {
                    used.set();
                }
                Ok(response)
            }
            Ok(Err(error)) => {
                let failure = classify(&error);
                Err((failure, failure == Failure::Reset && used().is_some_and(|used| used.get())))
            }
            Err(_) => Err((Failure::Timeout, false)),
        }
    }
}

/// The same request once more, where it may be sent twice: a safe method without a body.
fn repeatable(request: &Request<Body>) -> Option<Request<Body>> {
    let is_safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE);
    if !is_safe || !http_body::Body::is_end_stream(request.body()) {
        return None;
    }
    let mut again = Request::new(Body::empty());
    *again.method_mut() = request.method().clone();
    *again.uri_mut() = request.uri().clone();
    *again.headers_mut() = request.headers().clone();
    *again.version_mut() = request.version();
    *again.extensions_mut() = request.extensions().clone();
    Some(again)
}

/// What went wrong, by the first cause that says so.
pub(crate) fn classify(error: &hyper_util::client::legacy::Error) -> Failure {
    if error.is_connect() {
        let timed_out = causes(error).any(|cause| cause.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::TimedOut));
        return if timed_out { Failure::Timeout } else { Failure::Refused };
    }
    for cause in causes(error) {
        if cause.is::<Cut>() {
            return Failure::IncompleteRequest;
        }
        if let Some(hyper) = cause.downcast_ref::<hyper::Error>() {
            if hyper.is_parse() || hyper.is_parse_too_large() || hyper.is_parse_status() {
                return Failure::BadResponse;
            }
            if hyper.is_timeout() {
                return Failure::Timeout;
            }
        }
    }
    Failure::Reset
}

fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let this = next?;
        next = this.source();
        Some(this)
    })
}
