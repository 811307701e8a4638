//! meshcache's coordinator: the service that owns a share of the mesh's keys.
//!
//! [`cache`] is the way of a request; [`server`] has the ports, and [`coordinator`] wires all parts.
#![forbid(unsafe_code)]
// The library uses a part of it.
#![cfg_attr(not(feature = "program"), allow(dead_code, unused_imports))]

mod bounded_lru;
pub mod cache;
#[cfg(feature = "program")]
mod certificates;
mod clock;
pub mod cluster;
#[cfg(feature = "program")]
pub mod config;
/// The parts of the configuration that the library needs.
#[cfg(not(feature = "program"))]
pub mod config {
    pub mod peers_flag;
    pub mod regular_file;
    pub mod secret;
    pub mod tokens;
    pub mod watched_file;
}
pub mod consistency;
#[cfg(feature = "program")]
pub mod coordinator;
mod departure;
pub mod embedded;
pub mod feed;
pub mod http;
#[cfg(feature = "program")]
pub mod inquiry;
mod jitter;
#[cfg(feature = "program")]
pub mod kube;
#[cfg(feature = "program")]
pub mod kubecache;
mod origin;
#[cfg(feature = "program")]
pub mod program;
pub mod purge;
#[cfg(feature = "program")]
mod reload;
pub mod server;
pub mod settings;
#[cfg(test)]
mod simulation;
pub mod store;
pub mod telemetry;
pub mod tls;
