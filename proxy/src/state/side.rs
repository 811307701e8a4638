//! The side of a proxy that a request comes in on.

use serde::Deserialize;

/// The side of a proxy. Hot entries and lookups of the two sides are separate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Side {
    /// Requests of others to the application beside the proxy.
    Inbound,
    /// Requests to other services; a gateway's too.
    Outbound,
}
