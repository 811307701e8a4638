//! One connection to a collector: OTLP over HTTP/1.1, or gRPC, which is one unary call over HTTP/2.

use crate::{
    telemetry::traces::settings::{Protocol, TraceSettings},
    tls,
};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{RootCertStore, pki_types::ServerName};
use std::{fmt::Display, path::Path, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

/// The largest answer that is read.
const MAX_ANSWER: usize = 64 * 1024;

/// Why a message was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotTaken {
    /// The collector may take it later; after what time. None: there was no answer.
    Later(String, Option<Duration>),
    /// It never will.
    Never(String),
}

/// Sends messages to one collector.
pub(super) struct Client {
    uri: Uri,
    protocol: Protocol,
    headers: HeaderMap,
    timeout: Duration,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    connection: Option<Connection>,
}

enum Connection {
    Http(http1::SendRequest<Full<Bytes>>),
    Grpc(http2::SendRequest<Full<Bytes>>),
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Client {
    pub(super) fn new(settings: &TraceSettings) -> Result<Self, String> {
        let TraceSettings { protocol, endpoint, headers, timeout, ca, .. } = settings;
        let tls = if endpoint.scheme_str() == Some("https") {
            let name = ServerName::try_from(host(endpoint).to_owned());
            let name = name.map_err(|_| format!("`{}` is not a name for a certificate", host(endpoint)))?;
            Some((connector(ca.as_deref(), *protocol)?, name))
        } else {
            None
        };
        let mut headers = headers.clone();
        let content = match protocol {
            Protocol::Http => "application/x-protobuf",
            Protocol::Grpc => "application/grpc",
        };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content));
        match protocol {
            Protocol::Http => {
                let authority = endpoint.authority().map_or("", |authority| authority.as_str());
                headers.insert(header::HOST, HeaderValue::from_str(authority).map_err(|error| error.to_string())?);
            }
            Protocol::Grpc => _ = headers.insert(header::TE, HeaderValue::from_static("trailers")),
        }
        let agent = concat!("meshcache-coordinator/", env!("CARGO_PKG_VERSION"));
        headers.entry(header::USER_AGENT).or_insert(HeaderValue::from_static(agent));
        Ok(Self { uri: endpoint.clone(), protocol: *protocol, headers, timeout: *timeout, tls, connection: None })
    }

    /// Sends a message, and returns the message that answers it.
    pub(super) async fn send(&mut self, message: &[u8]) -> Result<Bytes, NotTaken> {
        let was_open = self.connection.is_some();
        match self.attempt(message).await {
            // A connection that was kept may have been closed while it was not looked at.
            Err(NotTaken::Later(_, None)) if was_open => self.attempt(message).await,
            answer => answer,
        }
    }

    async fn attempt(&mut self, message: &[u8]) -> Result<Bytes, NotTaken> {
        let answer = timeout(self.timeout, self.exchange(message)).await;
        let answer =
            answer.unwrap_or_else(|_| Err(NotTaken::Later(format!("no answer within {:?}", self.timeout), None)));
        if matches!(answer, Err(NotTaken::Later(_, None))) {
            self.connection = None;
        }
        answer
    }

    async fn exchange(&mut self, message: &[u8]) -> Result<Bytes, NotTaken> {
        let later = |error: &dyn std::error::Error| NotTaken::Later(with_causes(error), None);
        let request = self.request(message).map_err(|error| NotTaken::Never(error.to_string()))?;
        let is_open = match &mut self.connection {
            Some(Connection::Http(open)) => open.ready().await.is_ok(),
            Some(Connection::Grpc(open)) => open.ready().await.is_ok(),
            None => false,
        };
        if !is_open {
            self.connection = Some(self.connect().await.map_err(|why| NotTaken::Later(why, None))?);
        }
        let response = match &mut self.connection {
            Some(Connection::Http(open)) => open.send_request(request).await,
            Some(Connection::Grpc(open)) => open.send_request(request).await,
            None => return Err(NotTaken::Later("no connection".into(), None)),
        };
        let (head, body) = response.map_err(|error| later(&error))?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        let body = body.map_err(|error| NotTaken::Later(error.to_string(), None))?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        let text = body.to_bytes();
        match self.protocol {
            Protocol::Http => of_http(head.status, &head.headers, text),
            Protocol::Grpc => of_grpc(head.status, &head.headers, &trailers, text),
        }
    }

    fn request(&self, message: &[u8]) -> http::Result<Request<Full<Bytes>>> {
        let (target, body) = match self.protocol {
            Protocol::Http => {
                let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
                (path.parse::<Uri>()?, Bytes::copy_from_slice(message))
            }
            Protocol::Grpc => (self.uri.clone(), framed(message)),
        };
        let mut request = Request::post(target).body(Full::new(body))?;
        *request.headers_mut() = self.headers.clone();
        Ok(request)
    }

    async fn connect(&self) -> Result<Connection, String> {
        let port = self.uri.port_u16().unwrap_or(if self.tls.is_some() { 443 } else { 80 });
        let tcp = TcpStream::connect((host(&self.uri), port)).await.map_err(|error| error.to_string())?;
        let stream: Box<dyn Stream> = match &self.tls {
            Some((tls, name)) => {
                Box::new(tls.connect(name.clone(), tcp).await.map_err(|error| format!("TLS: {error}"))?)
            }
            None => Box::new(tcp),
        };
        let io = TokioIo::new(stream);
        Ok(match self.protocol {
            Protocol::Http => {
                let (sender, connection) = http1::handshake(io).await.map_err(|error| with_causes(&error))?;
                tokio::spawn(connection);
                Connection::Http(sender)
            }
            Protocol::Grpc => {
                let handshake = http2::handshake(TokioExecutor::new(), io).await;
                let (sender, connection) = handshake.map_err(|error| with_causes(&error))?;
                tokio::spawn(connection);
                Connection::Grpc(sender)
            }
        })
    }
}

