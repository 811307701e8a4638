//! One GET, for callers that want to know whether a server answers: `helm test`, and the hook that waits for the filter.

#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::net::TcpStream;

/// How long the whole response may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest body, bytes.
const LONGEST: usize = 16 * 1024 * 1024;

/// Gets the body of a plain http:// URL. The error says what is wrong with the response: a status other than 2xx, with
/// its body.
pub async fn get(url: &str) -> Result<Bytes, String> {
    tokio::time::timeout(PATIENCE, request(url))
        .await
        .map_err(|_| format!("no answer in {} seconds", PATIENCE.as_secs()))?
}

async fn request(url: &str) -> Result<Bytes, String> {
    let uri: Uri = url.parse().map_err(|error| format!("`{url}` is no URL: {error}"))?;
    let (Some("http"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(format!("`{url}` is not http://HOST[:PORT]/PATH"));
    };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let stream =
        TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let connection = tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let get = Request::get(path)
        .header(header::HOST, authority.as_str())
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new());
    let answer =
        sender.send_request(get.map_err(|error| error.to_string())?).await.map_err(|error| error.to_string())?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), LONGEST).collect().await.map_err(|error| error.to_string())?.to_bytes();
    connection.abort();
    if status.is_success() { Ok(body) } else { Err(format!("{status}: {}", String::from_utf8_lossy(&body).trim())) }
}
