//! One GET that checks whether a server responds: for `helm test`, and for the hook that waits for the filter.

#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// The time limit for the whole response.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest body of a response.
const MAX_BODY: usize = 16 * 1024 * 1024;

/// Gets a plain http:// URL. The error says what is wrong with the response; a status other than 2xx is an error, with
/// its text.
pub async fn get(url: &str) -> Result<Bytes, String> {
    get_trusting(url, || Err(format!("`{url}` is not http://HOST[:PORT]/PATH"))).await
}

/// Gets a URL. `trusts`: called where it is https:// one.
pub async fn get_trusting(
    url: &str,
    trusts: impl FnOnce() -> Result<Arc<ClientConfig>, String>,
) -> Result<Bytes, String> {
    tokio::time::timeout(TIMEOUT, connect(url, trusts))
        .await
        .map_err(|_| format!("no response in {} seconds", TIMEOUT.as_secs()))?
}

async fn connect(url: &str, trusts: impl FnOnce() -> Result<Arc<ClientConfig>, String>) -> Result<Bytes, String> {
    let uri: Uri = url.parse().map_err(|error| format!("`{url}` is not a URL: {error}"))?;
    let (Some(scheme @ ("http" | "https")), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(format!("`{url}` is not http://HOST[:PORT]/PATH"));
    };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let (tls, port) = if scheme == "https" { (Some(trusts()?), 443) } else { (None, 80) };
    let stream =
        TcpStream::connect((host, authority.port_u16().unwrap_or(port))).await.map_err(|error| error.to_string())?;
    let Some(tls) = tls else { return request_body(stream, &uri).await };
    let name =
        ServerName::try_from(host.to_owned()).map_err(|_| format!("`{host}` is not a name for a certificate"))?;
    let stream = TlsConnector::from(tls).connect(name, stream).await.map_err(|error| error.to_string())?;
    request_body(stream, &uri).await
}

async fn request_body(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    uri: &Uri,
) -> Result<Bytes, String> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let connection = tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(header::HOST, uri.authority().map_or("", |authority| authority.as_str()))
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
