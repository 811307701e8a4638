//! The four ports: what listens, and how connections are served, bounded and drained.

mod admin;
mod connection;
mod data;
mod peer;
mod status;

pub use admin::Admin;
pub use data::Data;
pub(crate) use peer::PUSHES;
pub use peer::PeerPort;
pub use status::{Filter, Status};

use crate::http::{interim::Interims, request_body::Reading};
use connection::{Activity, Ended};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use meshcache_protocol::{Reason, paths, wire};
use prometheus::{IntCounter, IntGauge};
use std::{
    convert::Infallible,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};

/// The longest head of a request: above it the answer is 431. Envoy's own limit is 60 KiB.
const HEAD: usize = 64 * 1024;
/// The most lines of a request's head, as of an origin's answer: above it the answer is 431.
const LINES: usize = 256;
/// So many lines more may a question have: proxies and coordinators add their own to what their clients sent.
const ADDED: usize = 32;
/// What HTTP/1.1 is read up to, so that the refusal is ours. More is refused by hyper, without a word.
const READ: usize = 2 * LINES;
/// Requests at once on one HTTP/2 connection: a proxy's herd is one connection's.
const STREAMS: u32 = 4096;
/// How long connections wait in the kernel: a herd comes at once.
const BACKLOG: u32 = 4096;

/// What a port does with a request.
pub trait Answer: Clone + Send + Sync + 'static {
    /// Its answers' bodies.
    type Body: hyper::body::Body<Data = bytes::Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + 'static;
    /// Answers. What goes wrong is an answer, too.
    fn answer(&self, request: http::Request<Incoming>) -> impl Future<Output = http::Response<Self::Body>> + Send;
    /// Refuses a request whose head has too many lines.
    fn refuse(&self, request: &http::Request<Incoming>) -> http::Response<Self::Body>;
}

/// What a refused head is told.
const TOO_MANY_LINES: Reason = Reason::HeaderLines;

/// Whether a head has more lines than any port takes, in whichever version of HTTP it came.
fn has_too_many_lines<B>(request: &http::Request<B>) -> bool {
    // HTTP/2 has Host in a place of its own.
    let host = usize::from(request.version() == http::Version::HTTP_2 && request.uri().authority().is_some());
    let added = if request.headers().contains_key(wire::header::WIRE) { ADDED } else { 0 };
    request.headers().len() + host > LINES + added
}

/// One port with what it may hold.
pub struct Port {
    listener: TcpListener,
    open: IntGauge,
    refused: IntCounter,
    most: usize,
}

impl Port {
    /// Listens. `open` shows how many connections there are, `refused` how many heads were too large, `most` bounds
    /// connections: more wait in the kernel.
    pub fn bind(at: SocketAddr, open: IntGauge, refused: IntCounter, most: usize) -> Result<Self, String> {
        let listener = match listen(at) {
            // No IPv6 on this machine: every IPv4 address is what was meant.
            Err(error)
                if at.ip() == Ipv6Addr::UNSPECIFIED
                    && !matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied) =>
            {
                listen(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), at.port()))
            }
            other => other,
        };
        Ok(Self { listener: listener.map_err(|error| format!("cannot listen on {at}: {error}"))?, open, refused, most })
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `drain` is true and no connection from before it is left. While one is, new ones are still taken:
    /// others hear of the end later than we do. They keep nothing open: who comes again and again must not hold up
    /// the end.
    pub async fn serve(self, service: impl Answer, mut drain: watch::Receiver<bool>) {
        let mut builder = Builder::new(TokioExecutor::new());
        // No header_read_timeout: it costs a timer for each request. `connection` watches over slow clients.
        builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(HEAD).max_headers(READ);
        builder.http2().timer(TokioTimer::new()).max_header_list_size(HEAD as u32).max_concurrent_streams(STREAMS);
        builder.http2().keep_alive_interval(Duration::from_secs(20)).keep_alive_timeout(Duration::from_secs(20));
        let mut once = builder.clone();
        once.http1().keep_alive(false);
        let (builder, once) = (Arc::new(builder), Arc::new(once));
        let seats = Arc::new(Semaphore::new(self.most));
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
                accepted = accept(&self.listener, &seats) => accepted,
            };
            let Some((stream, seat)) = accepted else { continue };
            let (service, drain, open, refused) =
                (service.clone(), drain.clone(), Open::new(&self.open), self.refused.clone());
            let is_late = *drain.borrow();
            let (builder, to) = if is_late { (once.clone(), &mut late) } else { (builder.clone(), &mut connections) };
            to.spawn(async move {
                let (activity, io) = Activity::watch(TokioIo::new(stream));
                let (interims, io) = Interims::watch(io);
                let reading = Reading::new();
                let answer = hyper::service::service_fn({
                    let (activity, refused) = (activity.clone(), refused.clone());
                    move |mut request: http::Request<Incoming>| {
                        if request.uri().path().starts_with(paths::CONTROL) {
                            request.extensions_mut().insert(reading.clone());
                        }
                        let refused = has_too_many_lines(&request).then(|| refused.inc());
                        let (service, busy) = (service.clone(), activity.begin(request.version()));
                        let answering = (request.version() == http::Version::HTTP_11).then(|| interims.begin());
                        async move {
                            if refused.is_some() {
                                return Ok(closing(service.refuse(&request), request.version()));
                            }
                            let answer = std::pin::pin!(service.answer(request));
                            let answer = match answering {
                                Some(answering) => answering.until(answer).await,
                                None => answer.await,
                            };
                            drop(busy);
                            Ok::<_, Infallible>(answer)
                        }
                    }
                });
                if connection::serve(builder.serve_connection(io, answer), &activity, drain).await
                    == Ended::HeadTooLarge
                {
                    refused.inc();
                }
                drop((open, seat));
            });
        }
        drop(self.listener);
        while late.join_next().await.is_some() {}
    }
}

/// An answer after which the connection is closed, where it is that of one request at a time: nobody reads what else a
/// refused client has sent.
fn closing<B>(mut response: http::Response<B>, version: http::Version) -> http::Response<B> {
    if version < http::Version::HTTP_2 {
        response.headers_mut().insert(http::header::CONNECTION, http::HeaderValue::from_static("close"));
    }
    response
}

/// A place among the open connections' count.
struct Open(IntGauge);

impl Open {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

async fn accept(
    listener: &TcpListener,
    seats: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let seat = seats.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => {
            // Answers go out whole: waiting for more to send with them only delays them.
            let _ = stream.set_nodelay(true);
            Some((stream, seat))
        }
        Err(error) => {
            tracing::warn!(%error, "cannot accept a connection");
            // Out of descriptors, most likely: trying at once would only burn the processor.
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

fn listen(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = if at.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    if at.is_ipv6() {
        // One port for both families, whatever the system's default is.
        rustix::net::sockopt::set_ipv6_v6only(&socket, false)?;
    }
    socket.set_reuseaddr(true)?;
    socket.bind(at)?;
    socket.listen(BACKLOG)
}

/// The address under which others reach what listens on `at`: for every address, that of the way out of this machine.
pub fn own_address(at: SocketAddr) -> SocketAddr {
    if !at.ip().is_unspecified() {
        return at;
    }
    // Connecting a datagram socket sends nothing: it only chooses the way. The targets are documentation's (RFC 3849,
    // RFC 5737).
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
