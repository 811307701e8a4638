//! meshcache's coordinator: the service that owns a share of the mesh's keys.
//!
//! [`cache`] tells the story of one request; [`http`] is what reaches it from outside.
#![forbid(unsafe_code)]

mod answer;
mod aside;
mod asked;
pub mod body;
pub mod cache;
mod candidates;
mod carried;
mod chance;
mod clock;
mod collect;
pub mod config;
pub mod coordinator;
pub mod discovery;
pub mod feed;
mod flight;
mod fly;
mod former;
mod handover;
mod head;
mod held;
mod history;
mod hop;
pub mod http;
mod invalidate;
mod landed;
mod lease;
mod limit;
mod load;
pub mod log;
mod marker;
pub mod metrics;
mod named;
mod observe;
mod origin;
mod part;
mod passes;
mod peek;
mod peers;
pub mod probe;
pub mod purge;
mod recent;
mod reload;
mod report;
mod ring;
mod room;
mod served;
pub mod settings;
#[cfg(test)]
mod simulation;
mod store;
mod sure;
mod sweep;
mod through;
pub mod token;
mod words;
