//! Whether a request is answered here or by its key's owner.

use crate::cache::{request::CacheRequest, state::Cache};
use meshcache_protocol::Ring;
use std::sync::Arc;

/// Returns the ring in which another coordinator owns the key of a request; none if the request is answered here.
pub(crate) fn ring_of_owner(cache: &Cache, request: &CacheRequest<'_>) -> Option<Arc<Ring>> {
    if request.is_from_peer || request.is_forwarded() || !cache.cluster.peers.has_token() {
        return None;
    }
    let ring = cache.cluster.ring();
    let is_here = ring.owner(request.key.hash()).is_none_or(|owner| owner.name == cache.settings.me);
    (!is_here).then_some(ring)
}
