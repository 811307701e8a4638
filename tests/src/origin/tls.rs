//! A certificate for `localhost` from an authority that only the tests trust.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring::default_provider, pki_types::PrivateKeyDer},
};

/// The certificate and the acceptor of an https origin.
pub(super) struct Certified {
    /// The authority's certificate in PEM, for clients.
    pub(super) authority: String,
    /// Accepts the origin's connections.
    pub(super) acceptor: TlsAcceptor,
}

impl Certified {
    /// An authority of its own, and a certificate for `localhost` by it.
    pub(super) fn localhost() -> Certified {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        // With one name for both, the origin's certificate would pass for one that signed itself.
        authority.distinguished_name.push(DnType::CommonName, "authority of the tests");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let localhost = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = localhost.signed_by(&key, &authority).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut config = config.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Certified { authority: authority.pem(), acceptor: TlsAcceptor::from(Arc::new(config)) }
    }
}
