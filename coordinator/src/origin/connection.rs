//! One connection to an origin, and one request on it.

use crate::{
    http::body::Body,
    origin::{
        connect::Opened,
        failure::{Failure, Missed, causes},
        wire::is_quiet,
    },
};
use futures_util::task::AtomicWaker;
use http::{HeaderMap, HeaderValue, Request, Response, Uri, Version, header::HOST, uri::PathAndQuery};
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
use tokio::{net::TcpStream, time::Instant};

/// Responses whose heads are larger than this are no good: Envoy refuses above 60 KiB.
const LARGEST_HEAD: usize = 64 * 1024;
/// So many fields are read, that those over [`MOST_FIELDS`](super::MOST_FIELDS) can be called what they are.
const READ_FIELDS: usize = 4 * super::MOST_FIELDS;

/// A connection for one request.
pub(super) enum Connection {
    /// HTTP/1.1: it has no other meanwhile.
    One(One),
    /// HTTP/2: it may have others.
    Two(Two),
}

/// An HTTP/1.1 connection.
pub(super) struct One {
    sender: http1::SendRequest<Body>,
    tcp: Weak<TcpStream>,
    /// From then on it takes no request.
    pub(super) until: Instant,
}

/// An HTTP/2 connection; a clone is the same one.
#[derive(Clone)]
pub(super) struct Two {
    sender: http2::SendRequest<Body>,
    pub(super) born: Instant,
    pub(super) until: Instant,
    stream: Stream,
}

/// A request on an HTTP/2 connection, as long as it lasts: it counts there.
#[derive(Clone)]
pub(super) struct Stream(Arc<Shared>);

/// What those have in common who use an HTTP/2 connection.
struct Shared {
    retired: AtomicBool,
    /// How many streams the origin lets us have.
    most: AtomicUsize,
    /// Who knows that by now.
    driver: AtomicWaker,
}

impl Stream {
    /// The connection takes no further request: this one was left without an answer for too long.
    pub(super) fn retire(&self) {
        self.0.retired.store(true, Release);
    }

    pub(super) fn watch(&self) -> Watch {
        Watch(Arc::downgrade(&self.0))
    }
}

/// The connection that a request is on, without counting there.
pub(super) struct Watch(Weak<Shared>);

impl Watch {
    pub(super) fn retire(&self) {
        if let Some(shared) = self.0.upgrade() {
            Stream(shared).retire();
        }
    }
}

/// Why a request has no answer, and whether it may be sent again.
pub(super) struct Broke {
    pub(super) missed: Missed,
    pub(super) seen: Seen,
}

/// What the origin has seen of a request that failed.
pub(super) enum Seen {
    /// Nothing: here it is again, where we still have it.
    Nothing(Option<Box<Request<Body>>>),
    /// Nobody knows.
    Perhaps,
}

impl Connection {
    /// Speaks HTTP over what was opened. `alive`: after so long a silence an HTTP/2 connection is asked for a sign of
    /// life, and given up after so long again.
    pub(super) async fn over(opened: Opened, until: Instant, alive: (Duration, Duration)) -> Result<Self, Missed> {
        let missed = |error: hyper::Error| Missed::new(Failure::by(&error), &error);
        if !opened.is_http2 {
            let mut http = http1::Builder::new();
            let (sender, driver) = http
                .max_buf_size(2 * LARGEST_HEAD)
                .max_headers(READ_FIELDS)
                .handshake(opened.stream)
                .await
                .map_err(missed)?;
            tokio::spawn(driver);
            return Ok(Self::One(One { sender, tcp: opened.tcp, until }));
        }
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .keep_alive_interval(alive.0)
            .keep_alive_timeout(alive.1)
            .keep_alive_while_idle(true);
        http.adaptive_window(true).max_header_list_size(LARGEST_HEAD as u32);
        let (sender, driver) = http.handshake(opened.stream).await.map_err(missed)?;
        let shared = Arc::new(Shared {
            retired: AtomicBool::new(false),
            most: AtomicUsize::new(driver.current_max_send_streams()),
            driver: AtomicWaker::new(),
        });
        let told = Arc::downgrade(&shared);
        tokio::spawn(async move {
            let mut driver = pin!(driver);
            poll_fn(|cx| {
                let polled = driver.as_mut().poll(cx);
                if let Some(shared) = told.upgrade() {
                    shared.driver.register(cx.waker());
                    shared.most.store(driver.current_max_send_streams(), Release);
                }
                polled
            })
            .await
        });
        Ok(Self::Two(Two { sender, born: Instant::now(), until, stream: Stream(shared) }))
    }

