//! Carries out purges on this coordinator, each once and in the order of the log: in the store, in loads in flight and
//! in flights.

use crate::{
    cache::{removal, state::Cache},
    consistency::{messages::CatchUpResponse, purge_log::Gap},
    store::{PurgeAction, usage::Purged},
};
use meshcache_protocol::purge::{Purge, Scope};

/// The result of taking a peer's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CaughtUp {
    /// All purges that the peer knows were carried out here.
    Current,
    /// Earlier purges of a source are still unknown here: the next request asks for them.
    Behind,
    /// The peer's log no longer had the missing purges: the store was flushed of this.
    Flushed(Purged),
}

/// Numbers a purge of this coordinator, and carries it out.
pub fn issue(cache: &Cache, scope: Scope, soft: bool) -> (Purge, Purged) {
    cache.consistency.append_own(scope, soft, |purge| carry_out(cache, purge))
}

/// Carries out a purge of a peer. `None`: it was carried out before. `note` is called before anybody is told so.
pub(crate) fn apply(cache: &Cache, purge: &Purge, note: impl FnOnce(&Purge, Purged)) -> Result<Option<Purged>, Gap> {
    cache.consistency.append(purge, |purge| {
        let purged = carry_out(cache, purge);
        note(purge, purged);
        purged
    })
}

/// Carries out the purges of a peer's answer. `note` and then `carried_out` are called for each that was unknown here.
pub(crate) fn catch_up(
    cache: &Cache,
    response: &CatchUpResponse,
    note: impl Fn(&Purge, Purged),
    mut carried_out: impl FnMut(&Purge, Purged),
) -> CaughtUp {
    if response.truncated {
        return CaughtUp::Flushed(cache.consistency.skip_to(&response.position, || flush(cache)));
    }
    for purge in &response.purges {
        match apply(cache, purge, &note) {
            Ok(Some(purged)) => carried_out(purge, purged),
            Ok(None) => {}
            Err(Gap) => return CaughtUp::Behind,
        }
    }
    if cache.consistency.position().covers(&response.position) { CaughtUp::Current } else { CaughtUp::Behind }
}

/// Flushes the store because no peer knows what was purged meanwhile.
pub(crate) fn start_over(cache: &Cache) -> Purged {
    cache.consistency.start_over(|| flush(cache))
}

/// Flushes the store instead of waiting for purges that only unresponsive peers may know.
pub(crate) fn abandon(cache: &Cache, purges: &[(String, u64)]) -> Purged {
    cache.consistency.abandon(purges, || flush(cache))
}

fn flush(cache: &Cache) -> Purged {
    carry_out(cache, &Purge { scope: Scope { all: true, ..Scope::default() }, ..Purge::default() })
}

/// Removes what a purge names from the store, or makes it stale. A load in flight is answered but not stored, and later
/// requests do not join it.
fn carry_out(cache: &Cache, purge: &Purge) -> Purged {
    removal::remove(
        cache,
        &purge.scope,
        if purge.soft { PurgeAction::MakeStale(cache.clock.now()) } else { PurgeAction::Remove },
    )
}
