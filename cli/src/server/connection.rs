//! A way to the admin port, and connections on it.

use super::address::Address;
use crate::failed::NoAnswer;
use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use std::sync::Arc;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// How the port is reached.
pub(super) enum Way {
    /// By the network. With TLS: what is trusted.
    Network(Address, Option<Arc<ClientConfig>>),
    /// Through the API of a cluster.
    #[cfg(feature = "kube")]
    Cluster(Box<super::cluster::Forward>),
}

impl Way {
    /// What stands before an error.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Network(address, _) => address.to_string(),
            #[cfg(feature = "kube")]
            Self::Cluster(forward) => forward.to_string(),
        }
    }

    /// The Host of requests.
    pub(super) fn authority(&self) -> String {
        match self {
            Self::Network(address, _) => address.authority(),
            #[cfg(feature = "kube")]
            Self::Cluster(_) => "localhost:8081".to_owned(),
        }
    }

    /// Connects.
    pub(super) async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, NoAnswer> {
        match self {
            Self::Network(address, tls) => {
                let stream = TcpStream::connect((address.host.as_str(), address.port)).await.map_err(NoAnswer::new)?;
                let _ = stream.set_nodelay(true);
                let Some(tls) = tls else { return spoken(stream).await };
                let name = ServerName::try_from(address.host.clone())
                    .map_err(|_| NoAnswer::new("is no name that a certificate could have"))?;
                spoken(TlsConnector::from(tls.clone()).connect(name, stream).await.map_err(NoAnswer::new)?).await
            }
            #[cfg(feature = "kube")]
            Self::Cluster(forward) => spoken(forward.connect().await?).await,
        }
    }
}

/// Speaks HTTP/1.1 on a stream.
async fn spoken(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<SendRequest<Full<Bytes>>, NoAnswer> {
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(NoAnswer::new)?;
    tokio::spawn(connection);
    Ok(sender)
}
