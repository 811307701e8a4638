//! The filter: [`meshcache_proxy`] in Envoy, as a Proxy-Wasm module.
//!
//! Envoy runs the module in each of its worker threads. There, each configuration is a root context (`root`) and each
//! request a stream context (`stream`), which `exports` finds. The thread's state (`worker_state`) has one driver for all listeners with the
//! same coordinators, and is the driver's host; `host` has Envoy's functions, `memory` what they
//! write into. `trap` replies to paused requests before
//! the module traps. All of it exists only in the Wasm build; natively the crate is empty.
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
mod exports;
#[cfg(target_family = "wasm")]
mod facts;
#[cfg(target_family = "wasm")]
mod filling;
#[cfg(target_family = "wasm")]
mod host;
#[cfg(target_family = "wasm")]
mod memory;
#[cfg(target_family = "wasm")]
mod root;
#[cfg(target_family = "wasm")]
mod stream;
#[cfg(target_family = "wasm")]
mod trap;
#[cfg(target_family = "wasm")]
mod worker_state;
