//! A connection of its own to a peer, for purges: they are rare and must not wait behind other calls.

use crate::{
    cluster::{Cluster, client::tls_error},
    tls::TlsSession,
};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use meshcache_protocol::Peer;
use serde::{Serialize, de::DeserializeOwned};
use std::{error::Error, io, sync::Arc};
use tokio::net::TcpStream;

/// The longest answer, bytes.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// A connection to a peer's port, kept while it works.
pub(super) struct PeerConnection {
    peer: Peer,
    cluster: Arc<Cluster>,
    sender: Option<SendRequest<Full<Bytes>>>,
    /// Whether the peer has to prove its name; else any of its authority's will do, and who calls checks what it says.
    is_named: bool,
    session: Option<TlsSession>,
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

fn unresponsive(error: impl Error + 'static) -> CallError {
    let why = tls_error(&error).map_or_else(|| error.to_string(), |tls| format!("TLS: {tls}"));
    CallError::Unresponsive(why)
}

impl PeerConnection {
    /// A connection that is opened by its first call.
    pub(super) fn to(peer: &Peer, cluster: Arc<Cluster>) -> Self {
        Self { peer: peer.clone(), cluster, sender: None, is_named: true, session: None }
    }

    /// A connection to whoever listens at an address.
    pub(super) fn to_address(at: &str, cluster: Arc<Cluster>) -> Self {
        let peer = Peer { name: at.to_owned(), data: at.to_owned(), peer: at.to_owned() };
        Self { is_named: false, ..Self::to(&peer, cluster) }
    }

    /// Whether the other side of the last call has proved a name; without TLS nobody does.
    pub(super) fn may_be(&self, name: &str) -> bool {
        self.session.as_ref().is_none_or(|session| session.proves(name))
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
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|error| CallError::Unresponsive(error.to_string()))?.to_bytes();
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

    async fn connect(&mut self) -> Result<SendRequest<Full<Bytes>>, CallError> {
        let stream = TcpStream::connect(&self.peer.peer).await.map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused => CallError::Refused,
            _ => unresponsive(error),
        })?;
        // Calls are small, and waited for.
        let _ = stream.set_nodelay(true);
        let security = self.cluster.peers.security(self.is_named.then_some(self.peer.name.as_str()));
        let stream = security.secure(stream).await.map_err(unresponsive)?;
        self.session = stream.session().cloned();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(unresponsive)?;
        // Ends with its sender.
        tokio::spawn(connection);
        Ok(sender)
    }
}
