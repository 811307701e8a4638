//! Purges in the store: where to look for what they name, and what becomes of it.

use crate::store::{Entry, Mark, Store, usage::Purged};
use meshcache_protocol::Key;
use std::sync::{Arc, atomic::Ordering::AcqRel};

/// Where that may be which a purge names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Where {
    /// Anywhere: every key is looked at.
    Everywhere,
    /// Anywhere in this group.
    Group(String),
    /// In this group under one of these marks: nothing else is looked at.
    Marked(String, Vec<Mark>),
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is removed.
    Gone,
    /// It is stale from now on, and removed where it is of no use so.
    Stale(u64),
    /// Nothing: it is only counted.
    Counted,
}

/// Keys that are looked at under one lock before others have their turn.
const BATCH: usize = 512;

impl Store {
    /// Looks there for what is named. What it came to, entries that are only made stale included.
    pub(crate) fn purge(&self, places: &[Where], fate: Fate, is: impl Fn(&Key, &[Arc<Entry>]) -> bool) -> Purged {
        let shares = self.shares.read().clone();
        let named = |name: &str| shares.iter().find(|share| share.name == name).map(|share| share.id);
        let mut purged = Purged::default();
        for place in places {
            let (share, marks) = match place {
                Where::Everywhere => (None, None),
                Where::Group(name) => (Some(named(name)), None),
                Where::Marked(name, marks) => (Some(named(name)), Some(marks.as_slice())),
            };
            // A group that nobody has has nothing.
            if share == Some(None) {
                continue;
            }
            for shard in &self.shards {
                // What comes while others have the lock is not older than the purge: it keeps out loads that began
                // before it.
                let candidates = shard.lock().candidates(share.flatten(), marks);
                for among in candidates.chunks(BATCH) {
                    let mut shard = shard.lock();
                    let (one, changes) = shard.purge(among, fate, &is);
                    let overhead = shard.overhead_change();
                    drop(shard);
                    self.used.fetch_add(overhead, AcqRel);
                    for (id, changed) in changes {
                        if let Some(share) = shares.get(id as usize) {
                            self.account(share, &changed);
                        }
                    }
                    purged = Purged { entries: purged.entries + one.entries, bytes: purged.bytes + one.bytes };
                }
            }
        }
        purged
    }
}
