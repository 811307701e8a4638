//! TLS to an origin.

use serde::{Deserialize, Serialize};

/// What a connection to an `https` origin proves and accepts. Files are PEM, and are read again on change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
pub struct OriginTls {
    /// A file of certificate authorities. Default: the system's.
    ///
    /// Example: `/etc/meshcache/ca/ca.crt`. Change it when the certificate is of an authority of your own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// A file of the client certificate, with the certificates between it and its authority.
    ///
    /// Example: `/etc/meshcache/client/tls.crt`. Change it when the server asks for a client certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<String>,
    /// The file of its key.
    ///
    /// Example: `/etc/meshcache/client/tls.key`. Change it when `cert` is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The name in the origin's certificate. Default: the host of the URL.
    ///
    /// Example: `prices.internal`. Change it when the certificate has another name than the URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
}

impl OriginTls {
    pub(in crate::groups) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
