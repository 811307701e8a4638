//! One connection to an origin, and one request on it.

use crate::{
    http::body::Body,
    origin::{
        connect::OpenConnection,
        failure::{Failure, OriginError, causes},
        http1::Http1Connection,
    },
};
use futures_util::task::AtomicWaker;
use http::{HeaderValue, Request, Response, Uri, Version, header::HOST, uri::PathAndQuery};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc, Weak,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{Acquire, Release},
        },
    },
    time::Duration,
};
use tokio::time::Instant;

/// The largest head of a response: Envoy refuses above 60 KiB.
const MAX_HEAD: usize = 64 * 1024;
/// The most fields of a response: Envoy refuses above 100.
pub(super) const MAX_FIELDS: usize = 256;
/// The fields up to which a head is read, so that one above [`MAX_FIELDS`] gets its own reason. hyper allocates a table
/// of so many for each head.
const MAX_READ_FIELDS: usize = MAX_FIELDS + 64;

/// A connection for one request.
pub(super) enum Connection {
    /// HTTP/1.1: for this request alone.
    Http1(Http1Connection),
    /// HTTP/2: shared with others.
    Http2(Http2Connection),
}

/// An HTTP/2 connection. Clones share it.
#[derive(Clone)]
pub(super) struct Http2Connection {
    sender: http2::SendRequest<Body>,
    pub(super) opened: Instant,
    pub(super) until: Instant,
    pub(super) stream: Http2Stream,
}

/// A request on an HTTP/2 connection. It counts there until it is dropped.
#[derive(Clone)]
pub(super) struct Http2Stream(Arc<Http2State>);

/// The state of an HTTP/2 connection.
struct Http2State {
    retired: AtomicBool,
    /// The streams that the origin allows.
    max_streams: AtomicUsize,
    /// The connection's task, which reads that number.
    driver: AtomicWaker,
}

impl Http2Stream {
    /// Takes no further request on the connection: this one got no response in time.
    pub(super) fn retire(&self) {
        self.0.retired.store(true, Release);
    }

    pub(super) fn downgrade(&self) -> WeakHttp2Stream {
        WeakHttp2Stream(Arc::downgrade(&self.0))
    }
}

/// A reference to a request's connection that does not count as a request there.
pub(super) struct WeakHttp2Stream(Weak<Http2State>);

impl WeakHttp2Stream {
    pub(super) fn retire(&self) {
        if let Some(state) = self.0.upgrade() {
            Http2Stream(state).retire();
        }
    }
}

/// Why a request has no response, and whether it may be sent again.
pub(super) struct SendError {
    pub(super) error: OriginError,
    pub(super) processing: Processing,
}

/// How far the origin has processed a failed request.
pub(super) enum Processing {
    /// Nothing. The request, where it is still here.
    NotBegun(Option<Box<Request<Body>>>),
    /// Unknown.
    Unknown,
}

impl Connection {
    /// Begins HTTP on an open connection. `keep_alive`: an HTTP/2 connection is pinged after the first time of silence,
    /// and closed after the second.
    pub(super) async fn over(
        opened: OpenConnection,
        until: Instant,
        keep_alive: (Duration, Duration),
    ) -> Result<Self, OriginError> {
        let failed = |error: hyper::Error| OriginError::new(Failure::of_error(&error), &error);
        if !opened.is_http2 {
            let mut http = http1::Builder::new();
            let (sender, driver) = http
                .max_buf_size(2 * MAX_HEAD)
                .max_headers(MAX_READ_FIELDS)
                .handshake(opened.stream)
                .await
                .map_err(failed)?;
            return Ok(Self::Http1(Http1Connection::new(sender, driver, opened.tcp, opened.certificates, until)));
        }
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .keep_alive_interval(keep_alive.0)
            .keep_alive_timeout(keep_alive.1)
            .keep_alive_while_idle(true);
        http.adaptive_window(true).max_header_list_size(MAX_HEAD as u32);
        let (sender, driver) = http.handshake(opened.stream).await.map_err(failed)?;
        let state = Arc::new(Http2State {
            retired: AtomicBool::new(false),
            max_streams: AtomicUsize::new(driver.current_max_send_streams()),
            driver: AtomicWaker::new(),
        });
        let weak = Arc::downgrade(&state);
        tokio::spawn(async move {
            let mut driver = pin!(driver);
            poll_fn(|cx| {
                let polled = driver.as_mut().poll(cx);
                if let Some(state) = weak.upgrade() {
                    state.driver.register(cx.waker());
                    state.max_streams.store(driver.current_max_send_streams(), Release);
                }
                polled
            })
            .await
        });
        Ok(Self::Http2(Http2Connection { sender, opened: Instant::now(), until, stream: Http2Stream(state) }))
    }

