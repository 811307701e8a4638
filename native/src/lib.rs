//! The filter as a dynamic module: [`meshcache_proxy`] inside Envoy, without a virtual machine.
//!
//! Envoy calls the hooks of `exports`, each on the thread that it concerns: a request's on its worker, a
//! configuration's on the main thread. All threads share one `process` for each cluster of coordinators: its driver is
//! behind a lock, under which nothing is called but pure code. What the driver wants done is recorded (`recorder`) and
//! carried out after the lock: for the stream whose hook runs at once, for other streams on their own workers (`wake`).
//! `envoy` wraps what `abi` binds; `unsafe` is in these two and in `exports`.
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

mod abi;
pub mod call;
mod clock;
mod envoy;
mod exports;
mod facts;
mod listener;
mod metrics;
mod panics;
mod process;
mod recent;
mod recorder;
mod reply;
pub mod rest;
mod stream;
mod wake;
