//! The admin port, and how it is called.

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;

/// The longest answer, bytes.
const MAX_ANSWER: usize = 64 << 20;

/// An admin port, and the token for it.
#[derive(Clone, Debug)]
pub struct Server {
    /// `HOST:PORT`.
    pub at: String,
    /// The token, where the port wants one.
    pub token: Option<String>,
}

/// Why there is no answer: one line for people.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoAnswer(pub String);

impl Server {
    /// Gets a path's answer.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, NoAnswer> {
        let failed = |why: &dyn std::fmt::Display| NoAnswer(format!("{}{path}: {why}", self.at));
        let stream = TcpStream::connect(&self.at).await.map_err(|error| failed(&error))?;
        let connected = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = connected.map_err(|error| failed(&error))?;
        tokio::spawn(connection);
        let mut request = Request::get(path).header(header::HOST, &self.at);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| failed(&error))?;
        let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(|error| failed(&error))?;
        if !status.is_success() {
            return Err(failed(&status));
        }
        serde_json::from_slice(&body.to_bytes()).map_err(|error| failed(&error))
    }
}
