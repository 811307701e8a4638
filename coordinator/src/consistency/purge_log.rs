//! What was purged, as this coordinator knows it: its own purges numbered, those of others as they were heard, each
//! carried out once.

use arc_swap::ArcSwap;
use meshcache_protocol::purge::{Append, Bounds, Log, Position, Purge, Scope, Truncated, source};
use parking_lot::Mutex;
use std::{collections::hash_map::RandomState, hash::BuildHasher, sync::Arc};

/// What peers and proxies can catch up from. Who was away for longer empties its cache.
const MOST: Bounds = Bounds { purges: 16_384, bytes: 8 << 20 };
/// Of how many sources a question tells the position: those that have purged last.
const TOLD: usize = 16;

/// The purges that this coordinator has heard of.
pub(crate) struct History {
    me: String,
    source: ArcSwap<String>,
    log: Mutex<Log>,
    /// Whose turn it is to carry out a purge: one after another, so that a position stands for all up to there. And
    /// the last number that our own source has given.
    turn: Mutex<u64>,
    done: ArcSwap<Done>,
}

/// The purges that were carried out here.
#[derive(Default)]
struct Done {
    position: Arc<Position>,
    told: Arc<str>,
}

impl History {
    /// Nothing was purged yet. Each start has a source of its own.
    pub(crate) fn new(me: &str) -> Self {
        Self {
            source: ArcSwap::from_pointee(start(me)),
            me: me.to_owned(),
            log: Mutex::new(Log::new(MOST)),
            turn: Mutex::default(),
            done: ArcSwap::default(),
        }
    }

    /// The name under which this start numbers its purges.
    pub(crate) fn source(&self) -> Arc<String> {
        self.source.load_full()
    }

    /// A start anew for all others: what was purged before is not to be learnt from us.
    pub(crate) fn forget(&self) {
        let mut last = self.turn.lock();
        self.source.store(Arc::new(start(&self.me)));
        *last = 0;
    }

    /// All that was carried out here.
    pub(crate) fn position(&self) -> Arc<Position> {
        self.done.load().position.clone()
    }

    /// The same as questions tell it.
    pub(crate) fn told(&self) -> Arc<str> {
        self.done.load().told.clone()
    }

    /// Whether a question tells of no more than what was carried out here, in the very words in which we would.
    pub(crate) fn is_told(&self, told: &str) -> bool {
        told.is_empty() || *told == *self.done.load().told
    }

    /// What one who is there has not heard.
    pub(crate) fn since(&self, there: &Position, most: usize) -> Result<Vec<Purge>, Truncated> {
        let log = self.log.lock();
        let lacks = log.since(there)?;
        // More than that is not worth telling.
        if lacks.clone().nth(most).is_some() { Err(Truncated) } else { Ok(lacks.cloned().collect()) }
    }

    /// How many purges others can still catch up from.
    pub(crate) fn len(&self) -> usize {
        self.log.lock().len()
    }

    /// A purge of our own: numbered, carried out.
    pub(crate) fn order<T>(&self, what: Scope, soft: bool, carry_out: impl FnOnce(&Purge) -> T) -> (Purge, T) {
        let mut last = self.turn.lock();
        if self.log.lock().position().of(&self.source()) < *last {
            // More others have purged since than the log remembers sources: the numbers of this one are forgotten, and
            // none is given twice.
            self.source.store(Arc::new(start(&self.me)));
            *last = 0;
        }
        let source = self.source();
        let n = last.saturating_add(1);
        *last = n;
        let purge = Purge { source: source.to_string(), n, scope: what, soft };
        // Heard before it is carried out: what comes from elsewhere meanwhile is held against it.
        self.log.lock().append(purge.clone());
        let carried = carry_out(&purge);
        self.publish();
        (purge, carried)
    }

    /// Hears of a purge, and carries it out if it is the next. When this returns, it was carried out, by whomever.
    pub(crate) fn hear<T>(&self, purge: &Purge, carry_out: impl FnOnce(&Purge) -> T) -> Result<Option<T>, Gap> {
        let _turn = self.turn.lock();
        match self.log.lock().append(purge.clone()) {
            Append::Duplicate => return Ok(None),
            Append::Gap => return Err(Gap),
            Append::Appended => {}
        }
        let carried = carry_out(purge);
        self.publish();
        Ok(Some(carried))
    }

    /// Takes all up to there as carried out, because everything is.
    pub(crate) fn skip<T>(&self, to: &Position, empty: impl FnOnce() -> T) -> T {
        let _turn = self.turn.lock();
        self.log.lock().skip_to(to);
        let emptied = empty();
        self.publish();
        emptied
    }

    fn publish(&self) {
        let log = self.log.lock();
        self.done.store(Arc::new(Done {
            position: Arc::new(log.position().clone()),
            told: log.newest(TOLD).to_string().into(),
        }));
    }
}

fn start(me: &str) -> String {
    // The standard library seeds each hasher from the system.
    source(me, RandomState::new().hash_one(me))
}

/// Others come before it that have not been heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap;
