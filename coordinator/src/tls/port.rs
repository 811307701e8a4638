//! TLS of the ports for clients: data and admin.

use super::{lifetime::Lifetime, own::OwnCertificate, pem::File};
use rustls::{
    ServerConfig,
    crypto::ring::default_provider,
    pki_types::UnixTime,
    server::{NoServerSessionStorage, WebPkiClientVerifier},
};
use std::sync::Arc;

/// What clients are shown, and whom the data port believes.
#[derive(Clone)]
pub struct PortTls {
    /// For the data port: clients may show a certificate, where there are authorities for them.
    pub data: Arc<ServerConfig>,
    /// For the admin port.
    pub admin: Arc<ServerConfig>,
    /// That of the certificate.
    pub lifetime: Lifetime,
}

impl PortTls {
    /// Reads the files of `--tls-cert`, `--tls-key` and `--tls-client-ca`.
    pub fn read(
        certificate: File<'_>,
        key: File<'_>,
        client_ca: Option<File<'_>>,
        now: UnixTime,
    ) -> Result<Self, String> {
        let own = OwnCertificate::read(certificate, key, now)?;
        let (lifetime, resolver, provider) = (own.lifetime, own.resolver(), Arc::new(default_provider()));
        // TLS 1.2 as well: Envoy's clusters offer no later version unless they are told to.
        let builder = || {
            ServerConfig::builder_with_provider(provider.clone())
                .with_safe_default_protocol_versions()
                .map_err(|error| certificate.bad(error))
        };
        let alpn = || vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut admin = builder()?.with_no_client_auth().with_cert_resolver(resolver.clone());
        admin.alpn_protocols = alpn();
        let admin = Arc::new(admin);
        let Some(ca) = client_ca else { return Ok(Self { data: admin.clone(), admin, lifetime }) };
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(ca.roots()?), provider.clone())
            .allow_unauthenticated()
            .build()
            .map_err(|error| ca.bad(error))?;
        let mut data = builder()?.with_client_cert_verifier(verifier).with_cert_resolver(resolver);
        data.alpn_protocols = alpn();
        // A session that is resumed would not be verified again.
        data.session_storage = Arc::new(NoServerSessionStorage {});
        data.send_tls13_tickets = 0;
        Ok(Self { data: Arc::new(data), admin, lifetime })
    }
}
