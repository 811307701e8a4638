//! Mutual TLS between coordinators, each by its name in the ring.

use super::{Certificate, lifetime::Lifetime, own::OwnCertificate, pem::File};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{CryptoProvider, ring::default_provider},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier},
    version::TLS13,
};
use std::sync::Arc;
use webpki::{EndEntityCert, KeyUsage};

/// What coordinators show each other, and whom they believe.
#[derive(Clone)]
pub struct PeerTls {
    /// For the peer port: whoever calls has a certificate of the authorities.
    pub server: Arc<ServerConfig>,
    /// For calls to a peer that is known: it proves its name.
    named: Arc<ClientConfig>,
    /// For calls to an address: whoever answers has a certificate of the authorities.
    unnamed: Arc<ClientConfig>,
    /// That of the certificate.
    pub lifetime: Lifetime,
}

impl PeerTls {
    /// Reads the files of `--peer-cert`, `--peer-key` and `--peer-ca`. `me`: this peer's name, which its own certificate
    /// must prove.
    pub fn read(certificate: File<'_>, key: File<'_>, ca: File<'_>, me: &str, now: UnixTime) -> Result<Self, String> {
        let own = OwnCertificate::read(certificate, key, now)?;
        let roots = Arc::new(ca.roots()?);
        check_own(certificate, ca, &own, &roots, me, now)?;
        let (lifetime, resolver, provider) = (own.lifetime, own.resolver(), Arc::new(default_provider()));
        let bad = |error: Error| certificate.bad(error);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone()).build();
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(bad)?
            .with_client_cert_verifier(verifier.map_err(|error| ca.bad(error))?)
            .with_cert_resolver(resolver.clone());
        // A session that is resumed would not be verified again.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        let by_name = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone()).build();
        let by_name: Arc<dyn ServerCertVerifier> = by_name.map_err(|error| ca.bad(error))?;
        let client = |verifier| {
            let mut client = ClientConfig::builder_with_provider(provider.clone())
                .with_protocol_versions(&[&TLS13])
                .map_err(bad)?
                .dangerous()
                .with_custom_certificate_verifier(verifier)
                .with_client_cert_resolver(resolver.clone());
            client.resumption = Resumption::disabled();
            Ok::<_, String>(client)
        };
        let mut unnamed = client(Arc::new(AnyName { roots, provider: provider.clone() }))?;
        unnamed.enable_sni = false;
        let named = client(by_name)?;
        Ok(Self { server: Arc::new(server), named: Arc::new(named), unnamed: Arc::new(unnamed), lifetime })
    }

    /// Returns how to connect to a peer. `name`: what it has to prove; `None`: its name is not known yet. Returns `None`
    /// for what is no name.
    pub fn client(&self, name: Option<&str>) -> Option<(Arc<ClientConfig>, ServerName<'static>)> {
        Some(match name {
            Some(name) => (self.named.clone(), ServerName::try_from(name.to_owned()).ok()?),
            None => (self.unnamed.clone(), ServerName::try_from("unnamed.invalid").ok()?),
        })
    }
}

/// Checks that peers with the same authorities will believe this certificate.
fn check_own(
    certificate: File<'_>,
    ca: File<'_>,
    own: &OwnCertificate,
    roots: &RootCertStore,
    me: &str,
    now: UnixTime,
) -> Result<(), String> {
    let Some((first, between)) = own.key.cert.split_first() else { return Err(certificate.bad("has no certificate")) };
    if !Certificate::new(first).proves(me) {
        return Err(
            certificate.bad(format!("has no name `{me}`: write the --name of this coordinator as its DNS name"))
        );
    }
    let parsed = EndEntityCert::try_from(first).map_err(|error| certificate.bad(error))?;
    let algorithms = default_provider().signature_verification_algorithms.all;
    for (usage, word) in [(KeyUsage::server_auth(), "serverAuth"), (KeyUsage::client_auth(), "clientAuth")] {
        parsed.verify_for_usage(algorithms, &roots.roots, between, now, usage, None, None).map_err(
            |error| match error {
                // The second: there is one of that name, with another key.
                webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => {
                    certificate.bad(format!("is of no authority in {}", ca.flag))
                }
                webpki::Error::RequiredEkuNotFoundContext(_) => {
                    certificate.bad(format!("lacks the extended key usage {word}: peers call and are called with it"))
                }
                error => certificate.bad(format!("will not be accepted by peers: {error}")),
            },
        )?;
    }
    Ok(())
}

/// Verifies all of a certificate but its name, which the caller learns and checks.
#[derive(Debug)]
struct AnyName {
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, intermediates, now, algorithms)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // Peers speak TLS 1.3 alone.
        Err(Error::InvalidCertificate(CertificateError::BadSignature))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
