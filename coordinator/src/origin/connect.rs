//! Opens connections to one origin: to the first of its addresses that answers, with TLS where it is used.

use crate::origin::{
    addresses::Addresses,
    connection_limit::{ConnectionLimit, ConnectionPermit},
    failure::{Failure, OriginError},
    resolver::Resolver,
    socket::{Socket, WatchedSocket},
    trust::{Certificates, Tls},
};
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use http::uri::Authority;
use hyper_util::rt::TokioIo;
use rustix::net::sockopt;
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, sleep_until, timeout},
};
use tokio_rustls::TlsConnector;

/// The time limit for a connection, TLS included.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an address may be silent before the next one is tried beside it (RFC 8305 section 5), and how long it may
/// be in TLS after that.
const NEXT_ADDRESS: Duration = Duration::from_millis(250);
const NEXT_ADDRESS_IN_TLS: Duration = Duration::from_secs(1);
/// TCP keepalive: the system probes a connection after this silence, then at this interval and this often. It also
/// closes a connection whose bytes are not acknowledged for [`UNACKNOWLEDGED`]. Both take at most 12 s.
const PROBES: (Duration, Duration, u32) = (Duration::from_secs(5), Duration::from_secs(2), 3);
const UNACKNOWLEDGED: Duration = Duration::from_secs(10);

/// Opens connections to one authority.
pub(super) struct Connector {
    host: String,
    port: u16,
    tls: Option<Tls>,
    resolver: Resolver,
    addresses: Addresses,
    limit: Arc<ConnectionLimit>,
}

/// An open connection, before HTTP.
pub(super) struct OpenConnection {
    pub(super) stream: TokioIo<Box<dyn ByteStream>>,
    pub(super) tcp: WatchedSocket,
    pub(super) certificates: Certificates,
    pub(super) is_http2: bool,
}

/// A stream of bytes in both directions.
pub(super) trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// How far an attempt has come.
enum Progress {
    /// There is a descriptor, and the address is to be dialled.
    Permitted(ConnectionPermit),
    /// There is a connection, and TLS is to begin.
    Connected(Socket),
    Open(OpenConnection),
}

/// The attempts to open one connection, each to another address.
struct Race<'c> {
    connector: &'c Connector,
    running: FuturesUnordered<BoxFuture<'c, (SocketAddr, Result<Progress, OriginError>)>>,
    /// The addresses that are dialled, and since when.
    begun: Vec<(SocketAddr, Instant)>,
    /// Whether an attempt waits for its descriptor.
    waits: bool,
}

impl Connector {
    pub(super) fn new(
        authority: &Authority,
        tls: Option<Tls>,
        resolver: Resolver,
        limit: Arc<ConnectionLimit>,
    ) -> Self {
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
        let addresses = Addresses::new(authority.as_str(), limit.metrics.clone());
        Self { host, port, tls, resolver, addresses, limit }
    }

