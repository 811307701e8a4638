//! A purge on its way to one peer: a call of its own, for purges are seldom and must not wait behind anything.

use super::{Call, Report};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use meshcache_protocol::Peer;
use std::io;
use tokio::net::TcpStream;

/// Where a peer takes purges.
pub const PATH: &str = "/.meshcache/purge";
/// More than any report.
const LONGEST: usize = 64 * 1024;

pub(super) async fn to(peer: &Peer, call: &Call, token: Option<String>) -> Result<Report, Box<dyn std::error::Error + Send + Sync>> {
    let token = token.ok_or_else(|| io::Error::other("no --peer-token-file"))?;
    let stream = TcpStream::connect(&peer.peer).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::post(PATH)
        .header(header::HOST, &peer.name)
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::<Bytes>::from(serde_json::to_vec(call)?))?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), LONGEST).collect().await?.to_bytes();
    connection.abort();
    if status != StatusCode::OK {
        return Err(io::Error::other(format!("it answers {status}")).into());
    }
    Ok(serde_json::from_slice(&body)?)
}
