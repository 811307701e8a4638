//! meshcache's coordinator: the service that owns a share of the mesh's keys.
//!
//! [`cache`] is the way of a request; [`server`] has the ports, and [`coordinator`] wires all parts.
#![forbid(unsafe_code)]

mod bounded_lru;
pub mod cache;
mod clock;
pub mod cluster;
pub mod config;
pub mod consistency;
pub mod coordinator;
pub mod feed;
pub mod http;
mod jitter;
pub mod kube;
pub mod kubecache;
mod origin;
pub mod purge;
mod reload;
pub mod server;
pub mod settings;
#[cfg(test)]
mod simulation;
pub mod store;
pub mod telemetry;