    /// Returns whether a connection may turn out to be HTTP/2.
    pub(super) fn may_be_http2(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.may_be_http2)
    }

    /// Returns the certificates that the next connection uses.
    pub(super) fn certificates(&self) -> Certificates {
        self.tls.as_ref().map(|tls| tls.config.current())
    }

    pub(super) fn limit(&self) -> &Arc<ConnectionLimit> {
        &self.limit
    }

    /// Opens a connection. `patience`: how long it waits for a descriptor.
    pub(super) async fn open(&self, patience: Duration) -> Result<OpenConnection, OriginError> {
        let permit = self.limit.take(patience).await?;
        timeout(CONNECT, self.connect(permit, patience)).await.unwrap_or_else(|_| {
            Err(OriginError::because(Failure::Timeout, format!("no connection within {CONNECT:?}")))
        })
    }

    /// Tries one address after the other. One that is silent is not waited for: the next is tried beside it.
    async fn connect(&self, permit: ConnectionPermit, patience: Duration) -> Result<OpenConnection, OriginError> {
        let mut untried = self.addresses.order(self.resolve().await?).into_iter();
        let mut race = Race { connector: self, running: FuturesUnordered::new(), begun: Vec::new(), waits: false };
        // Without a timer, which would take up to a millisecond.
        if let Some(address) = untried.next() {
            race.dial(address, permit);
        }
        let (mut next, mut first_error) = (Instant::now() + NEXT_ADDRESS, None);
        loop {
            tokio::select! {
                biased;
                Some((address, progress)) = race.running.next() => match progress {
                    Ok(Progress::Permitted(permit)) => {
                        race.waits = false;
                        race.dial(address, permit);
                        next = Instant::now() + NEXT_ADDRESS;
                    }
                    Ok(Progress::Connected(socket)) => {
                        race.running.push(Box::pin(async move { (address, self.handshake(socket, address).await) }));
                        next = Instant::now() + NEXT_ADDRESS_IN_TLS;
                    }
                    Ok(Progress::Open(connection)) => {
                        race.end(address);
                        self.addresses.record_success(address);
                        return Ok(connection);
                    }
                    Err(error) => {
                        // Without a descriptor nothing is known of the address. The first one has its own.
                        if error.failure == Failure::Overload {
                            race.waits = false;
                        } else {
                            race.end(address);
                            self.addresses.record_failure(address, &error);
                            first_error.get_or_insert(error);
                        }
                        next = Instant::now();
                    }
                },
                () = sleep_until(next), if untried.len() > 0 && !race.waits => if let Some(address) = untried.next() {
                    race.begin(address, patience);
                    next = Instant::now() + NEXT_ADDRESS;
                },
                else => break,
            }
        }
        Err(first_error.unwrap_or_else(|| OriginError::because(Failure::Dns, "no address")))
    }

    async fn resolve(&self) -> Result<Vec<SocketAddr>, OriginError> {
        match self.host.parse::<IpAddr>() {
            Ok(ip) => Ok(vec![SocketAddr::new(ip, self.port)]),
            Err(_) => {
                let resolved = self.resolver.resolve(&self.host, self.port).await;
                resolved.map_err(|error| OriginError::new(Failure::Dns, &error))
            }
        }
    }

    async fn dial(&self, address: SocketAddr, permit: ConnectionPermit) -> Result<Progress, OriginError> {
        let connected = TcpStream::connect(address).await.and_then(with_options);
        let tcp = connected.map_err(|error| {
            let failure = if error.kind() == io::ErrorKind::TimedOut { Failure::Timeout } else { Failure::Connect };
            OriginError::new(failure, &error).at(address)
        })?;
        let wire = Socket::new(tcp, permit);
        if self.tls.is_some() {
            return Ok(Progress::Connected(wire));
        }
        let tcp = wire.watched();
        Ok(Progress::Open(OpenConnection {
            stream: TokioIo::new(Box::new(wire)),
            tcp,
            certificates: None,
            is_http2: false,
        }))
    }

    async fn handshake(&self, wire: Socket, address: SocketAddr) -> Result<Progress, OriginError> {
        let Some(tls) = &self.tls else { return Ok(Progress::Connected(wire)) };
        let (tcp, config) = (wire.watched(), tls.config.current());
        let connected = TlsConnector::from(config.clone()).connect(tls.name.clone(), wire).await;
        let stream = connected.map_err(|error| OriginError::new(Failure::Tls, &error).at(address))?;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Progress::Open(OpenConnection {
            stream: TokioIo::new(Box::new(stream)),
            tcp,
            certificates: Some(config),
            is_http2,
        }))
    }
}

impl<'c> Race<'c> {
    /// Begins an attempt, which takes a descriptor first.
    fn begin(&mut self, address: SocketAddr, patience: Duration) {
        let connector = self.connector;
        self.waits = true;
        self.running
            .push(Box::pin(async move { (address, connector.limit.take(patience).await.map(Progress::Permitted)) }));
    }

    fn dial(&mut self, address: SocketAddr, permit: ConnectionPermit) {
        let connector = self.connector;
        self.begun.push((address, Instant::now()));
        self.running.push(Box::pin(async move { (address, connector.dial(address, permit).await) }));
    }

    fn end(&mut self, address: SocketAddr) {
        self.begun.retain(|(begun, _)| *begun != address);
    }
}

impl Drop for Race<'_> {
    /// An attempt that another overtook, or whose request ended before it, has failed, too.
    fn drop(&mut self) {
        for (address, since) in &self.begun {
            let waited = since.elapsed();
            if waited >= NEXT_ADDRESS {
                let silent = OriginError::because(Failure::Timeout, format!("no connection within {waited:?}"));
                self.connector.addresses.record_failure(*address, &silent);
            }
        }
    }
}

/// Sets the options of a connection.
fn with_options(tcp: TcpStream) -> io::Result<TcpStream> {
    let (after, between, times) = PROBES;
    tcp.set_nodelay(true)?;
    sockopt::set_socket_keepalive(&tcp, true)?;
    sockopt::set_tcp_keepidle(&tcp, after)?;
    sockopt::set_tcp_keepintvl(&tcp, between)?;
    sockopt::set_tcp_keepcnt(&tcp, times)?;
    #[cfg(target_os = "linux")]
    sockopt::set_tcp_user_timeout(&tcp, u32::try_from(UNACKNOWLEDGED.as_millis()).unwrap_or(u32::MAX))?;
    Ok(tcp)
}
