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
            tracing::info!("{}", line(parts.group, parts.scheme, parts.authority, parts.path));
        }
    }
}

fn line(group: &str, scheme: &str, authority: &str, path: &str) -> String {
    format!(
        "{group}: {} said nothing about freshness: not stored; set freshness.default (meshcache why {})",
        path.escape_debug(),
        format_args!("{scheme}://{authority}{path}").to_string().escape_debug()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_group_path_and_field() {
        assert_eq!(
            line("shop", "http", "shop.test", "/a"),
            "shop: /a said nothing about freshness: not stored; set freshness.default (meshcache why http://shop.test/a)"
        );
    }
}
