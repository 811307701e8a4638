//! The heads of what a purge makes stale: entries that shared one share one afterwards.

use crate::store::head::Head;
use meshcache_protocol::freshness::Stored;
use std::{collections::HashMap, sync::Arc};

/// The heads that are remembered during one purge, about 300 bytes each.
const MAX_HEADS: usize = 16_384;

/// The heads by the place of the one before, and by their lifetime. Both are held, so that no other takes the place.
#[derive(Default)]
pub(crate) struct StaleHeads(HashMap<(usize, u64), [Arc<Head>; 2]>);

impl StaleHeads {
    /// Returns a head with another lifetime.
    pub(super) fn with_lifetime(&mut self, head: &Arc<Head>, lifetime: u64) -> Arc<Head> {
        if head.stored.lifetime == lifetime {
            return head.clone();
        }
        let at = (Arc::as_ptr(head).addr(), lifetime);
        if self.0.len() >= MAX_HEADS && !self.0.contains_key(&at) {
            self.0.clear();
        }
        let [_, stale] = self.0.entry(at).or_insert_with(|| {
            let stored = Stored { lifetime, ..head.stored.clone() };
            [head.clone(), Arc::new(Head { stored, ..(**head).clone() })]
        });
        stale.clone()
    }
}
