//! The life of a request: arrival, lookup at a peer, response, reply.

pub mod arrival;
mod cached_request;
pub mod callout;
pub mod context;
pub mod exchange;
pub mod fan_out;
pub mod fill;
pub mod fill_copy;
pub mod hot_reply;
pub mod invalidation;
pub mod observe;
pub mod pass;
pub mod repeats;
pub mod reply;
pub mod response;
pub mod sample;
pub mod stale_fallback;
pub mod step;
