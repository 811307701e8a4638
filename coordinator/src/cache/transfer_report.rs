//! What became of entries that a peer has sent here: taken, or refused and why.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Why an entry of a peer is not taken. The log word and metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Its group is unknown here, or has other rules.
    Rules,
    /// It has expired.
    Expired,
    /// The stored response is at least as new.
    Known,
    /// A purge names it that its sender did not know, or that came meanwhile.
    Purged,
    /// Its key was invalidated here after it had arrived at its sender.
    Invalidated,
    /// There is no room but that of what is used more.
    NoRoom,
    /// Its key or its status is invalid.
    Broken,
}

impl Refusal {
    const ALL: [Self; 7] =
        [Self::Rules, Self::Expired, Self::Known, Self::Purged, Self::Invalidated, Self::NoRoom, Self::Broken];

    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Rules => "rules",
            Self::Expired => "expired",
            Self::Known => "known",
            Self::Purged => "purged",
            Self::Invalidated => "invalidated",
            Self::NoRoom => "no-room",
            Self::Broken => "broken",
        }
    }
}

/// How many entries were taken, and how many were refused for which reason. As JSON it answers a push.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct TransferReport {
    /// Entries that are in the receiver's store now.
    pub(crate) taken: u64,
    /// Entries that are not, by [`Refusal::label`].
    pub(crate) refused: BTreeMap<String, u64>,
}

impl TransferReport {
    /// Adds another report to this one.
    pub(crate) fn add(&mut self, other: Self) {
        self.taken = self.taken.saturating_add(other.taken);
        for (reason, n) in other.refused {
            let sum = self.refused.entry(reason).or_default();
            *sum = sum.saturating_add(n);
        }
    }

    /// Counts one entry.
    pub(crate) fn count(&mut self, result: Result<(), Refusal>) {
        let refused = result.err().map(|refusal| (refusal.label().to_owned(), 1));
        self.add(Self { taken: u64::from(refused.is_none()), refused: refused.into_iter().collect() });
    }

    /// Whether the receiver has no room for entries that are used as much as these.
    pub(crate) fn is_full(&self) -> bool {
        self.taken == 0 && self.refused.get(Refusal::NoRoom.label()).is_some_and(|n| *n > 0)
    }

    /// The counts by metric label. A reason that this version does not know is `other`.
    pub(crate) fn by_outcome(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let label = |reason: &str| Refusal::ALL.iter().map(|known| known.label()).find(|known| *known == reason);
        let refused = self.refused.iter().map(move |(reason, n)| (label(reason).unwrap_or("other"), *n));
        std::iter::once(("taken", self.taken)).chain(refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> TransferReport {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_report_sums_up_what_became_of_each_entry() {
        let mut report = TransferReport::default();
        for result in [Ok(()), Err(Refusal::Purged), Err(Refusal::NoRoom), Ok(()), Err(Refusal::Purged)] {
            report.count(result);
        }
        let mut sum = read(r#"{"taken": 3, "refused": {"purged": 5, "too-blue": 1}}"#);
        sum.add(report);
        assert_eq!(
            serde_json::to_string(&sum).unwrap(),
            r#"{"taken":5,"refused":{"no-room":1,"purged":7,"too-blue":1}}"#
        );
    }

    #[test]
    fn metrics_have_a_label_of_our_own_for_whatever_a_peer_reports() {
        let report = read(r#"{"taken": 1, "refused": {"known": 2, "\"} 1\nbad 1": 3}}"#);
        assert_eq!(report.by_outcome().collect::<Vec<_>>(), [("taken", 1), ("other", 3), ("known", 2)]);
        for refusal in Refusal::ALL {
            let mut report = TransferReport::default();
            report.count(Err(refusal));
            assert_eq!(report.by_outcome().last(), Some((refusal.label(), 1)));
        }
    }

    #[test]
    fn a_receiver_is_full_when_it_took_nothing_for_want_of_room() {
        assert!(read(r#"{"refused": {"no-room": 1, "known": 7}}"#).is_full());
        assert!(!read(r#"{"taken": 1, "refused": {"no-room": 7}}"#).is_full(), "it still takes smaller ones");
        assert!(!read(r#"{"refused": {"known": 7}}"#).is_full());
        assert!(!read("{}").is_full(), "an empty message");
    }

    #[test]
    fn counts_that_a_peer_makes_up_do_not_overflow() {
        let mut report = read(&format!(r#"{{"taken": {0}, "refused": {{"known": {0}}}}}"#, u64::MAX));
        report.add(report.clone());
        assert_eq!(report.by_outcome().collect::<Vec<_>>(), [("taken", u64::MAX), ("known", u64::MAX)]);
    }
}
