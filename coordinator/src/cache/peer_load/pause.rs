//! How long a peer is waited for in the middle of a body.

use meshcache_protocol::groups::GroupConfig;
use std::time::Duration;

/// How long a peer may pause in the middle of a body: it waits for its origin.
pub(super) fn pause(group: &GroupConfig) -> Duration {
    group.origin.timeout.duration() + group.patience.duration()
}
