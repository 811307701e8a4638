//! A plain HTTP/1.1 client: what to ask, a connection to ask on, the answer as it came.

use std::{fmt, net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

/// The longest that any answer may take: a request that hangs is a finding, not a reason to hang.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A request to be sent as often as one likes.
#[derive(Clone, Debug)]
pub struct Ask {
    method: Method,
    path: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

impl Ask {
    /// A GET of `path` (with its query) with this `Host`.
    pub fn get(host: &str, path: &str) -> Ask {
        Ask::new("GET", host, path)
    }

    /// Any method; a name that is no method panics.
    pub fn new(method: &str, host: &str, path: &str) -> Ask {
        let ask =
            Ask { method: method.parse().unwrap(), path: path.to_owned(), headers: Vec::new(), body: Bytes::new() };
        ask.header("host", host)
    }

    /// One more header line; the value may be any bytes that HTTP allows.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Ask {
        self.headers.push((name.parse().unwrap(), HeaderValue::from_bytes(value.as_ref()).unwrap()));
        self
    }

    /// With a body, whose length is announced.
    pub fn body(mut self, body: impl Into<Bytes>) -> Ask {
        self.body = body.into();
        self
    }

    /// The request's path, for messages.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The request as bytes of HTTP/1.1.
    pub fn wire(&self) -> Vec<u8> {
        let mut wire = format!("{} {} HTTP/1.1\r\n", self.method, self.path).into_bytes();
        for (name, value) in &self.headers {
            wire.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        if !self.body.is_empty() {
            wire.extend(format!("content-length: {}\r\n", self.body.len()).into_bytes());
        }
        wire.extend(b"\r\n");
        wire.extend(&self.body);
        wire
    }

    /// Sends it on a connection of its own.
    pub async fn send(&self, to: SocketAddr) -> Result<Answer> {
        Connection::open(to).await?.send(self).await
    }

    /// Builds the request as hyper's type, for other clients.
    pub fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::builder().method(self.method.clone()).uri(&self.path).version(Version::HTTP_11);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(Full::new(self.body.clone())).unwrap()
    }
}

/// A GET of `http://HOST/path` where the host is the address itself.
pub async fn get(to: SocketAddr, path: &str) -> Result<Answer> {
    Ask::get(&to.to_string(), path).send(to).await
}

/// One connection that is kept alive.
pub struct Connection {
    to: SocketAddr,
    sender: http1::SendRequest<Full<Bytes>>,
}

impl Connection {
    /// Connects.
    pub async fn open(to: SocketAddr) -> Result<Connection> {
        let stream = tokio::time::timeout(PATIENCE, TcpStream::connect(to)).await.context("connecting hangs")?;
        let stream = stream.with_context(|| format!("cannot connect to {to}"))?;
        stream.set_nodelay(true)?;
        Connection::over(stream, to).await
    }

    /// Speaks over what is connected already.
    pub async fn over(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        to: SocketAddr,
    ) -> Result<Connection> {
        let (sender, connection) = http1::Builder::new().max_headers(256).handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Connection { to, sender })
    }

    /// Sends one request and reads its whole answer; dropping the future half way closes the connection.
    pub async fn send(&mut self, ask: &Ask) -> Result<Answer> {
        let exchange = async {
            self.sender.ready().await?;
            let response = self.sender.send_request(ask.request()).await?;
            let (head, body) = response.into_parts();
            anyhow::Ok((head, body.collect().await?.to_bytes()))
        };
        let answer = tokio::time::timeout(PATIENCE, exchange).await;
        let (head, body) = answer.with_context(|| format!("no answer to {} for {PATIENCE:?}", ask.path))??;
        let headers = head.headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
        Ok(Answer { status: head.status.as_u16(), headers, body, from: self.to })
    }
}

/// A whole answer: headers in order, duplicates kept, values as bytes.
#[derive(Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body, whole.
    pub body: Bytes,
    /// The server's address.
    pub from: SocketAddr,
}

/// As it looks on the wire, the body's beginning only: for messages.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {}", self.status, self.from)?;
        for (name, value) in &self.headers {
            write!(f, " | {name}: {}", value.escape_ascii())?;
        }
        write!(f, " | {} bytes: {}", self.body.len(), self.body[..self.body.len().min(200)].escape_ascii())
    }
}

impl Answer {
    /// All lines of a header joined by `, `, as text; empty when there is none.
    pub fn header(&self, name: &str) -> String {
        let lines = self.headers.iter().filter(|(own, _)| own == name);
        let lines: Vec<_> = lines.map(|(_, value)| String::from_utf8_lossy(value)).collect();
        lines.join(", ")
    }

    /// Whether there is such a header.
    pub fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(own, _)| own == name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns meshcache's own member of Cache-Status; empty without one.
    pub fn cache_status(&self) -> String {
        let all = self.header("cache-status");
        all.split(", ").find(|member| member.starts_with("meshcache")).unwrap_or_default().to_owned()
    }
}
