//! HTTP messages as the proxy reads and writes them.

pub mod head;
pub mod header_map;
pub mod peer_response;
