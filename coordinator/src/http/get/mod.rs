//! One GET that checks whether a server responds: for `helm test`, and for the hook that waits for the filter.

#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::net::TcpStream;

/// The time limit for the whole response.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest body of a response.
const MAX_BODY: usize = 16 * 1024 * 1024;

/// Gets a plain http:// URL. The error says what is wrong with the response; a status other than 2xx is an error, with
/// its text.
pub async fn get(url: &str) -> Result<Bytes, String> {
    tokio::time::timeout(TIMEOUT, request_body(url))
        .await
        .map_err(|_| format!("no response in {} seconds", TIMEOUT.as_secs()))?
}

async fn request_body(url: &str) -> Result<Bytes, String> {
    let uri: Uri = url.parse().map_err(|error| format!("`{url}` is not a URL: {error}"))?;
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
    let request = Request::get(path)
        .header(header::HOST, authority.as_str())
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new());
    let response =
        sender.send_request(request.map_err(|error| error.to_string())?).await.map_err(|error| error.to_string())?;
    let status = response.status();
    let body =
        Limited::new(response.into_body(), MAX_BODY).collect().await.map_err(|error| error.to_string())?.to_bytes();
    connection.abort();
    if status.is_success() { Ok(body) } else { Err(format!("{status}: {}", String::from_utf8_lossy(&body).trim())) }
}
