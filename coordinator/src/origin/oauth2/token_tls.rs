//! TLS to a token server: whom it accepts, and the client's own certificate.

use crate::origin::trust::{parse_roots, system_roots};
use meshcache_protocol::groups::OAuth2;
use rustls::{
    ClientConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use std::{fmt, sync::Arc};

/// What a connection to a token server accepts and proves: the contents of files, PEM.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct TokenTls {
    /// `None`: the system's.
    ca: Option<Vec<u8>>,
    /// The client's certificate and its key.
    identity: Option<(Vec<u8>, Vec<u8>)>,
    /// The name in the server's certificate. `None`: the URL's.
    pub(super) name: Option<ServerName<'static>>,
}

impl TokenTls {
    /// Reads what is configured. The files of `tls` are the next of `contents`: ca, cert, key. `None`: no TLS.
    pub(super) fn new<'c>(
        config: &OAuth2,
        contents: &mut impl Iterator<Item = &'c [u8]>,
    ) -> Result<Option<Self>, String> {
        if !config.token_url.is_https() {
            return Ok(None);
        }
        let mut next = |file: &Option<String>| file.as_ref().and_then(|_| contents.next()).map(<[u8]>::to_vec);
        let (ca, cert, key) = (next(&config.tls.ca), next(&config.tls.cert), next(&config.tls.key));
        let name = config.tls.server_name.clone().map(|name| {
            ServerName::try_from(name.clone())
                .map_err(|_| format!("tls.serverName `{name}` is no name of a certificate"))
        });
        let tls = Self { ca, identity: cert.zip(key), name: name.transpose()? };
        // What does not fit together shows now, and not at the first request.
        tls.config().map(|_| Some(tls))
    }

    /// Returns the configuration of connections: HTTP/1.1, since there is a request now and then.
    pub(super) fn config(&self) -> Result<Arc<ClientConfig>, String> {
        let roots = self
            .ca
            .as_deref()
            .map_or_else(system_roots, |pem| parse_roots(pem).map_err(|what| format!("tls.ca {what}")));
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots?);
        let Some((cert, key)) = &self.identity else { return Ok(Arc::new(builder.with_no_client_auth())) };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(cert).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or("tls.cert contains no certificate in PEM")?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| "tls.key contains no private key in PEM")?;
        let config = builder.with_client_auth_cert(chain, key);
        config.map(Arc::new).map_err(|error| format!("tls.cert and tls.key do not fit: {error}"))
    }
}

impl fmt::Debug for TokenTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
