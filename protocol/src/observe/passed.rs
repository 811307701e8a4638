//! A response that passes, and how what is in it is hashed.

use crate::{
    freshness::Times,
    groups::Group,
    hash::Hash,
    key::Key,
    request::{Request, Response},
};
use xxhash_rust::xxh3::Xxh3;

/// A response that passes in a group with `mode: observe`, and its request.
#[derive(Clone, Copy)]
pub struct PassedResponse<'a> {
    /// The group.
    pub group: &'a Group,
    /// The request's key.
    pub key: &'a Key,
    /// The request.
    pub request: &'a Request<'a>,
    /// Whether a proxy verified a token of the request.
    pub verified: bool,
    /// The response's head.
    pub response: &'a Response<'a>,
    /// When it was requested and when it arrived.
    pub times: Times,
    /// The route that the proxy chose.
    pub route: Option<&'a str>,
    /// Whether a coordinator loaded it, to be compared with what the proxy's route brings.
    pub by_coordinator: bool,
}

/// Hashes values with their lengths, so that no two lists are equal by concatenation.
pub(super) fn digest_of(key: u64, values: &mut dyn Iterator<Item = &[u8]>) -> Hash {
    let mut hasher = Xxh3::new();
    hasher.update(&key.to_le_bytes());
    for value in values {
        hasher.update(&(value.len() as u64).to_le_bytes());
        hasher.update(value);
    }
    Hash(hasher.digest128())
}
