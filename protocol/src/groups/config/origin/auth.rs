//! Tokens that an origin gets with each request.

use super::OAuth2;
use serde::{Deserialize, Serialize};

/// How tokens are had.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
pub struct OriginAuth {
    /// From an OAuth 2.0 token server, by client credentials (RFC 6749 section 4.4).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oauth2: Option<OAuth2>,
}

impl OriginAuth {
    /// Whether there are none.
    pub fn is_none(&self) -> bool {
        self.oauth2.is_none()
    }
}
