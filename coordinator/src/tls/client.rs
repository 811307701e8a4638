//! TLS of a client that shows no certificate.

use super::pem::File;
use rustls::{ClientConfig, RootCertStore, crypto::ring::default_provider};
use std::sync::Arc;

/// Returns the configuration of a client. `ca`: the authorities that it trusts; `None`: the system's.
pub fn client(ca: Option<File<'_>>) -> Result<Arc<ClientConfig>, String> {
    let roots = match ca {
        Some(ca) => ca.roots()?,
        None => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            roots
        }
    };
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}
