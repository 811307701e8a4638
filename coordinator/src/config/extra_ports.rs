//! Listeners beside the four ports, for the probes and the scrapes of kubecache's users.

use crate::telemetry::namespaces::Namespaces;
use std::{fmt, net::SocketAddr};

/// The listeners; by default there are none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExtraPorts {
    /// Answers 200 from the first moment to the last.
    pub health: Option<ExtraPort>,
    /// The metrics.
    pub metrics: Option<MetricsPort>,
}

/// A listener for one path.
#[derive(Clone, Debug, PartialEq)]
pub struct ExtraPort {
    /// Where it listens.
    pub at: SocketAddr,
    /// The path; one that ends with `/` means all below it, too.
    pub path: String,
}

impl ExtraPort {
    /// Whether a request's path is meant.
    pub fn has(&self, path: &str) -> bool {
        path == self.path || (self.path.ends_with('/') && path.starts_with(&self.path))
    }
}

impl fmt::Display for ExtraPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.at, self.path)
    }
}

/// A listener for metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricsPort {
    /// The listener.
    pub port: ExtraPort,
    /// The words before the metrics' names.
    pub names: Namespaces,
}
