//! HTTP messages as a proxy reads and writes them.

use std::borrow::Cow;

/// The names and values of a callout.
pub type Headers<'q> = Vec<(&'q str, Cow<'q, str>)>;

pub mod cached_headers;
pub mod decimal;
pub mod head;
pub mod header_map;
pub mod peer_response;
