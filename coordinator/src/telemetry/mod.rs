//! Metrics and log lines.

pub mod group_metrics;
pub(crate) mod limits;
pub mod log;
pub mod metrics;
