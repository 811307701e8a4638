//! What connections to an https origin prove and accept. It follows its files.

use crate::{
    config::watched_file::{Watched, WatchedFiles},
    tls,
};
use meshcache_protocol::groups::{self, OriginHost};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use std::{path::PathBuf, sync::Arc};

/// The files of certificates and keys. Origins with the same ones share their last good content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Trust {
    /// `None`: the system's authorities.
    pub(super) ca: Option<PathBuf>,
    /// A client certificate, and its key.
    pub(super) client: Option<(PathBuf, PathBuf)>,
    pub(super) http2: bool,
}

/// The configuration of TLS that a connection was opened with; `None`: without TLS.
pub(super) type Certificates = Option<Arc<ClientConfig>>;

impl Trust {
    /// Returns that of an origin; `None`: it is not https.
    pub(super) fn of(origin: &groups::Origin) -> Option<Self> {
        let client = origin.tls.cert.as_ref().zip(origin.tls.key.as_ref());
        (origin.url.scheme() == "https").then(|| Self {
            ca: origin.ca().map(PathBuf::from),
            client: client.map(|(cert, key)| (cert.into(), key.into())),
            // HTTP/2 has one authority, that of the connection: another Host needs HTTP/1.1.
            http2: origin.host == OriginHost::Origin,
        })
    }

    /// Returns that of a token server; `None`: it is not https. HTTP/1.1 will do for a request now and then.
    pub(super) fn of_token_server(config: &groups::OAuth2) -> Option<Self> {
        let client = config.tls.cert.as_ref().zip(config.tls.key.as_ref());
        config.token_url.is_https().then(|| Self {
            ca: config.tls.ca.as_ref().map(PathBuf::from),
            client: client.map(|(cert, key)| (cert.into(), key.into())),
            http2: false,
        })
    }

    /// Reads the files, now and when they change.
    pub(super) fn open(&self, files: &WatchedFiles) -> Result<Arc<Watched<ClientConfig>>, String> {
        let this = self.clone();
        let client = self.client.iter().flat_map(|(cert, key)| [cert, key]);
        files.open(self.ca.iter().chain(client).cloned().collect(), move |contents| this.config(contents))
    }

    /// Makes the configuration of TLS of the files' contents.
    fn config(&self, contents: &[Vec<u8>]) -> Result<ClientConfig, String> {
        let mut contents = contents.iter().map(Vec::as_slice);
        let roots = match self.ca {
            Some(_) => parse_roots(contents.next().unwrap_or_default())?,
            None => system_roots()?,
        };
        let builder = tls::trusting(roots)?;
        let mut config = match self.client {
            None => builder.with_no_client_auth(),
            Some(_) => {
                let chain = certificates("cert", contents.next().unwrap_or_default())?;
                let key = PrivateKeyDer::from_pem_slice(contents.next().unwrap_or_default())
                    .map_err(|_| "key: no private key in PEM".to_owned())?;
                builder.with_client_auth_cert(chain, key).map_err(|error| match error {
                    rustls::Error::InconsistentKeys(_) => "cert and key do not belong together".to_owned(),
                    error => format!("cert and key: {error}"),
                })?
            }
        };
        if self.http2 {
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        }
        Ok(config)
    }
}

fn certificates(field: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    match tls::certificates(pem) {
        Ok(all) if all.is_empty() => Err(format!("{field}: contains no certificate")),
        Ok(all) => Ok(all),
        Err(what) => Err(format!("{field}: not PEM: {what}")),
    }
}

fn parse_roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("ca", pem)? {
        roots.add(certificate).map_err(|error| format!("ca: {error}"))?;
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, String> {
    let roots = tls::system_roots();
    // An image has none.
    let none = "tls.ca: the system has no authorities: write a file of them";
    if roots.is_empty() { Err(none.into()) } else { Ok(roots) }
}

/// TLS to one origin.
pub(super) struct Tls {
    pub(super) config: Arc<Watched<ClientConfig>>,
    /// The name that its certificate must have.
    pub(super) name: ServerName<'static>,
    pub(super) may_be_http2: bool,
}

impl Tls {
    /// Returns a name for certificates: a DNS name, or an IP address, in brackets or not.
    pub(super) fn name(host: &str) -> Result<ServerName<'static>, String> {
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        ServerName::try_from(bare)
            .map_err(|_| format!("`{host}` is not a name for a certificate (a DNS name, or an IP address)"))
    }
}
