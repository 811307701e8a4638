//! Metrics and log lines.

#[cfg(feature = "program")]
pub mod access_log;
mod cache_metrics;
pub(crate) mod client_requests;
pub mod group_metrics;
mod labelled;
pub(crate) mod limits;
#[cfg(feature = "program")]
pub mod log;
pub mod member_metrics;
pub mod metrics;
pub mod namespaces;
pub(crate) mod noted;
pub(crate) mod rare;
#[cfg(feature = "program")]
pub(crate) mod readings;
mod register;
pub(crate) mod request_end;
pub mod request_metrics;
pub(crate) mod request_seconds;
mod slowest_peer;
mod span_metrics;
#[cfg(test)]
mod tests;
mod tls_metrics;
mod token_metrics;
pub(crate) mod trace;
#[cfg(feature = "program")]
pub mod traces;
