//! A token server's failures in the log: one line for each kind, one at recovery.

use crate::origin::oauth2::failure::TokenFailure;

/// Failures without a token between.
#[derive(Default)]
pub(super) struct Outage {
    /// Milliseconds.
    since: Option<u64>,
    failures: u64,
    /// The kinds that have their line.
    logged: Vec<TokenFailure>,
}

impl Outage {
    /// Records a failure. Returns whether to log it.
    pub(super) fn record_failure(&mut self, failure: TokenFailure, now: u64) -> bool {
        self.since.get_or_insert(now);
        self.failures += 1;
        let is_news = !self.logged.contains(&failure);
        if is_news {
            self.logged.push(failure);
        }
        is_news
    }

    /// Records a token. Returns how long there was none, milliseconds, and how many fetches failed.
    pub(super) fn record_token(&mut self, now: u64) -> Option<(u64, u64)> {
        let Self { since, failures, .. } = std::mem::take(self);
        since.map(|since| (now.saturating_sub(since), failures))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_failure_has_a_line_and_their_end_has_one() {
        let mut outage = Outage::default();
        assert_eq!(outage.record_token(0), None, "all is well");
        let logged = [TokenFailure::Denied, TokenFailure::Denied, TokenFailure::Status, TokenFailure::Denied]
            .map(|failure| outage.record_failure(failure, 10));
        assert_eq!(logged, [true, false, true, false]);
        assert_eq!((outage.record_token(40), outage.record_token(50)), (Some((30, 4)), None));
        assert!(outage.record_failure(TokenFailure::Status, 60), "a new outage is news");
    }
}
