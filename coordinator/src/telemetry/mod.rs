//! Metrics and log lines.

pub mod group_metrics;
mod labelled;
pub(crate) mod limits;
pub mod log;
pub mod metrics;
pub mod namespaces;
mod register;
pub mod request_metrics;
mod slowest_peer;
#[cfg(test)]
mod tests;
