//! TLS to the admin port.

use crate::failed::{Failed, NoAnswer};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, pem::PemObject},
};
use std::{path::Path, sync::Arc};

/// Returns what a client trusts: the authorities of a file, or the system's.
pub(super) fn trusting(ca: Option<&Path>) -> Result<Arc<ClientConfig>, Failed> {
    let mut roots = RootCertStore::empty();
    match ca {
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Some(path) => {
            let wrong = |why: &dyn std::fmt::Display| Failed::Flags(format!("--ca: {}: {why}", path.display()));
            let pem = std::fs::read(path).map_err(|error| wrong(&error))?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                roots.add(certificate.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))?;
            }
            if roots.is_empty() {
                return Err(wrong(&"has no certificate (PEM)"));
            }
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(NoAnswer::new)?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}
