//! Metrics and log lines.

mod cache_metrics;
pub mod group_metrics;
mod labelled;
pub(crate) mod limits;
#[cfg(feature = "program")]
pub mod log;
pub mod metrics;
pub mod namespaces;
mod register;
pub mod request_metrics;
mod slowest_peer;
#[cfg(test)]
mod tests;
mod token_metrics;
