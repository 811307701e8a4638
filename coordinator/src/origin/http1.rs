//! An HTTP/1.1 connection to an origin. Whoever waits for a response moves its bytes: a task of its own would be woken
//! and would wake others several times for each request.

use crate::{
    http::body::Body,
    origin::{
        connect::ByteStream,
        own_signal::OwnSignal,
        socket::{WatchedSocket, is_quiet},
        trust::Certificates,
    },
};
use http::{HeaderValue, Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1},
};
use hyper_util::rt::TokioIo;
use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
};
use tokio::{runtime::Handle, time::Instant};

/// hyper's side of the connection.
type Driver = http1::Connection<TokioIo<Box<dyn ByteStream>>, Body>;

/// An HTTP/1.1 connection: for one request at a time.
pub(super) struct Http1Connection {
    sender: http1::SendRequest<Body>,
    /// None: it has a task of its own, or it has ended.
    driver: Option<Box<Driver>>,
    signal: OwnSignal,
    tcp: WatchedSocket,
    pub(super) certificates: Certificates,
    /// The origin as Host has it, once a request was sent.
    pub(super) host: Option<HeaderValue>,
    /// It takes no request after this.
    pub(super) until: Instant,
}

impl Http1Connection {
    pub(super) fn new(
        sender: http1::SendRequest<Body>,
        driver: Driver,
        tcp: WatchedSocket,
        certificates: Certificates,
        until: Instant,
    ) -> Self {
        let (driver, signal) = (Some(Box::new(driver)), OwnSignal::new());
        Self { sender, driver, signal, tcp, certificates, host: None, until }
    }

    /// Sends a request and waits for the response's head.
    pub(super) async fn send(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Body>>> {
        // A body has to go out also while nobody reads the response.
        if !http_body::Body::is_end_stream(request.body()) {
            self.detach();
        }
        let mut response = pin!(self.sender.try_send_request(request));
        poll_fn(|cx| self.poll(cx, |cx| response.as_mut().poll(cx))).await
    }

    /// Waits for what comes over the connection, and moves its bytes.
    pub(super) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut wait: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let Self { driver, signal, .. } = self;
        if driver.is_none() {
            return wait(cx);
        }
        signal.poll(cx, |cx| {
            let waited = wait(cx);
            if waited.is_ready() {
                return waited;
            }
            if driver.as_mut().is_some_and(|driver| Pin::new(driver).poll(cx).is_ready()) {
                // Its end is in what is waited for.
                *driver = None;
            }
            wait(cx)
        })
    }

    /// Moves its bytes in a task of its own.
    pub(super) fn detach(&mut self) {
        if let (Some(driver), Ok(runtime)) = (self.driver.take(), Handle::try_current()) {
            runtime.spawn(driver);
        }
    }

    /// Returns whether it may take another request, if it has not been closed.
    pub(super) fn is_free(&self, now: Instant) -> bool {
        self.is_ready() && !self.is_closed() && now < self.until
    }

    /// Returns whether it is open with nothing to read.
    pub(super) fn is_quiet(&self) -> bool {
        is_quiet(&self.tcp)
    }

    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Waits for the end of the response's body. Returns whether the connection is still open.
    pub(super) async fn ready(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }
}

impl Drop for Http1Connection {
    /// Closes the connection in good order.
    fn drop(&mut self) {
        self.detach();
    }
}
