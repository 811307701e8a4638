//! Connections to origins: TCP, TLS with the authorities that a group trusts, and a mark on those that have been good before.

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{
    client::legacy::connect::{Connected, Connection, HttpConnector},
    rt::TokioIo,
};
use meshcache_protocol::groups::{self, OriginHost};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use std::{
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::net::TcpStream;
use tower_service::Service;

/// Whom a client trusts, and what it may speak: what tells two clients apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Trust {
    /// No TLS.
    Plain,
    /// These authorities, PEM; none: the system's.
    Tls { ca: Option<Vec<u8>>, http2: bool },
}

impl Trust {
    pub(super) fn of(origin: &groups::Origin) -> Result<Self, String> {
        if origin.url.scheme() != "https" {
            return Ok(Self::Plain);
        }
        let read = |path: &String| std::fs::read(path).map_err(|error| format!("{path}: {error}"));
        let ca = origin.ca.as_ref().map(read).transpose()?;
        // HTTP/2 has one authority, the one that is connected to: a Host of its own needs HTTP/1.1.
        Ok(Self::Tls { ca, http2: origin.host == OriginHost::Origin })
    }

    fn config(&self) -> Result<ClientConfig, String> {
        let builder =
            ClientConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions().map_err(|e| e.to_string())?;
        let Self::Tls { ca: Some(pem), .. } = self else {
            return match self {
                // Never used: `http` is never encrypted.
                Self::Plain => Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth()),
                Self::Tls { .. } => Ok(builder.with_native_roots().map_err(|e| format!("the system's authorities: {e}"))?.with_no_client_auth()),
            };
        };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|e| format!("not PEM: {e}"))?;
            roots.add(certificate).map_err(|e| e.to_string())?;
        }
        if roots.is_empty() {
            return Err("no certificate in it".into());
        }
        Ok(builder.with_root_certificates(roots).with_no_client_auth())
    }
}

/// Opens connections.
#[derive(Clone)]
pub(super) struct Connector(HttpsConnector<HttpConnector>);

impl Connector {
    pub(super) fn new(trust: &Trust, timeout: Duration) -> Result<Self, String> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(timeout));
        let builder = HttpsConnectorBuilder::new().with_tls_config(trust.config()?).https_or_http();
        Ok(Self(match trust {
            Trust::Tls { http2: true, .. } => builder.enable_http1().enable_http2().wrap_connector(tcp),
            _ => builder.enable_http1().wrap_connector(tcp),
        }))
    }
}

type Tls = MaybeHttpsStream<TokioIo<TcpStream>>;
type Fault = Box<dyn std::error::Error + Send + Sync>;

impl Service<Uri> for Connector {
    type Response = Marked;
    type Error = Fault;
    type Future = Pin<Box<dyn Future<Output = Result<Marked, Fault>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.0.call(uri);
        Box::pin(async move { Ok(Marked { stream: connecting.await?, used: Used::default() }) })
    }
}

/// Whether a connection has brought an answer before.
#[derive(Clone, Debug, Default)]
pub(super) struct Used(Arc<AtomicBool>);

impl Used {
    pub(super) fn of(connected: &Connected) -> Option<Self> {
        let mut extras = http::Extensions::new();
        connected.get_extras(&mut extras);
        extras.remove()
    }

    pub(super) fn set(&self) {
        self.0.store(true, Relaxed);
    }

    pub(super) fn get(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// A connection with its mark.
pub(super) struct Marked {
    stream: Tls,
    used: Used,
}

impl Marked {
    fn stream(self: Pin<&mut Self>) -> Pin<&mut Tls> {
        Pin::new(&mut self.get_mut().stream)
    }
}

impl Connection for Marked {
    fn connected(&self) -> Connected {
        self.stream.connected().extra(self.used.clone())
    }
}

impl Read for Marked {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buf)
    }
}

impl Write for Marked {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(cx, bufs)
    }
}
