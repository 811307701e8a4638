//! The life of a request: lookup, question to a peer, response, reply.

pub mod callout;
pub mod exchange;
pub mod fan_out;
pub mod invalidation;
pub mod observe;
pub mod reply;
pub mod response;
pub mod stale_fallback;
