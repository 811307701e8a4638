//! Metrics and log lines.

pub mod group_metrics;
mod labelled;
pub(crate) mod limits;
#[cfg(feature = "program")]
pub mod log;
pub mod metrics;
mod register;
#[cfg(test)]
mod tests;
