//! Digests of configurations.

use crate::hash::Hash;

/// Returns a digest of a configuration's JSON, whose fields have a fixed order.
pub(super) fn digest(config: &impl serde::Serialize) -> String {
    // A configuration of strings, numbers and lists always serialises.
    let json = serde_json::to_vec(config).unwrap_or_default();
    format!("{:016x}", Hash::of(&json).low())
}
