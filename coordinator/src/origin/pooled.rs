//! The open connections to one origin that take another request.

use crate::origin::{connect::Connector, connection::Http2Connection, http1::Http1Connection, trust::Certificates};
use std::sync::Arc;
use tokio::time::Instant;

/// The open connections to one origin that take another request.
#[derive(Default)]
pub(super) struct PooledConnections {
    /// In the order of use, the last one last.
    pub(super) idle: Vec<IdleConnection>,
    pub(super) shared: Vec<Http2Connection>,
    /// Those that all of them were opened with.
    pub(super) certificates: Certificates,
    pub(super) is_swept: bool,
}

/// An HTTP/1.1 connection without a request.
pub(super) struct IdleConnection {
    pub(super) connection: Http1Connection,
    pub(super) since: Instant,
    pub(super) until: Instant,
}

impl PooledConnections {
    /// Gives up the connections that were opened with files that have changed since. Requests on them are not
    /// disturbed.
    pub(super) fn follow(&mut self, connector: &Connector) {
        let current = connector.certificates();
        if !self.may_keep(&current) {
            (self.certificates, self.idle, self.shared) = (current, Vec::new(), Vec::new());
        }
    }

    /// Returns whether a connection that was opened with these certificates belongs to the others.
    pub(super) fn may_keep(&self, certificates: &Certificates) -> bool {
        self.certificates.as_ref().map(Arc::as_ptr) == certificates.as_ref().map(Arc::as_ptr)
    }

    /// Returns an HTTP/2 connection with room, opened at `since` or later.
    pub(super) fn find_shared(&mut self, now: Instant, since: Option<Instant>) -> Option<Http2Connection> {
        self.shared.retain(|connection| connection.is_good(now));
        self.shared
            .iter()
            .find(|connection| since.is_none_or(|since| connection.opened >= since) && connection.has_room())
            .cloned()
    }
}

impl IdleConnection {
    /// Returns whether it may take another request, if it has not been closed.
    pub(super) fn is_good(&self, now: Instant) -> bool {
        now < self.until && self.connection.is_free(now)
    }
}
