//! Whether proxies serve a group whose origin gets credentials.

use serde::{Deserialize, Serialize};

/// What proxies do for a group whose origin gets credentials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum OriginProxies {
    /// They do not serve it: what passes there would go without the credentials.
    #[default]
    None,
    /// They serve it, and Envoy adds the same credentials to what passes.
    Inject,
}

impl OriginProxies {
    /// Whether they do not serve it.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}
