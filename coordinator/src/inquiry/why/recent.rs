//! The reasons that still say something.

use meshcache_admin::{LastReason, Why};

/// For how long a reason tells what a request would meet now, milliseconds.
const RECENT: u64 = 15 * 60 * 1000;

/// Returns the reasons of all coordinators, the newest first. What was stored since, at any of them, has answered those
/// before it: who only passed a request does not hear of that.
pub(super) fn reasons(why: &Why) -> Vec<&LastReason> {
    let since = stored_ago(why).unwrap_or(u64::MAX).min(RECENT);
    let mut all: Vec<_> = why.at.iter().flat_map(|at| &at.last).filter(|last| last.ago <= since).collect();
    all.sort_by_key(|last| last.ago);
    all
}

/// Returns when a response was stored last, milliseconds before now.
pub(super) fn stored_ago(why: &Why) -> Option<u64> {
    why.at.iter().filter_map(|at| at.stored_ago).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshcache_admin::AtCoordinator;

    #[test]
    fn what_was_stored_since_or_is_long_ago_is_no_reason_now() {
        let at = |ago: &[u64], stored_ago| AtCoordinator {
            last: ago.iter().map(|ago| LastReason { ago: *ago, ..LastReason::default() }).collect(),
            stored_ago,
            ..AtCoordinator::default()
        };
        let recent = |at: [AtCoordinator; 2]| {
            reasons(&Why { at: at.into(), ..Why::default() }).iter().map(|last| last.ago).collect::<Vec<_>>()
        };
        assert_eq!(recent([at(&[900_000, 900_001], None), at(&[7], None)]), [7, 900_000]);
        assert_eq!(recent([at(&[5000], None), at(&[2000], Some(4000))]), [2000]);
        assert_eq!(recent([at(&[5000, 6000], Some(8000)), at(&[], Some(5500))]), [5000]);
    }
}
