//! PEM files: certificates, keys, authorities.

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::fmt::Display;

/// Returns the certificates of a file. The error says what may be wrong, and not what the file has: the parser's own
/// may quote a line, and that may be a key.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    all.map_err(|_| "a line, an end or the base64 of a section is wrong")
}

/// A file that was read.
#[derive(Clone, Copy)]
pub struct File<'a> {
    /// The flag that names it.
    pub flag: &'static str,
    /// What it has.
    pub content: &'a [u8],
}

impl File<'_> {
    /// Returns what is wrong with it, in one line that names the flag.
    pub(super) fn bad(&self, what: impl Display) -> String {
        format!("{}: {what}", self.flag)
    }

    /// Returns the certificates, that of this process first.
    pub(super) fn chain(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        let chain = certificates(self.content).map_err(|what| self.bad(format!("is not PEM: {what}")))?;
        if chain.is_empty() { Err(self.bad("has no certificate (-----BEGIN CERTIFICATE-----)")) } else { Ok(chain) }
    }

    /// Returns the private key.
    pub(super) fn key(&self) -> Result<PrivateKeyDer<'static>, String> {
        // The error says nothing of what the file has.
        PrivateKeyDer::from_pem_slice(self.content)
            .map_err(|_| self.bad("has no private key in PEM, unencrypted (-----BEGIN PRIVATE KEY-----)"))
    }

    /// Returns the authorities.
    pub(super) fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        for authority in self.chain()? {
            roots
                .add(authority)
                .map_err(|error| self.bad(format!("has a certificate that is no authority: {error}")))?;
        }
        Ok(roots)
    }
}
