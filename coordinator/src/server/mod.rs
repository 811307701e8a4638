//! The four ports: what listens, and how connections are served, bounded and drained.

mod activity;
#[cfg(feature = "program")]
mod admin;
mod connection;
mod connection_io;
mod data;
mod descriptors;
#[cfg(feature = "program")]
mod extra_ports;
#[cfg(feature = "program")]
pub(crate) mod first_lines;
mod handshake;
#[cfg(feature = "program")]
mod listeners;
#[cfg(feature = "program")]
mod modules;
mod peer;
mod ports;
#[cfg(feature = "program")]
mod status;
mod watched;

#[cfg(feature = "program")]
pub use admin::AdminPort;
pub use data::DataPort;
pub(crate) use descriptors::raise_descriptor_limit;
#[cfg(feature = "program")]
pub(crate) use extra_ports::ExtraServers;
pub(crate) use handshake::PortHandshakes;
#[cfg(feature = "program")]
pub(crate) use listeners::{Listeners, own_peer};
#[cfg(feature = "program")]
pub use modules::{Module, Modules};
pub(crate) use peer::MAX_PUSHES;
pub use peer::PeerPort;
pub use ports::Ports;
#[cfg(feature = "program")]
pub use status::StatusPort;

use crate::{
    http::{names, request_body::ConnectionBodies},
    telemetry::rare::Rare,
    tls::TlsSession,
};
use connection::CloseReason;
use connection_io::ConnectionIo;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use meshcache_protocol::{Reason, paths};
use prometheus::{IntCounter, IntGauge};
use std::{
    convert::Infallible,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};

/// The longest head of a request. Above it the response is 431. Envoy's own limit is 60 KiB.
const MAX_HEAD: usize = 64 * 1024;
/// The most fields of a request, as of an origin's response. Above it the response is 431.
const MAX_FIELDS: usize = 256;
/// The fields that proxies and coordinators may add to a client's.
const MAX_ADDED_FIELDS: usize = 32;
/// The fields up to which HTTP/1.1 is read, so that the 431 is ours. hyper rejects more without a text, and allocates a
/// table of so many for each head.
const MAX_READ_FIELDS: usize = MAX_FIELDS + 2 * MAX_ADDED_FIELDS;
/// Requests at once on one HTTP/2 connection: a proxy's herd uses one connection.
const MAX_STREAMS: u32 = 4096;
/// Connections that wait in the kernel: a herd connects at once.
const BACKLOG: u32 = 4096;

/// The request handler of a port.
pub trait Handler: Clone + Send + Sync + 'static {
    /// The body of its responses.
    type Body: hyper::body::Body<Data = bytes::Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + 'static;
    /// Answers a request. Failures are responses, too.
    fn handle(&self, request: http::Request<Incoming>) -> impl Future<Output = http::Response<Self::Body>> + Send;
    /// Rejects a request with too many fields.
    fn reject(&self, request: &http::Request<Incoming>) -> http::Response<Self::Body>;
}

/// The reason that a rejected head gets.
const TOO_MANY_FIELDS: Reason = Reason::HeaderLines;

/// Returns whether a head has more fields than any port accepts, in any version of HTTP.
fn has_too_many_fields<B>(request: &http::Request<B>) -> bool {
    // HTTP/2 sends Host as `:authority`.
    let host = usize::from(request.version() == http::Version::HTTP_2 && request.uri().authority().is_some());
    let added = if request.headers().contains_key(&names::WIRE) { MAX_ADDED_FIELDS } else { 0 };
    request.headers().len() + host > MAX_FIELDS + added
}

/// The listening socket of one port, with its limit of connections.
pub struct Listener {
    listener: TcpListener,
    open: IntGauge,
    refused: IntCounter,
    most: usize,
    tls: Option<Arc<PortHandshakes>>,
    /// Of lines about clients that speak no HTTP.
    log: Arc<Rare>,
}

impl Listener {
    /// Listens. `open` counts connections, `refused` counts heads that were too large, `most` bounds connections: more
    /// wait in the kernel.
    pub fn bind(at: SocketAddr, open: IntGauge, refused: IntCounter, most: usize) -> Result<Self, String> {
        let listener = match listen(at) {
            // This machine has no IPv6: the address means every IPv4 address.
            Err(error)
                if at.ip() == Ipv6Addr::UNSPECIFIED
                    && !matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied) =>
            {
                listen(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), at.port()))
            }
            other => other,
        };
        let listener = listener.map_err(|error| format!("cannot listen on {at}: {error}"))?;
        Ok(Self { listener, open, refused, most, tls: None, log: Arc::default() })
    }

    /// Speaks TLS, and nothing else.
    pub(crate) fn with_tls(self, tls: Option<PortHandshakes>) -> Self {
        Self { tls: tls.map(Arc::new), ..self }
    }

    /// Returns the address that it listens on.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `drain` is true and no connection from before it is left. Until then new ones are accepted, since
    /// other peers learn of the end later, but without keep-alive: a client that comes again and again must not hold up
    /// the end.
    pub async fn serve(self, service: impl Handler, mut drain: watch::Receiver<bool>) {
        let mut builder = Builder::new(TokioExecutor::new());
        // No header_read_timeout: it costs a timer for each request. `connection` disconnects slow clients.
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .max_buf_size(MAX_HEAD)
            .max_headers(MAX_READ_FIELDS);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_header_list_size(MAX_HEAD as u32)
            .max_concurrent_streams(MAX_STREAMS);
        builder.http2().keep_alive_interval(Duration::from_secs(20)).keep_alive_timeout(Duration::from_secs(20));
        let mut once = builder.clone();
        once.http1().keep_alive(false);
        let (builder, once) = (Arc::new(builder), Arc::new(once));
        let permits = Arc::new(Semaphore::new(self.most));
        let (mut connections, mut late) = (JoinSet::new(), JoinSet::new());
        loop {
            let accepted = tokio::select! {
                biased;
                Some(_) = connections.join_next() => continue,
                Some(_) = late.join_next() => continue,
                stopped = drain.wait_for(|drain| *drain), if connections.is_empty() => {
                    let _ = stopped;
                    break;
                }
                accepted = accept(&self.listener, &permits) => accepted,
            };
            let Some((stream, permit)) = accepted else { continue };
            let open = CountedConnection::new(&self.open);
            let is_late = *drain.borrow();
            let (builder, to) = if is_late { (once.clone(), &mut late) } else { (builder.clone(), &mut connections) };
            let serving = Serving {
                service: service.clone(),
                builder,
                drain: drain.clone(),
                refused: self.refused.clone(),
                log: self.log.clone(),
            };
            match self.tls.clone() {
                None => to.spawn(async move {
                    serving.serve(stream, None, std::future::pending()).await;
                    drop((open, permit));
                }),
                Some(tls) => to.spawn(async move {
                    if let Some((stream, session, mut changes)) = tls.accept(stream).await {
                        let renewed = async {
                            if changes.changed().await.is_err() {
                                std::future::pending().await
                            }
                        };
                        serving.serve(stream, Some(session), renewed).await;
                    }
                    drop((open, permit));
                }),
            };
        }
        drop(self.listener);
        while late.join_next().await.is_some() {}
    }
}