    /// Sends a request. What an HTTP/1.1 connection is free for afterwards is `back`'s to say; the answer of an HTTP/2
    /// one comes with its stream.
    pub(super) async fn send(
        self,
        request: Request<Body>,
        back: impl FnOnce(One, &HeaderMap),
    ) -> Result<(Response<Incoming>, Option<Stream>), Broke> {
        match self {
            Self::One(mut one) => {
                let uri = request.uri().clone();
                let answered = one.sender.try_send_request(origin_form(request)).await;
                let response = answered.map_err(|error| Broke::by(error, &uri))?;
                back(one, response.headers());
                Ok((response, None))
            }
            Self::Two(mut two) => {
                let uri = request.uri().clone();
                let mut request = request;
                *request.version_mut() = Version::HTTP_2;
                let answered = two.sender.try_send_request(request).await;
                // The origin's settings came before its first answer.
                two.stream.0.driver.wake();
                Ok((answered.map_err(|error| Broke::by(error, &uri))?, Some(two.stream)))
            }
        }
    }

    /// Where it is an HTTP/2 connection: it, to be told of.
    pub(super) fn watch(&self) -> Option<Watch> {
        match self {
            Self::One(_) => None,
            Self::Two(two) => Some(two.stream.watch()),
        }
    }
}

impl One {
    /// Whether it may have another request.
    pub(super) fn is_free(&self, now: Instant) -> bool {
        self.sender.is_ready() && !self.sender.is_closed() && now < self.until && is_quiet(&self.tcp)
    }

    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    /// Waits until the answer's body is through. Whether the connection is still there.
    pub(super) async fn ready(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }
}

impl Two {
    /// Whether it may have another request, now or later.
    pub(super) fn is_good(&self, now: Instant) -> bool {
        !self.stream.0.retired.load(Acquire) && !self.sender.is_closed() && now < self.until
    }

    /// Whether it may have one now. Beside the pool's own, each clone is a request.
    pub(super) fn has_room(&self) -> bool {
        Arc::strong_count(&self.stream.0).saturating_sub(1) < self.stream.0.most.load(Acquire).max(1)
    }
}

impl Broke {
    fn by(mut error: TrySendError<Request<Body>>, uri: &Uri) -> Self {
        let message = error.take_message().map(|mut request| {
            *request.uri_mut() = uri.clone();
            Box::new(request)
        });
        let error = error.into_error();
        let missed = Missed::new(Failure::by(&error), &error);
        // Above the last stream that a GOAWAY names (RFC 9113 section 6.8), or refused (section 8.7): nothing has been
        // done for it.
        let untouched = |cause: &(dyn std::error::Error + 'static)| {
            cause.downcast_ref::<h2::Error>().is_some_and(|h2| {
                h2.is_remote() && (h2.is_go_away() || h2.reason() == Some(h2::Reason::REFUSED_STREAM))
            })
        };
        let seen =
            if message.is_some() || causes(&error).any(untouched) { Seen::Nothing(message) } else { Seen::Perhaps };
        Self { missed, seen }
    }
}

/// A request as HTTP/1.1 has it: the target alone, the authority in Host.
fn origin_form(mut request: Request<Body>) -> Request<Body> {
    let uri = request.uri();
    if !request.headers().contains_key(HOST)
        && let Some(authority) = uri.authority()
    {
        let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let host = if authority.port_u16().is_some_and(|port| port != default) {
            authority.as_str()
        } else {
            authority.host()
        };
        if let Ok(host) = HeaderValue::from_str(host) {
            request.headers_mut().insert(HOST, host);
        }
    }
    let target = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(target);
    request
}
