//! The connection to a peer: plain, or TLS by which both ends have proved their names.

use crate::tls::{PeerTls, TlsSession};
use hyper_util::client::legacy::connect::{Connected, Connection};
use rustls::{ClientConfig, pki_types::ServerName};
use std::{
    error::Error,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// The time limit of a handshake.
const HANDSHAKE: Duration = Duration::from_secs(3);

/// How connections to one peer are secured.
#[derive(Clone)]
pub(crate) enum PeerSecurity {
    /// Not at all.
    Plain,
    /// By TLS: what is shown, and what has to be proved.
    Tls(Arc<ClientConfig>, ServerName<'static>),
    /// By TLS, but no certificate can have the peer's name.
    NoName,
}

impl PeerSecurity {
    /// `name`: the peer's, which it has to prove; `None`: not known yet.
    pub(super) fn of(tls: Option<&PeerTls>, name: Option<&str>) -> Self {
        match tls.map(|tls| tls.client(name)) {
            None => Self::Plain,
            Some(Some((config, name))) => Self::Tls(config, name),
            Some(None) => Self::NoName,
        }
    }

    /// Secures a connection.
    pub(crate) async fn secure(self, tcp: TcpStream) -> io::Result<PeerStream> {
        match self {
            Self::Plain => Ok(PeerStream::Plain(tcp)),
            Self::Tls(config, name) => {
                let stream = timeout(HANDSHAKE, TlsConnector::from(config).connect(name, tcp)).await??;
                let session = TlsSession::new(stream.get_ref().1.peer_certificates().and_then(<[_]>::first));
                Ok(PeerStream::Tls(Box::new(stream), session))
            }
            Self::NoName => Err(io::Error::other("its name cannot be in a certificate")),
        }
    }
}

/// Returns the error of TLS among the causes of an error.
pub(crate) fn tls_error<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    crate::origin::causes(error).find_map(|cause| {
        cause.downcast_ref::<io::Error>()?.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>())
    })
}

/// An open connection.
pub(crate) enum PeerStream {
    /// Plain.
    Plain(TcpStream),
    /// TLS, with the peer's certificate.
    Tls(Box<TlsStream<TcpStream>>, TlsSession),
}

impl PeerStream {
    /// Returns what the peer has proved.
    pub(crate) fn session(&self) -> Option<&TlsSession> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(_, session) => Some(session),
        }
    }
}

impl Connection for PeerStream {
    fn connected(&self) -> Connected {
        // It comes with each response.
        self.session().map_or_else(Connected::new, |session| Connected::new().extra(session.clone()))
    }
}

impl AsyncRead for PeerStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Tls(tls, _) => Pin::new(tls).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls, _) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, slices),
            Self::Tls(tls, _) => Pin::new(tls).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        // Both are.
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls, _) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls, _) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
