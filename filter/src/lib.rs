//! The filter: `meshcache_proxy` in Envoy, as a Proxy-Wasm module, once in each worker thread.
//!
//! `root` is one listener's configuration, `stream` one request, `host` Envoy's functions, `trap` what happens before the
//! module traps. All of it exists only in the Wasm build.
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

#[cfg(target_family = "wasm")]
mod host;
#[cfg(target_family = "wasm")]
mod root;
#[cfg(target_family = "wasm")]
mod stream;
#[cfg(target_family = "wasm")]
mod trap;
#[cfg(target_family = "wasm")]
mod worker_state;
