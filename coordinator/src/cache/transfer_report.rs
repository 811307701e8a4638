//! What became of entries that another coordinator has handed over.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Why an entry of another coordinator is not taken. The log word and metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Here it would belong to no group, or to one with other rules.
    Rules,
    /// It is of no use any more.
    Expired,
    /// What is here is as new.
    Known,
    /// A purge was heard here and not there, or came meanwhile.
    Purged,
    /// It was found to be true no more here, by an unsafe method or by what came instead of it, and it arrived there
    /// before.
    Invalidated,
    /// There is no room but that of what is used more.
    NoRoom,
    /// Its key or its status is none.
    Broken,
}

impl Refused {
    pub(crate) const ALL: [Self; 7] =
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

/// What became of entries that were handed over: how many were taken, and of those that were not, why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Report {
    /// Entries that are in the receiver's store now.
    pub(crate) taken: u64,
    /// Entries that are not, by reason.
    pub(crate) refused: BTreeMap<String, u64>,
}

impl Report {
    pub(crate) fn add(&mut self, other: Self) {
        self.taken = self.taken.saturating_add(other.taken);
        for (why, n) in other.refused {
            let sum = self.refused.entry(why).or_default();
            *sum = sum.saturating_add(n);
        }
    }

    pub(crate) fn refuse(&mut self, why: &str) {
        self.add(Self { taken: 0, refused: BTreeMap::from([(why.to_owned(), 1)]) });
    }

    /// The metric's labels and their counts. A peer may name a reason that is not known here: `other`.
    pub(crate) fn outcomes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let label = |why: &str| Refused::ALL.iter().map(|refused| refused.label()).find(|label| *label == why);
        let refused = self.refused.iter().map(move |(why, n)| (label(why).unwrap_or("other"), *n));
        [("taken", self.taken)].into_iter().chain(refused)
    }

    /// The receiver has no room for entries that are used as much as these.
    pub(crate) fn is_full(&self) -> bool {
        self.taken == 0 && self.refused.get(Refused::NoRoom.label()).is_some_and(|n| *n > 0)
    }
}
