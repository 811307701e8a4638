//! Interim responses (1xx) of an origin on their way to a client (RFC 9110 section 15.2).
//!
//! hyper's server writes none, so the client's connection does it (`server/connection_io.rs`). A request costs nothing
//! for that until an origin sends one.

use http::{HeaderMap, StatusCode};
use std::{fmt::Debug, sync::Arc};

tokio::task_local! {
    /// Where interim responses to the current request go. An extension of the request would cost each request an
    /// allocation.
    static CURRENT: Interim;
}

/// A client's connection that can write interim responses.
pub(crate) trait InterimWriter: Debug + Send + Sync {
    /// Writes a head to the client, unless the final response to that request has begun.
    fn write_interim(&self, request: u64, head: &[u8]);
}

/// Where the interim responses to one request go.
#[derive(Clone, Debug)]
pub(crate) struct Interim {
    connection: Arc<dyn InterimWriter>,
    request: u64,
}

impl Interim {
    /// `request`: the request's number on this connection.
    pub(crate) fn new(connection: Arc<dyn InterimWriter>, request: u64) -> Self {
        Self { connection, request }
    }

    /// Returns where interim responses to the current request go, if anywhere.
    pub(crate) fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }

    /// Makes this the [`Interim::current`] one while `response` is polled.
    pub(crate) fn scope<T>(self, response: impl Future<Output = T>) -> impl Future<Output = T> {
        CURRENT.scope(self, response)
    }

    /// Sends an interim response. The client sees it before the final response.
    pub(crate) fn send(&self, status: StatusCode, headers: &HeaderMap) {
        let mut head =
            format!("HTTP/1.1 {} {}\r\n", status.as_u16(), status.canonical_reason().unwrap_or_default()).into_bytes();
        for (name, value) in headers {
            head.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        head.extend(b"\r\n");
        self.connection.write_interim(self.request, &head);
    }
}
