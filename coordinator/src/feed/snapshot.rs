//! The published state: groups, ring and purges at one time.

use crate::feed::answers::KeptAnswers;
use bytes::Bytes;
use http::HeaderValue;
use meshcache_protocol::{Ring, feed::FeedRequest, groups::Config, purge::Position};
use parking_lot::Mutex;
use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
};

/// The published state, with its answers: each is serialized once for all proxies at the same position.
#[derive(Default)]
pub(super) struct Snapshot {
    pub(super) version: String,
    pub(super) ring: Arc<Ring>,
    pub(super) config: Arc<Config>,
    pub(super) position: Arc<Position>,
    /// The marks of the position, once a proxy needs them.
    pub(super) marks: OnceLock<String>,
    /// The first version of the feed that is told all groups as they are.
    pub(super) first_whole: u32,
    /// The answers without news, of version 1 of the feed and of each later one.
    pub(super) heartbeats: Vec<Bytes>,
    pub(super) own_address: Option<HeaderValue>,
    pub(super) answers: Mutex<KeptAnswers>,
}

impl Snapshot {
    /// Whether a proxy lacks the state or a purge.
    pub(super) fn is_news_to(&self, request: &FeedRequest) -> bool {
        self.version(request.wire) != request.version || !request.position.covers(&self.position)
    }

    /// Returns the answer without news for proxies that speak this version of the feed.
    pub(super) fn heartbeat(&self, wire: u32) -> Bytes {
        let known = self.heartbeats.get(wire.saturating_sub(1) as usize).or(self.heartbeats.last());
        known.cloned().unwrap_or_default()
    }

    /// Returns the version of the state for proxies that speak this version of the feed. Those for which a group is off
    /// get another state once they know more.
    pub(super) fn version(&self, wire: u32) -> Cow<'_, str> {
        if wire.max(1) < self.first_whole {
            Cow::Owned(format!("{}-{wire}", self.version))
        } else {
            Cow::Borrowed(&self.version)
        }
    }
}
