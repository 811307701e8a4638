//! Carries out purges here, each once and in the order of the log: in the store, in loads under way and in flights.

use crate::{
    cache::{removal, state::Cache},
    clock,
    consistency::{messages::Answer, purge_log::Gap},
    store::{Fate, usage::Purged},
};
use meshcache_protocol::purge::{Position, Purge, What};

/// What catching up with a peer came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caught {
    /// All that is known there was carried out here.
    Up,
    /// Something comes before it that has not been heard: it is asked for the next time.
    Behind,
    /// It was more than anybody remembers: the store was emptied of this.
    Emptied(Purged),
}

/// Takes what a peer has told. `carried_out`: told of each purge that was.
pub(crate) fn catch_up(cache: &Cache, answer: &Answer, mut carried_out: impl FnMut(&Purge, Purged)) -> Caught {
    if answer.missed {
        return Caught::Emptied(empty(cache, &answer.position));
    }
    for purge in &answer.purges {
        match hear(cache, purge) {
            Ok(Some(purged)) => carried_out(purge, purged),
            Ok(None) => {}
            Err(Gap) => return Caught::Behind,
        }
    }
    if cache.consistency.history.position().covers(&answer.position) { Caught::Up } else { Caught::Behind }
}

/// Nobody knows what was purged meanwhile: the store is emptied, and what was purged before is not to be learnt
/// from here.
pub(crate) fn start_over(cache: &Cache) -> Purged {
    let had = empty(cache, &Position::default());
    cache.consistency.history.forget();
    cache.consistency.lease.emptied(clock::awake());
    had
}

/// Nobody who is heard knows of these purges, and who may is silent: the store is emptied, and they are waited for
/// no longer.
pub(crate) fn give_up(cache: &Cache, hopeless: &[(String, u64)]) -> Purged {
    let had = empty(cache, &Position::default());
    cache.consistency.lease.give_up(hopeless);
    had
}

/// Numbers a purge of our own, and carries it out.
pub fn order(cache: &Cache, what: What, soft: bool) -> (Purge, Purged) {
    cache.consistency.history.order(what, soft, |purge| carry_out(cache, purge))
}

/// Carries out a purge of a peer. None: it was carried out before.
pub(crate) fn hear(cache: &Cache, purge: &Purge) -> Result<Option<Purged>, Gap> {
    cache.consistency.history.hear(purge, |purge| carry_out(cache, purge))
}

/// Empties the store: what was purged up to there is not in it.
pub(crate) fn empty(cache: &Cache, to: &Position) -> Purged {
    let all = Purge { what: What { all: true, ..What::default() }, ..Purge::default() };
    cache.consistency.history.skip(to, || carry_out(cache, &all))
}

/// Removes from the store what a purge names, or makes it stale. A load that is under way is answered but not
/// stored, and who comes later does not join it.
fn carry_out(cache: &Cache, purge: &Purge) -> Purged {
    removal::remove(cache, &purge.what, if purge.soft { Fate::Stale(cache.clock.now()) } else { Fate::Gone })
}
