//! Opens connections to one origin: DNS, TCP, and TLS with the authorities that a group trusts.

use crate::origin::{
    connection_limit::ConnectionPermit,
    failure::{Failure, OriginError, causes},
    socket::Socket,
};
use http::{Uri, uri::Authority};
use hyper_util::{
    client::legacy::connect::{HttpConnector, dns::Name},
    rt::TokioIo,
};
use meshcache_protocol::groups::{self, OriginHost};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Duration,
    vec,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tower_service::Service;

/// The time limit for a connection, TLS included.
const CONNECT: Duration = Duration::from_secs(10);
/// TCP keepalive: the system probes a connection after this silence, then at this interval and this often. It also
/// closes a connection whose bytes are not acknowledged for [`UNACKNOWLEDGED`]. Both take at most 12 s.
const PROBES: (Duration, Duration, u32) = (Duration::from_secs(5), Duration::from_secs(2), 3);
const UNACKNOWLEDGED: Duration = Duration::from_secs(10);

/// Whether connections use TLS, and what they accept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Trust {
    /// No TLS.
    Plain,
    /// TLS with these authorities, PEM; `None`: the system's.
    Tls { ca: Option<Vec<u8>>, http2: bool },
}

impl Trust {
    pub(super) fn of(origin: &groups::Origin) -> Result<Self, String> {
        if origin.url.scheme() != "https" {
            return Ok(Self::Plain);
        }
        let read = |path: &str| std::fs::read(path).map_err(|error| format!("{path}: {error}"));
        let ca = origin.ca().map(read).transpose()?;
        // HTTP/2 has one authority, that of the connection: another Host needs HTTP/1.1.
        Ok(Self::Tls { ca, http2: origin.host == OriginHost::Origin })
    }

    /// Returns the configuration of TLS, where it is used.
    pub(super) fn config(&self) -> Result<Option<Arc<ClientConfig>>, String> {
        let Self::Tls { ca, http2 } = self else { return Ok(None) };
        let roots = match ca {
            Some(pem) => parse_roots(pem)?,
            None => system_roots()?,
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?;
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        if *http2 {
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        }
        Ok(Some(Arc::new(config)))
    }
}

pub(super) fn parse_roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|e| format!("not PEM: {e}"))?;
        roots.add(certificate).map_err(|e| e.to_string())?;
    }
    if roots.is_empty() { Err("contains no certificate".into()) } else { Ok(roots) }
}

pub(super) fn system_roots() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() { Err(format!("no authorities of the system found ({:?})", found.errors)) } else { Ok(roots) }
}

/// Opens connections to one authority.
pub(super) struct Connector {
    tcp: HttpConnector<Resolver>,
    uri: Uri,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    http2: bool,
}

/// An open connection, before HTTP.
pub(super) struct OpenConnection {
    pub(super) stream: TokioIo<Box<dyn ByteStream>>,
    pub(super) tcp: Weak<TcpStream>,
    pub(super) is_http2: bool,
}

/// A stream of bytes in both directions.
pub(super) trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

impl Connector {
    pub(super) fn new(
        authority: &Authority,
        tls: Option<Arc<ClientConfig>>,
        resolver: Resolver,
    ) -> Result<Self, String> {
        let mut tcp = HttpConnector::new_with_resolver(resolver);
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT));
        let (after, between, times) = PROBES;
        tcp.set_keepalive(Some(after));
        tcp.set_keepalive_interval(Some(between));
        tcp.set_keepalive_retries(Some(times));
        #[cfg(target_os = "linux")]
        tcp.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let uri = Uri::builder()
            .scheme(scheme)
            .authority(authority.clone())
            .path_and_query("/")
            .build()
            .map_err(|error| error.to_string())?;
        let name = || {
            let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
            ServerName::try_from(host).map_err(|_| format!("`{}` is not a name for a certificate", authority.host()))
        };
        let http2 = tls.as_ref().is_some_and(|tls| !tls.alpn_protocols.is_empty());
        let tls = tls.map(|tls| Ok::<_, String>((TlsConnector::from(tls), name()?))).transpose()?;
        Ok(Self { tcp, uri, tls, http2 })
    }

    /// Sets the name in the certificate, where it is not the host.
    pub(super) fn named(mut self, name: Option<ServerName<'static>>) -> Self {
        if let (Some(name), Some((_, host))) = (name, &mut self.tls) {
            *host = name;
        }
        self
    }

    /// Returns whether a connection may turn out to be HTTP/2.
    pub(super) fn may_be_http2(&self) -> bool {
        self.http2
    }

    pub(super) async fn open(&self, permit: ConnectionPermit) -> Result<OpenConnection, OriginError> {
        timeout(CONNECT, self.connect(permit)).await.unwrap_or_else(|_| {
            Err(OriginError::because(Failure::Timeout, format!("no connection within {CONNECT:?}")))
        })
    }

    async fn connect(&self, permit: ConnectionPermit) -> Result<OpenConnection, OriginError> {
        let connected = self.tcp.clone().call(self.uri.clone()).await;
        let wire = Socket::new(
            connected.map_err(|error| OriginError::new(connect_failure(&error), &error))?.into_inner(),
            permit,
        );
        let tcp = wire.socket();
        let Some((tls, name)) = &self.tls else {
            return Ok(OpenConnection { stream: TokioIo::new(Box::new(wire)), tcp, is_http2: false });
        };
        let stream = tls.connect(name.clone(), wire).await.map_err(|error| OriginError::new(Failure::Tls, &error))?;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(OpenConnection { stream: TokioIo::new(Box::new(stream)), tcp, is_http2 })
    }
}

fn connect_failure(error: &(dyn std::error::Error + 'static)) -> Failure {
    if causes(error).any(|cause| cause.is::<UnresolvedName>()) {
        return Failure::Dns;
    }
    let timed_out = causes(error)
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::TimedOut));
    if timed_out { Failure::Timeout } else { Failure::Connect }
}

/// A name without an address.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {source}")]
pub(super) struct UnresolvedName {
    name: String,
    source: io::Error,
}

type Addresses = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Resolves a name, anew for each connection, so that changes are followed.
#[derive(Clone)]
pub(super) struct Resolver(Arc<dyn Fn(String) -> Addresses + Send + Sync>);

impl Resolver {
    /// Returns the system's resolver.
    pub(super) fn system() -> Self {
        Self::new(|name| Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) }))
    }

    pub(super) fn new(addresses: impl Fn(String) -> Addresses + Send + Sync + 'static) -> Self {
        Self(Arc::new(addresses))
    }
}

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = UnresolvedName;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, UnresolvedName>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), UnresolvedName>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let name = name.as_str().to_owned();
        let addresses = (self.0)(name.clone());
        Box::pin(async move {
            match addresses.await {
                Ok(addresses) if addresses.is_empty() => {
                    Err(UnresolvedName { name, source: io::Error::new(io::ErrorKind::NotFound, "no address") })
                }
                Ok(addresses) => Ok(addresses.into_iter()),
                Err(source) => Err(UnresolvedName { name, source }),
            }
        })
    }
}
