//! What connections to an origin accept: no TLS, or the authorities that a group trusts.

use meshcache_protocol::groups::{self, OriginHost};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use std::sync::Arc;

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
