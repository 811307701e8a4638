//! What is said of plain clients' requests that a group does not let through to its origin: one line a minute for each
//! field.

use meshcache_protocol::groups::NotPassed;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Milliseconds between two lines.
const QUIET: u64 = 60_000;

/// When each field's line was written last; 0: never.
#[derive(Default)]
pub(crate) struct Held {
    methods: AtomicU64,
    other_paths: AtomicU64,
}

impl Held {
    /// Says that a request was not sent on, and which field would let it; not every time. `now`: milliseconds.
    pub(crate) fn complain(&self, group: &str, not: NotPassed, method: &str, now: u64) {
        if self.is_due(not, now) {
            tracing::warn!(
                group,
                method,
                field = not.field(),
                "a client's request that no cache answers is not sent on (403): the field would let it"
            );
        }
    }

    fn is_due(&self, not: NotPassed, now: u64) -> bool {
        let said = match not {
            NotPassed::Methods => &self.methods,
            NotPassed::OtherPaths => &self.other_paths,
        };
        let last = said.load(Relaxed);
        (last == 0 || now >= last.saturating_add(QUIET))
            && said.compare_exchange(last, now.max(1), Relaxed, Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_is_named_once_a_minute() {
        let held = Held::default();
        assert!(held.is_due(NotPassed::Methods, 5) && held.is_due(NotPassed::OtherPaths, 6));
        assert!(!held.is_due(NotPassed::Methods, 60_004) && !held.is_due(NotPassed::OtherPaths, 60_005));
        assert!(held.is_due(NotPassed::Methods, 60_005), "what was not said puts nothing off");
    }
}
