//! A line of our own to one peer, for purges: they are seldom and must not wait behind anything.

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use meshcache_protocol::Peer;
use serde::{Serialize, de::DeserializeOwned};
use std::io;
use tokio::net::TcpStream;

/// More than any answer.
const LONGEST: usize = 16 * 1024 * 1024;

/// A connection to a peer's port, kept while it works.
pub(super) struct Line {
    peer: Peer,
    sender: Option<SendRequest<Full<Bytes>>>,
}

/// Why a peer was not heard.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unheard {
    /// Nobody listens there.
    #[error("connection refused")]
    Refused,
    /// Anything else: it may be there.
    #[error("{0}")]
    Silent(String),
}

fn silent(error: impl ToString) -> Unheard {
    Unheard::Silent(error.to_string())
}

impl Line {
    pub(super) fn to(peer: &Peer) -> Self {
        Self { peer: peer.clone(), sender: None }
    }

    /// Asks, and reads the whole answer. Without a limit in time: that is the caller's. What was dropped half way
    /// leaves no half behind.
    pub(super) async fn ask<A: DeserializeOwned>(
        &mut self,
        path: &str,
        question: &impl Serialize,
        token: &str,
    ) -> Result<A, Unheard> {
        let mut sender = match self.sender.take().filter(|sender| !sender.is_closed()) {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let request = Request::post(path)
            .header(header::HOST, &self.peer.name)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::<Bytes>::from(serde_json::to_vec(question).map_err(silent)?))
            .map_err(silent)?;
        sender.ready().await.map_err(silent)?;
        let response = sender.send_request(request).await.map_err(silent)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LONGEST).collect().await.map_err(silent)?.to_bytes();
        if status != StatusCode::OK {
            return Err(Unheard::Silent(format!("it answers {status}")));
        }
        self.sender = Some(sender);
        serde_json::from_slice(&body).map_err(silent)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Unheard> {
        let stream = TcpStream::connect(&self.peer.peer).await.map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused => Unheard::Refused,
            _ => silent(error),
        })?;
        // Small, and waited for.
        let _ = stream.set_nodelay(true);
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(silent)?;
        // Ends with its sender.
        tokio::spawn(connection);
        Ok(sender)
    }
}
