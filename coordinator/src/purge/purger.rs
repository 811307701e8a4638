//! A purge on all coordinators: carried out here, then sent to every peer until it is acknowledged.

use crate::{
    cache::state::Cache,
    cluster::{Cluster, gossip::list::ListId},
    config::tokens::Tokens,
    consistency::{
        Consistency,
        lease::LEASE,
        messages::{CatchUpRequest, CatchUpResponse},
        purge_log::Gap,
    },
    feed::Feed,
    purge::{
        acks::Acks,
        connection::{CallError, PeerConnection},
        local::LocalPurger,
        messages::{PurgeCall, PurgeReport},
        recent::{self, RecentPurges},
        request::PurgeRequest,
        unresponsive::UnresponsivePeers,
    },
    store::usage::Purged,
    telemetry::metrics::Metrics,
};
use meshcache_protocol::{Peer, paths};
use std::{borrow::Cow, collections::BTreeSet, sync::Arc, time::Duration};
use tokio::task::JoinSet;

/// The time that a peer has for a purge before it is named as unreached: longer than a lease, so that it has stopped
/// answering from its store by then. A peer that is known to have stopped is not waited for.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The pause before a peer that could not be reached is called again.
const RETRY: Duration = Duration::from_millis(50);

/// Purges on all coordinators.
pub struct Purger {
    pub(super) cluster: Arc<Cluster>,
    pub(super) consistency: Arc<Consistency>,
    metrics: Arc<Metrics>,
    pub(super) tokens: Arc<Tokens>,
    pub(super) local: Arc<LocalPurger>,
    pub(super) unresponsive: Arc<UnresponsivePeers>,
    pub(crate) recent: RecentPurges,
}

impl Purger {
    /// A purger of this cache's entries. `tokens`: those of peers.
    pub fn new(cache: Arc<Cache>, feed: Arc<Feed>, metrics: Arc<Metrics>, tokens: Arc<Tokens>) -> Arc<Self> {
        Arc::new(Self {
            cluster: cache.cluster.clone(),
            consistency: cache.consistency.clone(),
            tokens,
            unresponsive: Arc::new(UnresponsivePeers::new(metrics.clone())),
            local: LocalPurger::new(cache, feed, metrics.clone()),
            metrics,
            recent: RecentPurges::default(),
        })
    }

    /// Purges here, and then on all other peers at once.
    pub async fn purge(&self, request: PurgeRequest) -> PurgeReport {
        let PurgeRequest { scope, soft, dry_run } = request;
        let what = recent::describe(&scope);
        let (call, mut report) = if dry_run {
            let Purged { entries, bytes } = self.local.count(scope.clone()).await;
            (PurgeCall::Count(scope), PurgeReport { entries, bytes, ..PurgeReport::default() })
        } else {
            let (purge, Purged { entries, bytes }) = self.local.issue(scope, soft).await;
            let report = PurgeReport { id: purge.id(), entries, bytes, ..PurgeReport::default() };
            (PurgeCall::Purge(purge), report)
        };
        let (mut acks, call) = (Acks::new(&self.cluster.me), Arc::new(call));
        let mut later = self.send_to_all(&call, &mut acks, &mut report).await;
        while let Some((peer, list)) = later {
            later = if self.has_caught_up_with(&list).await {
                self.send_to_all(&call, &mut acks, &mut report).await
            } else {
                self.add_unreached(&mut report, peer, "it knows members that are unknown here");
                None
            };
        }
        let strangers = acks.strangers();
        if !dry_run && !strangers.is_empty() {
            // A lease of theirs that is newer than the last acknowledgement rests on an answer with the purge.
            tracing::debug!(id = report.id, ?strangers, "purge waits until peers unknown here have heard of it");
            tokio::time::sleep(Duration::from_millis(LEASE)).await;
        }
        if !dry_run {
            self.recent.add(what, soft, &report);
        }
        report
    }

