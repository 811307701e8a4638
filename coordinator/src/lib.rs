//! meshcache's coordinator: the service that owns a share of the mesh's keys.
//!
//! [`cache`] tells the story of one request; [`http`] is what reaches it from outside.
#![forbid(unsafe_code)]

pub mod body;
pub mod cache;
pub mod metrics;
mod answer;
mod asked;
mod clock;
mod collect;
mod flight;
mod head;
mod hop;
mod load;
mod named;
mod origin;
mod part;
mod passes;
mod peers;
mod served;
mod store;
mod through;
pub mod config;
pub mod coordinator;
pub mod discovery;
pub mod feed;
pub mod http;
pub mod log;
pub mod probe;
pub mod purge;
pub mod token;
mod reload;