    /// Sends a request. The response's body needs the connection until its end.
    pub(super) async fn send(mut self, request: Request<Body>) -> Result<(Response<Incoming>, Self), SendError> {
        let uri = request.uri().clone();
        let sent = match &mut self {
            Self::Http1(connection) => {
                let request = origin_form(request, &mut connection.host);
                connection.send(request).await
            }
            Self::Http2(connection) => {
                let mut request = request;
                *request.version_mut() = Version::HTTP_2;
                let sent = connection.sender.try_send_request(request).await;
                // The origin's settings came before its first response.
                connection.stream.0.driver.wake();
                sent
            }
        };
        Ok((sent.map_err(|error| SendError::of(error, &uri))?, self))
    }

    /// Returns a reference to an HTTP/2 connection.
    pub(super) fn downgrade(&self) -> Option<WeakHttp2Stream> {
        match self {
            Self::Http1(_) => None,
            Self::Http2(connection) => Some(connection.stream.downgrade()),
        }
    }
}

impl Http2Connection {
    /// Returns whether it may take another request, now or later.
    pub(super) fn is_good(&self, now: Instant) -> bool {
        !self.stream.0.retired.load(Acquire) && !self.sender.is_closed() && now < self.until
    }

    /// Returns whether it may take one now. Each clone beside the pool's own is a request.
    pub(super) fn has_room(&self) -> bool {
        Arc::strong_count(&self.stream.0).saturating_sub(1) < self.stream.0.max_streams.load(Acquire).max(1)
    }
}

impl SendError {
    fn of(mut error: TrySendError<Request<Body>>, uri: &Uri) -> Self {
        let message = error.take_message().map(|mut request| {
            *request.uri_mut() = uri.clone();
            Box::new(request)
        });
        let error = error.into_error();
        // Above the last stream that a GOAWAY names (RFC 9113 section 6.8), or refused (section 8.7): it has not been
        // processed.
        let untouched = |cause: &(dyn std::error::Error + 'static)| {
            cause.downcast_ref::<h2::Error>().is_some_and(|h2| {
                h2.is_remote() && (h2.is_go_away() || h2.reason() == Some(h2::Reason::REFUSED_STREAM))
            })
        };
        let processing = if message.is_some() || causes(&error).any(untouched) {
            Processing::NotBegun(message)
        } else {
            Processing::Unknown
        };
        Self { error: OriginError::new(Failure::of_error(&error), &error), processing }
    }
}

/// Converts a request to the form of HTTP/1.1: the path alone as target, the authority in Host. `host`: what the
/// connection's first request has there, since all of a pool's are for one authority.
fn origin_form(mut request: Request<Body>, host: &mut Option<HeaderValue>) -> Request<Body> {
    if !request.headers().contains_key(HOST) {
        *host = host.take().or_else(|| host_of(request.uri()));
        if let Some(host) = host {
            request.headers_mut().insert(HOST, host.clone());
        }
    }
    let target = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(target);
    request
}

/// Returns the authority as Host has it.
fn host_of(uri: &Uri) -> Option<HeaderValue> {
    let authority = uri.authority()?;
    let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    let has_port = authority.port_u16().is_some_and(|port| port != default);
    HeaderValue::from_str(if has_port { authority.as_str() } else { authority.host() }).ok()
}
