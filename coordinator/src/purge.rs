//! Purges: read strictly, carried out here and on every other coordinator, and told to proxies by the feed.

mod order;
pub mod send;

pub use order::{Order, Refused};

use crate::{
    cache::{Cache, Purged},
    feed::Feed,
    token::Tokens,
};
use meshcache_protocol::{Hash, feed};
use serde::{Deserialize, Serialize};
use std::{collections::hash_map::RandomState, hash::BuildHasher, sync::Arc, time::Duration};

/// How long a peer may take to purge. Whoever takes longer is named as unreached.
const PATIENCE: Duration = Duration::from_secs(2);

/// Carries out purges.
pub struct Purger {
    cache: Arc<Cache>,
    feed: Arc<Feed>,
    tokens: Arc<Tokens>,
    me: String,
}

/// A purge on its way between coordinators.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Call {
    /// The purge.
    pub purge: feed::Purge,
    /// Only count what would go.
    pub dry_run: bool,
}

/// What came of a purge, on one coordinator or on all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// The purge's id.
    pub id: String,
    /// Entries removed, all variants.
    pub entries: u64,
    /// Bytes that they took.
    pub bytes: u64,
    /// Coordinators that did not say that they have done it.
    pub unreached: Vec<String>,
}

impl Purger {
    /// `me`: this peer's name in the ring.
    pub fn new(cache: Arc<Cache>, feed: Arc<Feed>, tokens: Arc<Tokens>, me: &str) -> Arc<Self> {
        Arc::new(Self { cache, feed, tokens, me: me.to_owned() })
    }

    /// Purges everywhere: here, and on all other peers at once.
    pub async fn everywhere(&self, order: Order) -> Report {
        let call = Call { purge: feed::Purge { id: new_id(), what: order.what, soft: false }, dry_run: order.dry_run };
        let ring = self.cache.ring();
        let others: Vec<_> = ring.peers().iter().filter(|peer| peer.name != self.me).cloned().collect();
        let calls: Vec<_> = others
            .into_iter()
            .map(|peer| {
                let (call, token) = (call.clone(), self.tokens.first());
                let name = peer.name.clone();
                (name, tokio::spawn(async move { tokio::time::timeout(PATIENCE, send::to(&peer, &call, token)).await }))
            })
            .collect();
        let mut report = self.here(&call);
        for (name, answer) in calls {
            let why = match answer.await {
                Ok(Ok(Ok(there))) => {
                    report.entries = report.entries.saturating_add(there.entries);
                    report.bytes = report.bytes.saturating_add(there.bytes);
                    continue;
                }
                Ok(Ok(Err(error))) => error.to_string(),
                Ok(Err(_)) => format!("no answer within {PATIENCE:?}"),
                Err(error) => error.to_string(),
            };
            tracing::warn!(id = report.id, peer = name, error = why, "peer not reached by purge");
            report.unreached.push(name);
        }
        report
    }

    /// Purges here. One that was heard before does nothing.
    pub fn here(&self, call: &Call) -> Report {
        let Call { purge, dry_run } = call;
        let Purged { entries, bytes } = if *dry_run {
            self.cache.would_purge(&purge.what)
        } else if self.feed.purge(purge.clone()) {
            self.cache.purge(&purge.what)
        } else {
            Purged::default()
        };
        tracing::info!(id = purge.id, entries, bytes, dry_run, what = serde_json::to_string(&purge.what).unwrap_or_default(), "purge");
        Report { id: purge.id.clone(), entries, bytes, unreached: Vec::new() }
    }
}

/// 128 random bits: the standard library seeds each hasher from the system.
fn new_id() -> String {
    format!("{:016x}{:016x}", RandomState::new().hash_one(0), Hash::of(&RandomState::new().hash_one(1).to_le_bytes()).low())
}
