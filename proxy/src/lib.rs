//! What a proxy does with a request, independent of the host that it runs in. Pure: no host calls, no clock, no globals.
//!
//! Begin with `request::exchange` and `request::response`: one request through the proxy.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

pub mod config;
pub mod driver;
pub mod feed;
pub mod host;
pub mod http;
pub mod request;
pub mod state;
pub mod stream;
