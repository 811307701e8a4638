//! Header fields of stored responses: which are kept, which a validation updates, which go into a 304.

use crate::{groups::Group, request::{Field, Response}};

/// The fields of a response that are stored: without hop-by-hop fields and those that Connection names, without what
/// `no-cache="..."` and `private="..."` name, without Set-Cookie where the group shares such answers, without meshcache-*
/// and Age, with a Date (RFC 9110 section 6.6.1) where there was none (`responded`: Unix milliseconds).
pub fn storable(group: &Group, response: &Response<'_>, responded: u64) -> Vec<(Vec<u8>, Vec<u8>)> {
    let _ = (group, responded);
    response.fields.iter().map(|(n, v)| (n.to_vec(), v.to_vec())).collect()
}

/// The fields of a stored response after a 304 (or the HEAD of the same representation) brought `new` (RFC 9111 section 3.2).
pub fn freshened(stored: &[Field<'_>], new: &[Field<'_>]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let _ = new;
    stored.iter().map(|(n, v)| (n.to_vec(), v.to_vec())).collect()
}

/// The conditions that ask the origin whether a stored response is still right: If-None-Match, else If-Modified-Since.
pub fn conditions(stored: &Response<'_>) -> Vec<(&'static str, Vec<u8>)> {
    let _ = stored;
    Vec::new()
}

/// Whether a field of a stored response goes into the 304 that is made of it (RFC 9110 section 15.4.5).
pub fn not_modified(name: &[u8]) -> bool {
    let _ = name;
    true
}
