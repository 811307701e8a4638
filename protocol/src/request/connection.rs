//! The fields of one connection, and meshcache's own.

/// The prefix of meshcache's own header fields.
pub const PREFIX: &str = "meshcache-";

/// Header fields of one connection, in requests and responses (RFC 9110 section 7.6.1), besides those that Connection
/// names.
pub const HOP_BY_HOP: [&[u8]; 9] = [
    b"connection",
    b"keep-alive",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
];

/// Whether a field is of one connection by itself.
pub fn is_hop_by_hop(name: &[u8]) -> bool {
    HOP_BY_HOP.contains(&name) || name == b"proxy-authentication-info"
}
