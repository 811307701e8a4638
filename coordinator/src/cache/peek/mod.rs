//! Peeks: a coordinator that has become a key's owner asks the previous one for its entries before it loads the key.

#[cfg(test)]
mod tests;

use crate::{
    cache::{
        flight::Waited,
        load::Errand,
        miss::variant_key,
        state::Cache,
        transfer::{self, TransferKind},
        transfer_report::Refusal,
    },
    cluster::client::Call,
    consistency::catch_up::Claim,
    http::capture::{Collected, collect},
    origin::Paced,
    store::{Entry, Load},
};
use http::{Response, StatusCode};
use hyper::body::Incoming;
use meshcache_protocol::{Key, frame};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// How long the previous owner may take to respond; half the group's patience where that is less.
const DEADLINE: Duration = Duration::from_millis(250);

/// What a peek brought. The metric label.
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

/// What is answered to a peek.
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
pub(crate) async fn ask(cache: &Cache, errand: &Errand) {
    let Errand { served, key, .. } = errand;
    let (me, now) = (&cache.settings.me, cache.clock.now());
    if !cache.cluster.peers.may_ask() || cache.cluster.ring().owner(key.hash()).is_none_or(|owner| owner.name != *me) {
        return;
    }
    let newest = |(held, _): (Vec<Arc<Entry>>, _)| held.iter().map(|entry| entry.arrived).max();
    let since = cache.store.peek(&served.share, key, now).and_then(newest);
    let previous = cache.cluster.former.lock().owners(key.hash(), me, since, now);
    // Begun before a peer is asked: a purge that comes meanwhile keeps out what is older.
    let load = cache.store.begin(key.clone(), cache.consistency.history.position());
    let Some(peer) = previous.iter().find(|peer| cache.cluster.peers.admits(peer, Call::Peek)) else { return };
    let group = served.group.config();
    let patience = DEADLINE.min(group.patience.duration() / 2);
    let end = Instant::now() + group.origin.timeout.duration() + group.patience.duration();
    let outcome = loop {
        let (began, at) = (Instant::now(), cache.clock.now());
        match cache.cluster.peers.peek(peer, key.bytes(), patience).await {
            Ok(response) if response.status() == StatusCode::ACCEPTED && began < end => {}
            Ok(response) if response.status() == StatusCode::OK => {
                break take_answer(cache, errand, &load, response, at).await;
            }
            Ok(_) => break PeekOutcome::Nothing,
            Err(_) => break PeekOutcome::Failed,
        }
    };
    cache.metrics.peek(outcome.label());
}

/// Takes the entries of a peek's answer. `asked`: when the peek was sent, by the cache's clock.
async fn take_answer(
    cache: &Cache,
    errand: &Errand,
    load: &Load,
    response: Response<Incoming>,
    asked: u64,
) -> PeekOutcome {
    let Errand { served, key, .. } = errand;
    let patience = served.group.config().patience.duration();
    let Collected::Whole(message) =
        collect(Paced::new(response.into_body(), patience), frame::LONGEST as u64, &mut cache.bytes.take()).await
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
    if !cache.consistency.is_sure(Claim::Peer(&position.to_string())).await {
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

/// Answers a peer's peek: from the store, or from the flight under way if it ends in time. It does not count as use of
/// the key.
pub(crate) async fn answer(cache: &Cache, key: Vec<u8>, patience: Duration) -> PeekAnswer {
    let key = Key::from_bytes(key);
    let rules = cache.rules();
    let Some(served) = key.parts().and_then(|parts| rules.named(parts.group)) else { return PeekAnswer::Nothing };
    // Read before the store: no entry that is sent is older than the position says.
    let mut message = frame::message(&cache.consistency.history.position());
    let empty = message.len();
    let held = cache.store.peek(&served.share, &key, cache.clock.now()).map_or_else(Vec::new, |(entries, _)| entries);
    let variants = held.iter().map(|entry| variant_key(&key, &entry.selecting));
    let flight = std::iter::once(key.clone()).chain(variants).find_map(|key| cache.loading.find(&key));
    // What is stored may be what the flight replaces.
    if let Some(waiter) = flight
        && let Waited::Late(_) = waiter.wait(Instant::now() + patience).await
    {
        cache.metrics.peek_answered("loading");
        return PeekAnswer::Loading;
    }
    if let Some((entries, used)) = cache.store.peek(&served.share, &key, cache.clock.now()) {
        transfer::write(cache, &key, &entries, used, served.group.digest(), &mut message);
    }
    let is_found = message.len() > empty;
    cache.metrics.peek_answered(if is_found { "found" } else { "nothing" });
    if is_found { PeekAnswer::Entries(message) } else { PeekAnswer::Nothing }
}
