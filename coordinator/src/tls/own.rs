//! The certificate of this process, with its key.

use super::{lifetime::Lifetime, pem::File};
use rustls::{
    Error, InconsistentKeys,
    crypto::ring::default_provider,
    pki_types::UnixTime,
    sign::{CertifiedKey, SingleCertAndKey},
};
use std::sync::Arc;

/// A certificate with its key.
pub(super) struct OwnCertificate {
    pub(super) key: CertifiedKey,
    pub(super) lifetime: Lifetime,
}

impl OwnCertificate {
    /// Reads a certificate and its key, which belong together.
    pub(super) fn read(certificate: File<'_>, key: File<'_>, now: UnixTime) -> Result<Self, String> {
        let chain = certificate.chain()?;
        let lifetime = chain.first().and_then(Lifetime::of).ok_or_else(|| certificate.bad("is no certificate"))?;
        if lifetime.left(now).is_none() {
            return Err(certificate.bad("has expired: give it one that is valid now"));
        }
        let key = CertifiedKey::from_der(chain, key.key()?, &default_provider()).map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                key.bad(format!("is not the key of the certificate in {}", certificate.flag))
            }
            error => key.bad(error),
        })?;
        Ok(Self { key, lifetime })
    }

    /// What shows it on connections.
    pub(super) fn resolver(self) -> Arc<SingleCertAndKey> {
        Arc::new(SingleCertAndKey::from(self.key))
    }
}
