//! A look at a value that some node has, without a load.

use crate::{
    cache::{
        getter_load::{NOT_FOUND, VALUE},
        getter_lookup::{Answer, GetterGroup},
        state::Cache,
    },
    cluster::client::Call,
    consistency::catch_up::Claim,
    http::capture::{CaptureOutcome, capture},
    origin::{Error, IdleTimeoutBody},
};
use bytes::Bytes;
use http::StatusCode;
use meshcache_protocol::{Hash, frame};
use std::{sync::Arc, time::Duration};

/// How long the owner may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Returns the fresh value of a key that this node's store has, or the owner's. `None`: neither has one.
pub(crate) async fn peek(cache: &Arc<Cache>, group: &GetterGroup, key: Vec<u8>) -> Option<Answer> {
    if let Some(answer) = group.hit(cache, &key) {
        return Some(answer);
    }
    let ring = cache.cluster.ring();
    let owner = ring.owner(Hash::of(&key)).filter(|owner| owner.name != cache.settings.me)?;
    if !cache.cluster.peers.has_token() || !cache.cluster.peers.try_acquire(&owner.name, Call::Peek) {
        return None;
    }
    let response = cache.cluster.peers.peek(&owner.name, &key, PATIENCE).await.ok()?;
    let body = IdleTimeoutBody::new(response.into_body(), PATIENCE);
    let CaptureOutcome::Whole(message) = capture(body, frame::MAX_FRAME as u64, &mut cache.body_budget.reserve()).await
    else {
        return None;
    };
    let (there, frames) = frame::read(&message).ok()?;
    // What it has may lack a purge that this node knows.
    let knows_all = there.covers(&cache.consistency.position());
    if !knows_all || !cache.consistency.catch_up(Claim::Peer(&there.to_string())).await {
        return None;
    }
    let found =
        frames.iter().find(|frame| frame.key == key && frame.metadata.stored.is_fresh(frame.metadata.resident))?;
    match StatusCode::from_u16(found.metadata.stored.status).ok()? {
        VALUE => Some(Ok(Bytes::copy_from_slice(found.body))),
        NOT_FOUND => Some(Err(Error::NotFound { ttl: None })),
        _ => None,
    }
}
