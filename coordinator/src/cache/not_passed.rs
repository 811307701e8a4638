//! Log lines about plain clients' requests that a group does not pass to its origin: one a minute for each field.

use meshcache_protocol::groups::NotPassed;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Milliseconds between two lines about the same field.
const LOG_PAUSE: u64 = 60_000;

/// When the last line about each field was written; 0: never.
#[derive(Default)]
pub(crate) struct NotPassedLog {
    methods: AtomicU64,
    other_paths: AtomicU64,
}

impl NotPassedLog {
    /// Logs that a request was not passed, and which field would allow it. `now`: milliseconds.
    pub(crate) fn log(&self, group: &str, field: NotPassed, method: &str, now: u64) {
        if self.take_turn(field, now) {
            tracing::warn!(
                group,
                method,
                field = field.field(),
                "a client's request is not passed to the origin (403): the field would allow it"
            );
        }
    }

    /// Whether a line is due, which counts as written then.
    fn take_turn(&self, field: NotPassed, now: u64) -> bool {
        let logged = match field {
            NotPassed::Methods => &self.methods,
            NotPassed::OtherPaths => &self.other_paths,
        };
        let last = logged.load(Relaxed);
        (last == 0 || now >= last.saturating_add(LOG_PAUSE))
            && logged.compare_exchange(last, now.max(1), Relaxed, Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_is_named_once_a_minute() {
        let log = NotPassedLog::default();
        assert!(log.take_turn(NotPassed::Methods, 5) && log.take_turn(NotPassed::OtherPaths, 6));
        assert!(!log.take_turn(NotPassed::Methods, 60_004) && !log.take_turn(NotPassed::OtherPaths, 60_005));
        assert!(log.take_turn(NotPassed::Methods, 60_005), "a line that was not written delays nothing");
    }
}
