//! Files as operators write them, good and bad.

#[path = "../../../tests/src/certificates.rs"]
#[allow(dead_code, unreachable_pub)]
mod certificates;

pub(crate) use certificates::{Authority, Issued};

use super::*;
use rustls::pki_types::{CertificateDer, UnixTime, pem::PemObject};

impl Issued {
    pub(crate) fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()
    }
}

fn file<'a>(flag: &'static str, content: &'a str) -> File<'a> {
    File { flag, content: content.as_bytes() }
}

fn peer(pair: &Issued, ca: &str) -> Result<PeerTls, String> {
    let (certificate, key, ca) =
        (file("--peer-cert", &pair.certificate), file("--peer-key", &pair.key), file("--peer-ca", ca));
    PeerTls::read(certificate, key, ca, "peer-0", UnixTime::now())
}

fn port(pair: &Issued, client_ca: Option<&str>) -> Result<PortTls, String> {
    let (certificate, key) = (file("--tls-cert", &pair.certificate), file("--tls-key", &pair.key));
    PortTls::read(certificate, key, client_ca.map(|ca| file("--tls-client-ca", ca)), UnixTime::now())
}

#[test]
fn a_file_that_cannot_work_is_named_with_what_to_write() {
    let (authority, other) = (Authority::new(), Authority::new());
    let ca = authority.pem();
    let good = authority.issue(&["peer-0"]);
    assert!(peer(&good, &ca).is_ok() && port(&good, None).is_ok() && port(&good, Some(&ca)).is_ok());
    let with = |certificate: &str, key: &str| Issued { certificate: certificate.into(), key: key.into() };
    let half = &good.certificate[..good.certificate.len() / 2];
    let in_one_line = good.key.replace('\n', " ");
    for (pair, expected) in [
        (with("", &good.key), "--tls-cert: has no certificate (-----BEGIN CERTIFICATE-----)"),
        (with(half, &good.key), "--tls-cert: is not PEM: "),
        (with(&in_one_line, &good.key), "--tls-cert: is not PEM: "),
        (with(&good.certificate, ""), "--tls-key: has no private key in PEM, unencrypted"),
        (with(&good.certificate, &good.certificate), "--tls-key: has no private key in PEM"),
        (
            with(&good.certificate, &other.issue(&["peer-0"]).key),
            "--tls-key: is not the key of the certificate in --tls-cert",
        ),
        (authority.issue_expired(&["peer-0"]), "--tls-cert: has expired: give it one that is valid now"),
    ] {
        let said = port(&pair, None).err().unwrap();
        assert!(said.starts_with(expected) && !said.contains("45, 45"), "no bytes of the file: {said}");
        let said = peer(&pair, &ca).err().unwrap();
        assert!(said.starts_with(&expected.replace("tls", "peer")), "{said}");
    }
    for (pair, expected) in [
        (
            authority.issue(&["peer-1"]),
            "--peer-cert: has no name `peer-0`: write the --name of this coordinator as its DNS name",
        ),
        (authority.issue_for_servers(&["peer-0"]), "--peer-cert: lacks the extended key usage clientAuth"),
    ] {
        assert!(peer(&pair, &ca).err().unwrap().starts_with(expected), "{expected}");
    }
    // Both authorities have one name: that alone must not do.
    let said = peer(&other.issue(&["peer-0"]), &ca).err().unwrap();
    assert!(said.starts_with("--peer-cert: is of no authority in --peer-ca"), "{said}");
    for (no_ca, expected) in [("", "has no certificate"), ("-----BEGIN CERTIFICATE-----\n", "is not PEM")] {
        assert!(peer(&good, no_ca).err().unwrap().starts_with(&format!("--peer-ca: {expected}")));
        let said = port(&good, Some(no_ca)).err().unwrap();
        assert!(said.starts_with(&format!("--tls-client-ca: {expected}")), "{said}");
    }
}
