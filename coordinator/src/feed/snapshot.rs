//! The published state: groups, ring and purges at one time.

use crate::feed::answers::KeptAnswers;
use bytes::Bytes;
use http::HeaderValue;
use meshcache_protocol::{Ring, feed::FeedRequest, groups::Config, purge::Position};
use parking_lot::Mutex;
use std::sync::{Arc, OnceLock};

/// The published state, with its answers: each is serialized once for all proxies at the same position.
#[derive(Default)]
pub(super) struct Snapshot {
    pub(super) version: String,
    pub(super) ring: Arc<Ring>,
    pub(super) config: Arc<Config>,
    pub(super) position: Arc<Position>,
    /// The marks of the position, once a proxy needs them.
    pub(super) marks: OnceLock<String>,
    /// The answers without news, of version 1 of the wire and of later ones.
    pub(super) heartbeats: [Bytes; 2],
    pub(super) own_address: Option<HeaderValue>,
    pub(super) answers: Mutex<KeptAnswers>,
}

impl Snapshot {
    /// Whether a proxy lacks the state or a purge.
    pub(super) fn is_news_to(&self, request: &FeedRequest) -> bool {
        self.version != request.version || !request.position.covers(&self.position)
    }
}
