//! The purge log: this coordinator's own purges numbered, those of peers as they arrived, each carried out once.

use arc_swap::ArcSwap;
use meshcache_protocol::purge::{Append, Bounds, Log, Position, Purge, Scope, Truncated, source};
use parking_lot::Mutex;
use std::{collections::hash_map::RandomState, hash::BuildHasher, sync::Arc};

/// The purges from which peers and proxies can catch up. One that was away for longer flushes its cache.
const BOUNDS: Bounds = Bounds { purges: 16_384, bytes: 8 << 20 };
/// The most sources of a position in a question: those that have purged last.
const MAX_TEXT_SOURCES: usize = 16;

/// The purges that are known to this coordinator.
pub(crate) struct PurgeLog {
    me: String,
    source: ArcSwap<String>,
    log: Mutex<Log>,
    /// The last number of our own source. Its lock is held while a purge is carried out: one after another, so that a
    /// position stands for all up to there.
    turn: Mutex<u64>,
    carried_out: ArcSwap<CarriedOut>,
}

/// The purges that were carried out here.
#[derive(Default)]
struct CarriedOut {
    position: Arc<Position>,
    text: Arc<str>,
}

/// Earlier purges of the same source are still unknown here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap;

impl PurgeLog {
    /// An empty log. Each start has a source of its own.
    pub(crate) fn new(me: &str) -> Self {
        Self {
            source: ArcSwap::from_pointee(new_source(me)),
            me: me.to_owned(),
            log: Mutex::new(Log::new(BOUNDS)),
            turn: Mutex::default(),
            carried_out: ArcSwap::default(),
        }
    }

    /// The name under which this start numbers its purges.
    pub(crate) fn source(&self) -> Arc<String> {
        self.source.load_full()
    }

    /// Takes a new source, as a new start would: peers cannot learn earlier purges from this coordinator.
    pub(crate) fn restart(&self) {
        self.take_new_source(&mut self.turn.lock());
    }

    fn take_new_source(&self, last: &mut u64) {
        self.source.store(Arc::new(new_source(&self.me)));
        *last = 0;
    }

    /// The purges that were carried out here.
    pub(crate) fn position(&self) -> Arc<Position> {
        self.carried_out.load().position.clone()
    }

    /// The position as questions carry it.
    pub(crate) fn position_text(&self) -> Arc<str> {
        self.carried_out.load().text.clone()
    }

    /// Whether a claimed position is empty or, byte for byte, the one that our own questions carry.
    pub(crate) fn matches_text(&self, claimed: &str) -> bool {
        claimed.is_empty() || *claimed == *self.carried_out.load().text
    }

    /// The purges that are not in a position. Fails where there are more than `limit`, or the log no longer has them.
    pub(crate) fn since(&self, position: &Position, limit: usize) -> Result<Vec<Purge>, Truncated> {
        let log = self.log.lock();
        let purges = log.since(position)?;
        if purges.clone().nth(limit).is_some() { Err(Truncated) } else { Ok(purges.cloned().collect()) }
    }

    /// The number of purges from which others can catch up.
    pub(crate) fn len(&self) -> usize {
        self.log.lock().len()
    }

    /// Numbers a purge of our own, and carries it out.
    pub(crate) fn append_own<T>(&self, scope: Scope, soft: bool, carry_out: impl FnOnce(&Purge) -> T) -> (Purge, T) {
        let mut last = self.turn.lock();
        if self.log.lock().position().of(&self.source()) < *last {
            // More other sources have purged since than the log remembers: the numbers of this one are forgotten, and
            // none is given twice.
            self.take_new_source(&mut last);
        }
        let source = self.source();
        let n = last.saturating_add(1);
        *last = n;
        let purge = Purge { source: source.to_string(), n, scope, soft };
        // Appended before it is carried out: entries that arrive from peers meanwhile are compared with it.
        self.log.lock().append(purge.clone());
        let result = carry_out(&purge);
        self.publish();
        (purge, result)
    }

    /// Appends a purge of a peer, and carries it out if it is the next of its source. When this returns, it was carried
    /// out, here or by an earlier call.
    pub(crate) fn append<T>(&self, purge: &Purge, carry_out: impl FnOnce(&Purge) -> T) -> Result<Option<T>, Gap> {
        let _turn = self.turn.lock();
        match self.log.lock().append(purge.clone()) {
            Append::Duplicate => return Ok(None),
            Append::Gap => return Err(Gap),
            Append::Appended => {}
        }
        let result = carry_out(purge);
        self.publish();
        Ok(Some(result))
    }

    /// Flushes the store instead of carrying out the purges up to a position.
    pub(crate) fn skip_to<T>(&self, position: &Position, flush: impl FnOnce() -> T) -> T {
        let _turn = self.turn.lock();
        self.log.lock().skip_to(position);
        let result = flush();
        self.publish();
        result
    }

    fn publish(&self) {
        let log = self.log.lock();
        self.carried_out.store(Arc::new(CarriedOut {
            position: Arc::new(log.position().clone()),
            text: log.newest(MAX_TEXT_SOURCES).to_string().into(),
        }));
    }
}

fn new_source(me: &str) -> String {
    // The standard library seeds each hasher from the system.
    source(me, RandomState::new().hash_one(me))
}
