//! Metrics and log lines.

pub mod group_metrics;
mod labelled;
pub(crate) mod limits;
pub mod log;
pub mod metrics;
mod register;
mod slowest_peer;
#[cfg(test)]
mod tests;
