//! The filter: what runs in every Envoy proxy, once in each worker thread.
//!
//! Begin with `exchange` and `answered`: one request through the proxy. Everything that talks to Envoy is in `host`,
//! `root`, `stream` and `rescue`, which exist only in the Wasm build; all else is pure and is tested natively.
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

pub mod answer;
pub mod answered;
pub mod attention;
pub mod config;
pub mod counts;
pub mod delivery;
pub mod exchange;
pub mod feed;
pub mod gauges;
pub mod head;
pub mod hot;
pub mod invalidate;
pub mod known;
pub mod message;
pub mod pairs;
pub mod passes;
pub mod peers;
pub mod purge;
pub mod questions;
pub mod reply;
pub mod samples;
pub mod shared;
pub mod site;
pub mod sketch;
pub mod spare;
pub mod watch;
pub mod worker;

#[cfg(target_family = "wasm")]
mod host;
#[cfg(target_family = "wasm")]
mod local;
#[cfg(target_family = "wasm")]
mod rescue;
#[cfg(target_family = "wasm")]
mod root;
#[cfg(target_family = "wasm")]
mod stream;