/// What serves one connection.
struct Serving<S> {
    service: S,
    builder: Arc<Builder<TokioExecutor>>,
    drain: watch::Receiver<bool>,
    refused: IntCounter,
    log: Arc<Rare>,
}

impl<S: Handler> Serving<S> {
    /// Serves requests to the connection's end. `session`: where it is TLS. `renewed`: another connection is to take its
    /// place.
    async fn serve(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
        session: Option<TlsSession>,
        renewed: impl Future<Output = ()>,
    ) {
        let Self { service, builder, drain, refused, log } = self;
        let (activity, io) = ConnectionIo::new(TokioIo::new(stream));
        let (reading, is_plain) = (ConnectionBodies::new(), session.is_none());
        let answer = hyper::service::service_fn({
            let (activity, refused) = (activity.clone(), refused.clone());
            move |mut request: http::Request<Incoming>| {
                if request.uri().path().starts_with(paths::CONTROL) {
                    request.extensions_mut().insert(reading.clone());
                }
                if let Some(session) = &session {
                    request.extensions_mut().insert(session.clone());
                }
                let refused = has_too_many_fields(&request).then(|| refused.inc());
                let (service, active) = (service.clone(), activity.begin(request.version()));
                let activity = activity.clone();
                async move {
                    let version = request.version();
                    if refused.is_some() {
                        return Ok(closing(service.reject(&request), version));
                    }
                    // Pinned and not moved: such futures are large.
                    let answer = std::pin::pin!(service.handle(request));
                    let response = active.answer(answer).await;
                    Ok::<_, Infallible>(if activity.is_renewed() { closing(response, version) } else { response })
                }
            }
        });
        match connection::serve(builder.serve_connection(io, answer), &activity, drain, renewed).await {
            CloseReason::HeadTooLarge => refused.inc(),
            CloseReason::NotHttp if is_plain && log.is_due() => {
                tracing::warn!("a client's first bytes are no HTTP: most likely it speaks TLS to a port that does not");
            }
            CloseReason::NotHttp | CloseReason::Else => {}
        }
    }
}

/// Closes an HTTP/1.1 connection after this response: what else a rejected client has sent is not read.
fn closing<B>(mut response: http::Response<B>, version: http::Version) -> http::Response<B> {
    if version < http::Version::HTTP_2 {
        response.headers_mut().insert(http::header::CONNECTION, http::HeaderValue::from_static("close"));
    }
    response
}

/// A connection in the count of open ones.
struct CountedConnection(IntGauge);

impl CountedConnection {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = permits.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => {
            // Responses are written whole: Nagle's algorithm would only delay them.
            let _ = stream.set_nodelay(true);
            Some((stream, permit))
        }
        Err(error) => {
            tracing::warn!(%error, "cannot accept a connection");
            // Most likely out of descriptors: trying at once would only burn the processor.
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

fn listen(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = if at.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    if at.is_ipv6() {
        // One socket for both families, whatever the system's default is.
        rustix::net::sockopt::set_ipv6_v6only(&socket, false)?;
    }
    socket.set_reuseaddr(true)?;
    socket.bind(at)?;
    socket.listen(BACKLOG)
}

/// Returns the address under which other peers reach what listens on `at`. For an unspecified address, that is the
/// address of the default route.
pub fn own_address(at: SocketAddr) -> SocketAddr {
    if !at.ip().is_unspecified() {
        return at;
    }
    // Connecting a datagram socket sends nothing and only chooses a route. The targets are documentation addresses (RFC
    // 3849, RFC 5737).
    let way = |from: SocketAddr, to: (IpAddr, u16)| {
        let socket = UdpSocket::bind(from).ok()?;
        socket.connect(to).ok()?;
        socket.local_addr().ok().map(|address| address.ip())
    };
    let v6 = || {
        way((Ipv6Addr::UNSPECIFIED, 0).into(), (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(), 9))
            .filter(|_| at.is_ipv6())
    };
    let v4 = || way((Ipv4Addr::UNSPECIFIED, 0).into(), (Ipv4Addr::new(192, 0, 2, 1).into(), 9));
    let loopback = if at.is_ipv6() { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
    SocketAddr::new(v6().or_else(v4).unwrap_or(loopback), at.port())
}
