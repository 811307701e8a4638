//! A key that is ours since a moment ago: its owner before may have its answer, and is asked for it once before it is
//! loaded.

use crate::{
    cache::{
        flight::WaitOutcome, flight_key::variant_key, load::LoadJob, state::Cache, transfer::Comes,
        transfer_report::Refused,
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

/// How long the owner before may be silent; less, where the group's patience is less.
const DEADLINE: Duration = Duration::from_millis(250);

/// What another coordinator is told of a key.
pub(crate) enum Peeked {
    /// A message with all that is stored under it.
    Frames(Vec<u8>),
    /// It is being loaded: ask again.
    Loading,
    /// Nothing.
    Nothing,
}

impl Cache {
    /// Asks a key's owner before for what it has of it, where this coordinator has become the owner and may have missed
    /// something. What comes is in the store then.
    pub(crate) async fn peek(&self, errand: &LoadJob) {
        let LoadJob { served, key, .. } = errand;
        let (me, now) = (&self.settings.me, self.clock.now());
        if !self.cluster.peers.has_token()
            || self.cluster.ring().owner(key.hash()).is_none_or(|owner| owner.name != *me)
        {
            return;
        }
        let arrived = |(held, _): (Vec<Arc<Entry>>, _)| held.iter().map(|entry| entry.arrived).max();
        let since = self.store.peek(&served.quota, key, now).and_then(arrived);
        let before = self.cluster.previous_owners(key.hash(), since);
        // Begun before anybody is asked: a purge that comes meanwhile keeps out what is older.
        let load = self.store.begin(key.clone(), self.consistency.position());
        let Some(peer) = before.iter().find(|peer| self.cluster.peers.try_acquire(peer, Call::Peek)) else { return };
        let group = served.group.config();
        let patience = DEADLINE.min(group.patience.duration() / 2);
        let end = Instant::now() + group.origin.timeout.duration() + group.patience.duration();
        let outcome = loop {
            let (began, at) = (Instant::now(), self.clock.now());
            match self.cluster.peers.peek(peer, key.bytes(), patience).await {
                Ok(response) if response.status() == StatusCode::ACCEPTED && began < end => {}
                Ok(response) if response.status() == StatusCode::OK => {
                    break self.take_peeked(errand, &load, response, at).await;
                }
                Ok(_) => break "nothing",
                Err(_) => break "failed",
            }
        };
        self.metrics.count_peek(outcome);
    }

    async fn take_peeked(
        &self,
        errand: &LoadJob,
        load: &PurgeGuard,
        response: Response<Incoming>,
        asked: u64,
    ) -> &'static str {
        let LoadJob { served, key, .. } = errand;
        let patience = served.group.config().patience.duration();
        let CaptureOutcome::Whole(message) = capture(
            IdleTimeoutBody::new(response.into_body(), patience),
            frame::MAX_FRAME as u64,
            &mut self.body_budget.reserve(),
        )
        .await
        else {
            return "failed";
        };
        let (there, frames) = match frame::read(&message) {
            Ok(read) => read,
            Err(bad) => {
                tracing::warn!(%bad, "the answer to a peek cannot be read");
                return "failed";
            }
        };
        if !self.consistency.catch_up(Claim::Peer(&there.to_string())).await {
            return Refused::Purged.label();
        }
        let there = Arc::new(there);
        let late = self.clock.now().saturating_sub(asked);
        let taken = frames
            .iter()
            .filter(|frame| frame.key == key.bytes())
            .map(|frame| self.take_in(served, load, frame, late, &there, Comes::Peeked));
        let results: Vec<_> = taken.collect();
        match results.iter().find_map(|result| result.err()) {
            _ if results.iter().any(Result::is_ok) => "found",
            Some(refused) => refused.label(),
            None => "nothing",
        }
    }

    /// Answers a peek: from the store, or from a flight under way, or not at all. Whoever asks does not count as one
    /// who uses the key.
    pub(crate) async fn peeked(&self, key: Vec<u8>, patience: Duration) -> Peeked {
        let key = Key::from_bytes(key);
        let rules = self.group_table();
        let Some(served) = key.parts().and_then(|parts| rules.named(parts.group)) else { return Peeked::Nothing };
        // AnyReason before the store is looked at: what is sent is no older.
        let mut message = frame::new_message(&self.consistency.position());
        let empty = message.len();
        let mut write = || {
            if let Some((entries, used)) = self.store.peek(&served.quota, &key, self.clock.now()) {
                self.write_frames(&key, &entries, used, served.group.digest(), &mut message);
            }
            message.len() > empty
        };
        let held = self.store.peek(&served.quota, &key, self.clock.now()).map_or_else(Vec::new, |(entries, _)| entries);
        let variants = held.iter().map(|entry| variant_key(&key, &entry.selecting));
        let flight = std::iter::once(key.clone()).chain(variants).find_map(|key| self.loads.join_load(&key));
        let is_there = match flight {
            // What is stored may be what is being loaded anew.
            Some(seat) => match seat.wait(Instant::now() + patience).await {
                WaitOutcome::TimedOut(_) => {
                    self.metrics.count_peek_answered("loading");
                    return Peeked::Loading;
                }
                _ => write(),
            },
            None => write(),
        };
        self.metrics.count_peek_answered(if is_there { "found" } else { "nothing" });
        if is_there { Peeked::Frames(message) } else { Peeked::Nothing }
    }
}
