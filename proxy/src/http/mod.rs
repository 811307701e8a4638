//! HTTP messages as a proxy reads and writes them.

pub mod cached_headers;
pub mod head;
pub mod header_map;
pub mod peer_response;
