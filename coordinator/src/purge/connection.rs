//! A connection of its own to a peer, for purges: they are rare and must not wait behind other calls.

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use meshcache_protocol::Peer;
use serde::{Serialize, de::DeserializeOwned};
use std::io;
use tokio::net::TcpStream;

/// The longest answer, bytes.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// A connection to a peer's port, kept while it works.
pub(super) struct PeerConnection {
    peer: Peer,
    sender: Option<SendRequest<Full<Bytes>>>,
}

/// Why a call brought no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// The peer's address refuses connections: no coordinator runs there.
    #[error("connection refused")]
    Refused,
    /// The peer does not understand the call: it is of an older version.
    #[error("it answers 400")]
    NotUnderstood,
    /// The peer has no token in common with this one.
    #[error("it refuses the token")]
    TokenRefused,
    /// Anything else: the peer may be alive.
    #[error("{0}")]
    Unresponsive(String),
}

fn unresponsive(error: impl ToString) -> CallError {
    CallError::Unresponsive(error.to_string())
}

impl PeerConnection {
    /// A connection that is opened by its first call.
    pub(super) fn to(peer: &Peer) -> Self {
        Self { peer: peer.clone(), sender: None }
    }

    /// Sends a request and reads the whole answer. Without a timeout: that is the caller's. A call that is dropped half
    /// way closes the connection.
    pub(super) async fn call<A: DeserializeOwned>(
        &mut self,
        path: &str,
        request: &impl Serialize,
        token: &str,
    ) -> Result<A, CallError> {
        let mut sender = match self.sender.take().filter(|sender| !sender.is_closed()) {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let request = Request::post(path)
            .header(header::HOST, &self.peer.name)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::<Bytes>::from(serde_json::to_vec(request).map_err(unresponsive)?))
            .map_err(unresponsive)?;
        sender.ready().await.map_err(unresponsive)?;
        let response = sender.send_request(request).await.map_err(unresponsive)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(unresponsive)?.to_bytes();
        if status == StatusCode::BAD_REQUEST {
            return Err(CallError::NotUnderstood);
        }
        if status == StatusCode::UNAUTHORIZED {
            return Err(CallError::TokenRefused);
        }
        if status != StatusCode::OK {
            return Err(CallError::Unresponsive(format!("it answers {status}")));
        }
        self.sender = Some(sender);
        serde_json::from_slice(&body).map_err(unresponsive)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, CallError> {
        let stream = TcpStream::connect(&self.peer.peer).await.map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused => CallError::Refused,
            _ => unresponsive(error),
        })?;
        // Calls are small, and waited for.
        let _ = stream.set_nodelay(true);
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(unresponsive)?;
        // Ends with its sender.
        tokio::spawn(connection);
        Ok(sender)
    }
}