    /// Sends a purge to all who have not got it yet. Returns the peer whose list of members is later than the own one,
    /// if there is one: those whom it has further are to be sent it, too.
    async fn send_to_all(
        &self,
        call: &Arc<PurgeCall>,
        acks: &mut Acks,
        report: &mut PurgeReport,
    ) -> Option<(String, ListId)> {
        let (ring, mut calls, mut later) = (self.cluster.ring(), JoinSet::new(), None);
        for peer in acks.add(self.consistency.audience()) {
            let (tokens, call, cluster) = (self.tokens.clone(), call.clone(), self.cluster.clone());
            calls.spawn(async move {
                (tokio::time::timeout(TIMEOUT, send(&cluster, &tokens, &peer, &call)).await, peer.name)
            });
        }
        while !acks.pending_have_no_lease(&self.unresponsive.names(), &self.listeners()) {
            let Some(ended) = calls.join_next().await else { break };
            let Ok((answer, peer)) = ended else { continue };
            let why = match answer {
                Ok(Ok(there)) => {
                    report.entries = report.entries.saturating_add(there.entries);
                    report.bytes = report.bytes.saturating_add(there.bytes);
                    acks.acknowledge(&peer, there.listeners);
                    let is_later = |list: &ListId| self.cluster.gossiper().is_some_and(|own| own.is_behind(list));
                    later = there.list.filter(is_later).map(|list| (peer, list)).or(later);
                    continue;
                }
                // It had left the ring, and has ended since.
                Ok(Err(CallError::Refused)) if ring.peer(&peer).is_none() => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some(format!("no answer within {TIMEOUT:?}")),
            };
            acks.fail(&peer);
            if let Some(why) = why {
                self.add_unreached(report, peer, &why);
            }
        }
        for peer in acks.take_pending() {
            self.add_unreached(report, peer, "unresponsive, and no longer answering from its store");
        }
        later
    }

    /// Waits until the own list of members is as late as this one. Returns whether it is.
    async fn has_caught_up_with(&self, list: &ListId) -> bool {
        let Some(gossiper) = self.cluster.gossiper() else { return true };
        let mut lists = gossiper.lists();
        self.consistency.request_catch_up();
        let caught_up = async { while gossiper.is_behind(list) && lists.changed().await.is_ok() {} };
        tokio::time::timeout(TIMEOUT, caught_up).await.is_ok()
    }

    fn add_unreached(&self, report: &mut PurgeReport, peer: String, why: &str) {
        // An unresponsive peer was logged when it became so.
        if self.unresponsive.contains(&peer) {
            tracing::debug!(id = report.id, peer, error = why, "peer not reached by purge");
        } else {
            tracing::warn!(id = report.id, peer, error = why, "peer not reached by purge");
        }
        self.metrics.purges_unreached.inc();
        report.unreached.push(peer);
    }

    fn listeners(&self) -> BTreeSet<String> {
        self.consistency.listeners().into_iter().map(|peer| peer.name).collect()
    }

    /// Takes a purge of a peer. One that was carried out before is not carried out again.
    pub async fn receive(&self, call: PurgeCall) -> Result<PurgeReport, Behind> {
        let (id, Purged { entries, bytes }) = match call {
            PurgeCall::Count(scope) => (String::new(), self.local.count(scope).await),
            PurgeCall::Purge(purge) => {
                let id = purge.id();
                let purged = self.local.apply(purge).await.map_err(|Gap| {
                    self.consistency.request_catch_up();
                    Behind
                })?;
                (id, purged)
            }
        };
        let listeners = Some(self.listeners().into_iter().collect());
        let list = self.cluster.gossiper().and_then(|gossiper| gossiper.list());
        Ok(PurgeReport { id, entries, bytes, listeners, list, ..PurgeReport::default() })
    }

    /// Answers a peer that catches up.
    pub fn respond(&self, request: &CatchUpRequest) -> CatchUpResponse {
        self.consistency.respond(request)
    }
}

/// Sends a purge to a peer, again and again until it is acknowledged or the peer refuses.
async fn send(
    cluster: &Arc<Cluster>,
    tokens: &Tokens,
    peer: &Peer,
    call: &PurgeCall,
) -> Result<PurgeReport, CallError> {
    let token = tokens.first().ok_or_else(|| CallError::Unresponsive("no --peer-token-file".into()))?;
    let mut call = Cow::Borrowed(call);
    loop {
        match PeerConnection::to(peer, cluster.clone()).call(paths::PURGE, &*call, &token).await {
            Err(CallError::NotUnderstood) if let Some(wider) = call.widened() => {
                call = Cow::Owned(wider);
                continue;
            }
            Err(error @ (CallError::NotUnderstood | CallError::TokenRefused | CallError::Unresponsive(_))) => {
                tracing::debug!(peer = peer.name, %error, "retrying purge");
            }
            end => return end,
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Earlier purges of the same source are still unknown here, and are being fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind;
