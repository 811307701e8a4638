//! The body of an origin's response, with the connection that it comes on.

use crate::origin::{
    connection::{Connection, Http2Stream},
    http1::Http1Connection,
};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

/// Where an HTTP/1.1 connection goes when its response has ended.
pub(super) trait Reclaim: Send + Sync {
    /// Takes a connection back, which may be idle for this long.
    fn reclaim(self: Arc<Self>, connection: Http1Connection, idle: Duration);
}

/// The body of a response, as it comes.
pub(crate) struct ResponseBody {
    /// None: it is being dropped.
    incoming: Option<Incoming>,
    on: ResponseConnection,
}

/// What a body comes on.
enum ResponseConnection {
    /// An HTTP/1.1 connection, which goes back to its pool.
    Http1(Lease),
    /// A stream of an HTTP/2 connection, which counts there until the body ends.
    Http2(Http2Stream),
    /// It has gone back, or others look after it.
    Elsewhere,
}

/// An HTTP/1.1 connection of a pool.
struct Lease {
    connection: Http1Connection,
    pool: Arc<dyn Reclaim>,
    /// How long it may be idle there.
    idle: Duration,
}

impl ResponseBody {
    pub(super) fn new(incoming: Incoming, connection: Connection, pool: Arc<dyn Reclaim>, idle: Duration) -> Self {
        let on = match connection {
            Connection::Http1(connection) => ResponseConnection::Http1(Lease { connection, pool, idle }),
            Connection::Http2(connection) => ResponseConnection::Http2(connection.stream),
        };
        let mut body = Self { incoming: Some(incoming), on };
        if body.is_end_stream() {
            body.release();
        }
        body
    }

    /// Takes no further request on the connection: this one has stopped.
    pub(super) fn retire(&mut self) {
        if let ResponseConnection::Http2(stream) = std::mem::replace(&mut self.on, ResponseConnection::Elsewhere) {
            stream.retire();
        }
    }

    /// Gives an HTTP/1.1 connection back.
    fn release(&mut self) {
        if !matches!(self.on, ResponseConnection::Http1(_)) {
            return;
        }
        if let ResponseConnection::Http1(lease) = std::mem::replace(&mut self.on, ResponseConnection::Elsewhere) {
            lease.pool.reclaim(lease.connection, lease.idle);
        }
    }
}

impl From<Incoming> for ResponseBody {
    fn from(incoming: Incoming) -> Self {
        Self { incoming: Some(incoming), on: ResponseConnection::Elsewhere }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        let Some(incoming) = &mut this.incoming else { return Poll::Ready(None) };
        let frame = match &mut this.on {
            ResponseConnection::Http1(lease) => lease.connection.poll(cx, |cx| Pin::new(&mut *incoming).poll_frame(cx)),
            _ => Pin::new(&mut *incoming).poll_frame(cx),
        };
        if frame.is_ready() && (incoming.is_end_stream() || !matches!(frame, Poll::Ready(Some(Ok(_))))) {
            this.release();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl Drop for ResponseBody {
    /// A connection whose response is not read to its end may still be good: what has arrived is passed over.
    fn drop(&mut self) {
        self.incoming = None;
        self.release();
    }
}
