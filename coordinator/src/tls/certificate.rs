//! The certificate with which the other side of a connection has proved itself.

use rustls::pki_types::{CertificateDer, ServerName};
use std::sync::Arc;
use webpki::EndEntityCert;

/// What a connection is, where it is TLS. It comes with a request, and with a peer's response.
#[derive(Clone, Debug)]
pub struct TlsSession(Option<Arc<Certificate>>);

impl TlsSession {
    /// A session with one that has shown this certificate, which is verified.
    pub fn new(certificate: Option<&CertificateDer<'_>>) -> Self {
        Self(certificate.map(|certificate| Arc::new(Certificate::new(certificate))))
    }

    /// Whether the other side has proved a name.
    pub fn proves(&self, name: &str) -> bool {
        self.certificate().is_some_and(|certificate| certificate.proves(name))
    }

    /// Returns the other side's certificate.
    pub fn certificate(&self) -> Option<&Certificate> {
        self.0.as_deref()
    }
}

/// A certificate that was verified.
#[derive(Clone, Debug)]
pub struct Certificate {
    der: CertificateDer<'static>,
    identities: Vec<String>,
}

impl Certificate {
    /// Keeps a certificate. `certificate`: one whose chain was verified, else its names say nothing.
    pub fn new(certificate: &CertificateDer<'_>) -> Self {
        Self { identities: identities(certificate), der: certificate.clone().into_owned() }
    }

    /// Whether it has a name, as a peer's certificate has the peer's own.
    pub fn proves(&self, name: &str) -> bool {
        ServerName::try_from(name).is_ok_and(|name| {
            EndEntityCert::try_from(&self.der)
                .is_ok_and(|certificate| certificate.verify_is_valid_for_subject_name(&name).is_ok())
        })
    }

    /// Returns the identities that it gives a caller, as `callers` of a group name them: its SPIFFE id, else `dns:NAME`
    /// for each of its DNS names. With two URIs it is no SPIFFE certificate (X.509-SVID section 2), and gives none.
    pub fn identities(&self) -> &[String] {
        &self.identities
    }
}

fn identities(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(certificate) = EndEntityCert::try_from(certificate) else { return Vec::new() };
    let mut uris = certificate.valid_uri_names();
    match (uris.next(), uris.next()) {
        (Some(uri), None) if uri.starts_with("spiffe://") => vec![uri.to_owned()],
        (Some(_), _) => Vec::new(),
        // A wildcard is the name of no caller.
        (None, _) => certificate
            .valid_dns_names()
            .filter(|name| !name.starts_with('*'))
            .map(|name| format!("dns:{}", name.to_ascii_lowercase()))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::tests::Authority;

    #[test]
    fn a_spiffe_id_comes_before_dns_names_and_two_uris_are_no_identity() {
        let authority = Authority::new();
        let of = |names: &[&str]| Certificate::new(&authority.issue(names).der()).identities().to_vec();
        assert_eq!(of(&["spiffe://d/ns/n/sa/web", "web.test"]), ["spiffe://d/ns/n/sa/web"]);
        assert_eq!(of(&["Web.test", "*.shop.test", "10.0.0.1", "b.test"]), ["dns:web.test", "dns:b.test"]);
        for none in [&["spiffe://d/a", "spiffe://d/b"][..], &["https://d/a", "web.test"], &["10.0.0.1"], &[]] {
            assert_eq!(of(none), [""; 0], "{none:?}");
        }
    }

    #[test]
    fn a_certificate_proves_its_names_alone() {
        let certificate = Certificate::new(&Authority::new().issue(&["peer-0", "*.peers.test", "10.0.0.1"]).der());
        for proven in ["peer-0", "PEER-0", "a.peers.test", "10.0.0.1"] {
            assert!(certificate.proves(proven), "{proven}");
        }
        for other in ["peer-1", "peers.test", "a.b.peers.test", "10.0.0.2", "", "pe er"] {
            assert!(!certificate.proves(other), "{other}");
        }
    }
}
