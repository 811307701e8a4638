//! Peeks: a coordinator that has become a key's owner asks the previous one for its entries before it loads the key.

#[cfg(test)]
mod tests;

use crate::{
    cache::{
        flight::WaitOutcome,
        flight_key::variant_key,
        load_job::LoadJob,
        state::Cache,
        transfer::{self, TransferKind},
        transfer_report::Refusal,
    },
    cluster::client::Call,
    consistency::catch_up::Claim,
    http::capture::{CaptureOutcome, capture},
    origin::IdleTimeoutBody,
    store::{Entry, PurgeGuard},
};
use http::{Response, StatusCode};
use hyper::body::Incoming;
use meshcache_protocol::{Key, frame};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// How long the previous owner may take to respond; half the group's patience where that is less.
const DEADLINE: Duration = Duration::from_millis(250);

/// The outcome of a peek, and its metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PeekOutcome {
    /// An entry, which is in the store now.
    Found,
    /// The previous owner has nothing.
    Nothing,
    /// No answer that can be read.
    Failed,
    /// Entries, none of which was taken.
    Refused(Refusal),
}

impl PeekOutcome {
    const fn label(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Nothing => "nothing",
            Self::Failed => "failed",
            Self::Refused(refusal) => refusal.label(),
        }
    }
}

/// The answer to a peek.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PeekAnswer {
    /// A message with all that is stored under the key.
    Entries(Vec<u8>),
    /// The key is being loaded: the peer may ask again.
    Loading,
    /// Nothing is stored under the key.
    Nothing,
}

/// Asks a key's previous owner for its entries, where this coordinator has become the owner and may have missed
/// something. What it sends is in the store afterwards.
pub(crate) async fn ask(cache: &Cache, job: &LoadJob) {
    let LoadJob { served, key, .. } = job;
    let (me, now) = (&cache.settings.me, cache.clock.now());
    if !cache.cluster.peers.may_ask() || cache.cluster.ring().owner(key.hash()).is_none_or(|owner| owner.name != *me) {
        return;
    }
    let newest = |(held, _): (Vec<Arc<Entry>>, _)| held.iter().map(|entry| entry.arrived).max();
    let since = cache.store.peek(&served.quota, key, now).and_then(newest);
    let previous = cache.cluster.previous_owners(key.hash(), since);
    // Begun before a peer is asked: a purge that comes meanwhile keeps out what is older.
    let load = cache.store.begin(key.clone(), cache.consistency.position());
    let Some(peer) = previous.iter().find(|peer| cache.cluster.peers.try_acquire(peer, Call::Peek)) else { return };
    let group = served.group.config();
    let patience = DEADLINE.min(group.patience.duration() / 2);
    let end = Instant::now() + group.origin.timeout.duration() + group.patience.duration();
    let outcome = loop {
        let (began, at) = (Instant::now(), cache.clock.now());
        match cache.cluster.peers.peek(peer, key.bytes(), patience).await {
            Ok(response) if response.status() == StatusCode::ACCEPTED && began < end => {}
            Ok(response) if response.status() == StatusCode::OK => {
                break take_answer(cache, job, &load, response, at).await;
            }
            Ok(_) => break PeekOutcome::Nothing,
            Err(_) => break PeekOutcome::Failed,
        }
    };
    cache.metrics.count_peek(outcome.label());
}

/// Takes the entries of a peek's answer. `asked`: when the peek was sent, by the cache's clock.
async fn take_answer(
    cache: &Cache,
    job: &LoadJob,
    load: &PurgeGuard,
    response: Response<Incoming>,
    asked: u64,
) -> PeekOutcome {
    let LoadJob { served, key, .. } = job;
    let patience = served.group.config().patience.duration();
    let CaptureOutcome::Whole(message) = capture(
        IdleTimeoutBody::new(response.into_body(), patience),
        frame::MAX_FRAME as u64,
        &mut cache.body_budget.reserve(),
    )
    .await
    else {
        return PeekOutcome::Failed;
    };
    let (position, frames) = match frame::read(&message) {
        Ok(read) => read,
        Err(bad) => {
            tracing::warn!(%bad, "unreadable answer to a peek");
            return PeekOutcome::Failed;
        }
    };
    if !cache.consistency.catch_up(Claim::Peer(&position.to_string())).await {
        return PeekOutcome::Refused(Refusal::Purged);
    }
    let position = Arc::new(position);
    let late = cache.clock.now().saturating_sub(asked);
    let taken = frames
        .iter()
        .filter(|frame| frame.key == key.bytes())
        .map(|frame| transfer::take(cache, served, load, frame, late, &position, TransferKind::Peek));
    let results: Vec<_> = taken.collect();
    match results.iter().find_map(|result| result.err()) {
        _ if results.iter().any(Result::is_ok) => PeekOutcome::Found,
        Some(refusal) => PeekOutcome::Refused(refusal),
        None => PeekOutcome::Nothing,
    }
}

/// Answers a peer's peek: from the store, or from the current flight if it ends in time. It does not count as use of
/// the key.
pub(crate) async fn answer(cache: &Cache, key: Vec<u8>, patience: Duration) -> PeekAnswer {
    let key = Key::from_bytes(key);
    let rules = cache.group_table();
    let Some(served) = key.parts().and_then(|parts| rules.named(parts.group)) else { return PeekAnswer::Nothing };
    // Read before the store: no entry that is sent is older than the position says.
    let mut message = frame::new_message(&cache.consistency.position());
    let empty = message.len();
    let held = cache.store.peek(&served.quota, &key, cache.clock.now()).map_or_else(Vec::new, |(entries, _)| entries);
    let variants = held.iter().map(|entry| variant_key(&key, &entry.selecting));
    let flight = std::iter::once(key.clone()).chain(variants).find_map(|key| cache.loads.join_load(&key));
    // What is stored may be what the flight replaces.
    if let Some(waiter) = flight
        && let WaitOutcome::TimedOut(_) = waiter.wait(Instant::now() + patience).await
    {
        cache.metrics.count_peek_answered("loading");
        return PeekAnswer::Loading;
    }
    if let Some((entries, used)) = cache.store.peek(&served.quota, &key, cache.clock.now()) {
        transfer::write(cache, &key, &entries, used, served.group.digest(), &mut message);
    }
    let is_found = message.len() > empty;
    cache.metrics.count_peek_answered(if is_found { "found" } else { "nothing" });
    if is_found { PeekAnswer::Entries(message) } else { PeekAnswer::Nothing }
}
