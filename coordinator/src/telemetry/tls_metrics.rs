//! Metrics of TLS: handshakes that failed, and how long certificates are good.

use crate::telemetry::register::{counters, gauges};
use prometheus::{IntCounterVec, IntGaugeVec, Registry};

/// The metrics of TLS.
pub(crate) struct TlsMetrics {
    handshakes_failed: IntCounterVec,
    expiry: IntGaugeVec,
    due: IntGaugeVec,
}

impl TlsMetrics {
    pub(super) fn new(to: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            handshakes_failed: counters(
                to,
                "meshcache_tls_handshakes_failed_total",
                "Connections that were closed before their first request, by port and reason.",
                &["port", "reason"],
            )?,
            expiry: gauges(
                to,
                "meshcache_certificate_expiry_timestamp_seconds",
                "When a certificate of this coordinator expires, seconds since 1970.",
                &["certificate"],
            )?,
            due: gauges(
                to,
                "meshcache_certificate_due",
                "1 where a certificate of this coordinator should have been replaced, else 0.",
                &["certificate"],
            )?,
        })
    }

    /// Counts handshakes that failed.
    pub(crate) fn count_failed(&self, port: &str, reason: &str, n: u64) {
        self.handshakes_failed.with_label_values(&[port, reason]).inc_by(n);
    }

    /// Sets when a certificate expires, and whether that is soon. `certificate`: `tls` or `peer`.
    pub(crate) fn set_expiry(&self, certificate: &str, ends: u64, is_due: bool) {
        self.expiry.with_label_values(&[certificate]).set(i64::try_from(ends).unwrap_or(i64::MAX));
        self.due.with_label_values(&[certificate]).set(is_due.into());
    }
}
