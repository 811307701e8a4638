//! The log line that says why a new group caches nothing: its service says nothing about freshness.

use crate::telemetry::rare::Rare;
use meshcache_protocol::{Key, Reason};

/// The time between two lines about a group, milliseconds.
const PAUSE: u64 = 600_000;

/// When a group's last line was.
#[derive(Default)]
pub(crate) struct FirstMissLog(Rare);

impl FirstMissLog {
    /// Says what to write into the group, where a response was not stored for want of it.
    pub(crate) fn log(&self, reason: Reason, key: &Key) {
        if reason == Reason::NoFreshness
            && let Some(parts) = key.parts()
            && self.0.is_due_each(PAUSE)
        {
            let (group, path) = (parts.group, parts.path.escape_debug());
            let url = format!("{}://{}{}", parts.scheme, parts.authority, parts.path);
            let url = url.escape_debug();
            tracing::info!(
                "{group}: {path} said nothing about freshness: not stored; set freshness.default (meshcache why {url})"
            );
        }
    }
}
