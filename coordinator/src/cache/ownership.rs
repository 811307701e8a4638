//! Whether a request is answered here or by its key's owner.

use crate::cache::{request::CacheRequest, state::Cache};
use meshcache_protocol::{Hash, Ring};
use std::sync::Arc;

/// Returns whether another coordinator owns a key, and may be asked.
pub(crate) fn is_of_another(cache: &Cache, key: Hash) -> bool {
    cache.cluster.peers.has_token()
        && cache.cluster.with_ring(|ring| ring.owner(key).is_some_and(|owner| owner.name != cache.settings.me))
}

/// Returns the ring in which another coordinator owns the key of a request; none if the request is answered here.
pub(crate) fn ring_of_owner(cache: &Cache, request: &CacheRequest<'_>) -> Option<Arc<Ring>> {
    if request.is_from_peer || request.is_forwarded() || !cache.cluster.peers.may_ask() {
        return None;
    }
    let ring = cache.cluster.ring();
    let is_here = ring.owner(request.key.hash()).is_none_or(|owner| owner.name == cache.settings.me);
    (!is_here).then_some(ring)
}