fn host(uri: &Uri) -> &str {
    uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

fn connector(ca: Option<&Path>, protocol: Protocol) -> Result<TlsConnector, String> {
    let roots = match ca {
        Some(file) => {
            let bad = |what: &dyn Display| format!("OTEL_EXPORTER_OTLP_CERTIFICATE: {}: {what}", file.display());
            let pem = std::fs::read(file).map_err(|error| bad(&error))?;
            let mut roots = RootCertStore::empty();
            for certificate in tls::certificates(&pem).map_err(|what| bad(&what))? {
                roots.add(certificate).map_err(|error| bad(&error))?;
            }
            roots
        }
        None => tls::system_roots(),
    };
    if roots.is_empty() {
        return Err("OTEL_EXPORTER_OTLP_CERTIFICATE: needed here, since the system has no authorities".into());
    }
    let mut config = tls::trusting(roots)?.with_no_client_auth();
    if protocol == Protocol::Grpc {
        config.alpn_protocols = vec![b"h2".to_vec()];
    }
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The answer of OTLP/HTTP. What may be sent again is what the specification says.
fn of_http(status: StatusCode, headers: &HeaderMap, body: Bytes) -> Result<Bytes, NotTaken> {
    if status.is_success() {
        return Ok(body);
    }
    let seconds = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    match status.as_u16() {
        // The connection is good: it is kept, and the message is not sent again at once.
        429 | 502 | 503 | 504 => {
            Err(NotTaken::Later(status.to_string(), Some(seconds.map_or(Duration::ZERO, Duration::from_secs))))
        }
        _ => Err(NotTaken::Never(status.to_string())),
    }
}

/// The answer of a unary gRPC call: its status is in the trailers, or in the head where there is no body.
fn of_grpc(status: StatusCode, head: &HeaderMap, trailers: &HeaderMap, body: Bytes) -> Result<Bytes, NotTaken> {
    if status != StatusCode::OK {
        return of_http(status, head, body);
    }
    let field = |name| trailers.get(name).or_else(|| head.get(name)).and_then(|value| value.to_str().ok());
    let message = field("grpc-message").unwrap_or_default();
    let answered = match field("grpc-status").and_then(|code| code.parse().ok()) {
        Some(0) => Ok(body.slice(body.len().min(FRAME)..)),
        // Cancelled, deadline exceeded, resource exhausted, aborted, out of range, unavailable, data loss.
        Some(code @ (1u32 | 4 | 8 | 10 | 11 | 14 | 15)) => Err((true, code)),
        Some(code) => Err((false, code)),
        None => return Err(NotTaken::Later("no grpc-status".into(), None)),
    };
    answered.map_err(|(may_retry, code)| {
        let why = format!("grpc-status {code} {message}");
        if may_retry { NotTaken::Later(why, Some(Duration::ZERO)) } else { NotTaken::Never(why) }
    })
}

/// The bytes before each message of gRPC: whether it is compressed, and its length.
const FRAME: usize = 5;

fn framed(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(FRAME + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(message);
    framed.freeze()
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn what_may_be_sent_again_is_what_the_specification_says() {
        let later = |why: &str, after| Err(NotTaken::Later(why.into(), after));
        let http = |status, head: &[_]| of_http(StatusCode::from_u16(status).unwrap(), &fields(head), Bytes::new());
        assert_eq!(http(202, &[]), Ok(Bytes::new()));
        let seven = Some(Duration::from_secs(7));
        assert_eq!(http(429, &[("retry-after", "7")]), later("429 Too Many Requests", seven));
        // With none it would be taken for a connection that is gone, and sent again at once on another.
        let at_leisure = Some(Duration::ZERO);
        assert_eq!(http(503, &[("retry-after", "soon")]), later("503 Service Unavailable", at_leisure));
        assert_eq!(http(503, &[]), later("503 Service Unavailable", at_leisure));
        for never in [400, 404, 500] {
            assert!(matches!(http(never, &[]), Err(NotTaken::Never(_))), "{never}");
        }
        let grpc = |trailers: &[_]| of_grpc(StatusCode::OK, &HeaderMap::new(), &fields(trailers), framed(b"x"));
        assert_eq!(grpc(&[("grpc-status", "0")]), Ok(Bytes::from_static(b"x")));
        for code in ["8", "14"] {
            assert!(matches!(grpc(&[("grpc-status", code)]), Err(NotTaken::Later(..))), "{code}");
        }
        let refused = grpc(&[("grpc-status", "16"), ("grpc-message", "who are you")]);
        assert_eq!(refused, Err(NotTaken::Never("grpc-status 16 who are you".into())));
        assert!(matches!(grpc(&[]), Err(NotTaken::Later(..))), "cut off");
        let in_head = of_grpc(StatusCode::OK, &fields(&[("grpc-status", "12")]), &HeaderMap::new(), Bytes::new());
        assert_eq!(in_head, Err(NotTaken::Never("grpc-status 12 ".into())));
    }
}
