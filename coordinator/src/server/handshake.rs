//! TLS on one port: who connects is given a session, or is counted and named in the log.

use crate::{
    telemetry::{metrics::Metrics, rare::Rare},
    tls::TlsSession,
};
use rustls::ServerConfig;
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// The time limit of a handshake. Until its end a connection holds a descriptor for nothing.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The first byte of a client that speaks TLS: a record of the handshake.
const HANDSHAKE_RECORD: u8 = 22;

/// TLS of one port. Its configuration may change: connections made before are asked to end.
pub(crate) struct PortHandshakes {
    port: &'static str,
    config: watch::Receiver<Arc<ServerConfig>>,
    metrics: Arc<Metrics>,
    log: Rare,
}

/// Why there is no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HandshakeFailure {
    /// The client speaks no TLS.
    PlainText,
    /// The handshake took too long.
    Timeout,
    /// The client's certificate is missing, or is not accepted.
    ClientCertificate,
    /// The client does not accept this end's certificate, or its conditions.
    Refused,
    /// There is nothing that both ends speak.
    Protocol,
    /// The client left.
    Gone,
}

impl HandshakeFailure {
    const ALL: [Self; 6] =
        [Self::PlainText, Self::Timeout, Self::ClientCertificate, Self::Refused, Self::Protocol, Self::Gone];

    /// Returns the log word and metric label.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::PlainText => "plain-text",
            Self::Timeout => "timeout",
            Self::ClientCertificate => "client-certificate",
            Self::Refused => "refused",
            Self::Protocol => "protocol",
            Self::Gone => "gone",
        }
    }

    fn of(error: &io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
                Self::ClientCertificate
            }
            Some(rustls::Error::AlertReceived(_)) => Self::Refused,
            Some(_) => Self::Protocol,
            None => Self::Gone,
        }
    }
}

impl PortHandshakes {
    /// `port`: its name in log and metrics.
    pub(crate) fn new(port: &'static str, config: watch::Receiver<Arc<ServerConfig>>, metrics: Arc<Metrics>) -> Self {
        HandshakeFailure::ALL.iter().for_each(|failure| metrics.tls.count_failed(port, failure.label(), 0));
        Self { port, config, metrics, log: Rare::default() }
    }

    /// Makes a session of a connection, and returns what tells that its configuration is not the present one any more.
    pub(super) async fn accept(
        &self,
        tcp: TcpStream,
    ) -> Option<(TlsStream<TcpStream>, TlsSession, watch::Receiver<Arc<ServerConfig>>)> {
        let mut changes = self.config.clone();
        let config = changes.borrow_and_update().clone();
        let from = tcp.peer_addr();
        let failed = match timeout(HANDSHAKE, shake_hands(tcp, config)).await {
            Ok(Ok(stream)) => {
                let certificates = stream.get_ref().1.peer_certificates();
                let session = TlsSession::new(certificates.and_then(<[_]>::first));
                return Some((stream, session, changes));
            }
            Ok(Err(failed)) => failed,
            Err(_) => (HandshakeFailure::Timeout, String::new()),
        };
        let (reason, error) = failed;
        self.metrics.tls.count_failed(self.port, reason.label(), 1);
        // Who only looks whether the port is open is no news.
        if reason != HandshakeFailure::Gone && self.log.is_due() {
            let client = from.map_or_else(|_| String::new(), |from| from.to_string());
            tracing::warn!(
                port = self.port,
                reason = reason.label(),
                client,
                error,
                "no TLS with a client: see meshcache_tls_handshakes_failed_total"
            );
        }
        None
    }
}

async fn shake_hands(
    mut tcp: TcpStream,
    config: Arc<ServerConfig>,
) -> Result<TlsStream<TcpStream>, (HandshakeFailure, String)> {
    let gone = |error: io::Error| (HandshakeFailure::Gone, error.to_string());
    let mut first = [0];
    if tcp.peek(&mut first).await.map_err(gone)? > 0 && first != [HANDSHAKE_RECORD] {
        tell_plain_text(&mut tcp).await.map_err(gone)?;
        return Err((HandshakeFailure::PlainText, "it speaks no TLS".into()));
    }
    TlsAcceptor::from(config).accept(tcp).await.map_err(|error| (HandshakeFailure::of(&error), error.to_string()))
}

/// Answers a client that speaks plain HTTP.
async fn tell_plain_text(tcp: &mut TcpStream) -> io::Result<()> {
    // What stays unread would reset the connection, and the answer with it.
    let _ = tcp.read(&mut [0; 16 * 1024]).await?;
    let text = "This port speaks TLS: use https://\n";
    let head = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length:";
    tcp.write_all(format!("{head} {}\r\n\r\n{text}", text.len()).as_bytes()).await?;
    tcp.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::{File, PortTls, tests::Authority};
    use rustls::pki_types::UnixTime;
    use tokio::net::TcpListener;

    /// Connects to a port, writes these bytes, and returns why there is no session. `leaves`: the client closes.
    async fn failure(bytes: &[u8], leaves: bool) -> Option<&'static str> {
        let pair = Authority::new().issue(&["a"]);
        let (certificate, key) = (pair.certificate.as_bytes(), pair.key.as_bytes());
        let file = |flag, content| File { flag, content };
        let tls = PortTls::read(file("c", certificate), file("k", key), None, UnixTime::now()).unwrap();
        let (_sender, config) = watch::channel(tls.data);
        let metrics = Metrics::new().unwrap();
        let handshakes = PortHandshakes::new("data", config, metrics.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.write_all(bytes).await.unwrap();
        let client = (!leaves).then_some(client);
        assert!(handshakes.accept(listener.accept().await.unwrap().0).await.is_none());
        drop(client);
        let page = String::from_utf8(metrics.page().unwrap()).unwrap();
        let is_counted = |failure: &HandshakeFailure| page.contains(&format!("reason=\"{}\"}} 1", failure.label()));
        HandshakeFailure::ALL.into_iter().find(is_counted).map(HandshakeFailure::label)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_completes_a_handshake_is_disconnected() {
        for begin in [&[][..], &[HANDSHAKE_RECORD], &[HANDSHAKE_RECORD, 3, 1, 2, 0, 1]] {
            let begun = tokio::time::Instant::now();
            assert_eq!(failure(begin, false).await, Some("timeout"));
            assert!(begun.elapsed() < HANDSHAKE * 2, "{:?}", begun.elapsed());
        }
    }

    #[tokio::test]
    async fn what_is_no_handshake_has_its_reason() {
        assert_eq!(failure(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n", false).await, Some("plain-text"));
        assert_eq!(failure(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", false).await, Some("plain-text"));
        assert_eq!(failure(&[HANDSHAKE_RECORD, 3, 1, 0, 4, 1, 2, 3, 4], false).await, Some("protocol"));
        assert_eq!(failure(&[], true).await, Some("gone"));
        assert_eq!(failure(&[HANDSHAKE_RECORD], true).await, Some("gone"));
    }
}
