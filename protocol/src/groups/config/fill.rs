//! Who loads what a group has not stored.

use serde::{Deserialize, Serialize};

/// Who loads what is not stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Fill {
    /// The coordinator, from `origin.url`.
    #[default]
    Origin,
    /// A proxy that asks: it sends the request its ordinary way, and its owner a copy of the response. Coordinators never
    /// ask the origin.
    Proxy,
}
