//! TLS of clients.

use super::pem::File;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, client::WantsClientCert, crypto::ring::default_provider};
use std::sync::Arc;

/// Returns the system's authorities; none where it has none, as in an image.
pub fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// Returns the configuration of a client that trusts these authorities.
pub fn trusting(roots: RootCertStore) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, String> {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(roots))
}

/// Returns the configuration of a client that shows no certificate. `ca`: the authorities that it trusts; `None`: the
/// system's.
pub fn client(ca: Option<File<'_>>) -> Result<Arc<ClientConfig>, String> {
    let roots = ca.map_or_else(|| Ok(system_roots()), |ca| ca.roots())?;
    Ok(Arc::new(trusting(roots)?.with_no_client_auth()))
}
