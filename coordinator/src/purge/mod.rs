//! Purges: read strictly, carried out here and on every other coordinator, and told to proxies by the feed.

mod acks;
mod connection;
pub mod execute;
mod request;
pub mod sync;

pub use request::{Order, Refused};

use crate::{
    cache::{removal, state::Cache},
    config::tokens::Tokens,
    consistency::{lease::Renewal, messages, purge_log::Gap},
    feed::Feed,
    store::usage::Purged,
    telemetry::metrics::Metrics,
};
use acks::Told;
use connection::{Line, Unheard};
use execute::Caught;
use meshcache_protocol::{
    Peer,
    purge::{Purge, What},
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::{sync::watch::Sender, task::JoinSet};

/// How long a peer may take to purge. Whoever takes longer is named as unreached: longer than a lease, so that it has
/// stopped answering from its store by then. Of whom that is known already is not waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// A peer that could not be reached is tried again after this time, while it may still be.
const AGAIN: Duration = Duration::from_millis(50);
/// So much of what is purged stands in the log.
const TOLD: usize = 500;
/// Where a peer takes purges.
pub const PATH: &str = "/.meshcache/purge";

/// Carries out purges.
pub struct Purger {
    cache: Arc<Cache>,
    feed: Arc<Feed>,
    metrics: Arc<Metrics>,
    tokens: Arc<Tokens>,
    me: String,
    /// Told of each new ring.
    rings: Sender<()>,
    /// Peers that are not heard: one line in the log for each time.
    silent: Mutex<BTreeSet<String>>,
}

/// A purge on its way between coordinators.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Call {
    /// It is carried out.
    Purge(Purge),
    /// What it would come to is only counted.
    Count(What),
}

/// What came of a purge, on one coordinator or on all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// The purge's id.
    pub id: String,
    /// Entries removed or made stale, all variants.
    pub entries: u64,
    /// Bytes that they took.
    pub bytes: u64,
    /// Coordinators that did not say that they have done it.
    pub unreached: Vec<String>,
    /// Between coordinators: who has asked there, within a lease, what was purged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<Vec<String>>,
}

impl Purger {
    /// `me`: this peer's name in the ring.
    pub fn new(cache: Arc<Cache>, feed: Arc<Feed>, metrics: Arc<Metrics>, tokens: Arc<Tokens>, me: &str) -> Arc<Self> {
        let (rings, _) = tokio::sync::watch::channel(());
        Arc::new(Self { cache, feed, metrics, tokens, me: me.to_owned(), rings, silent: Mutex::default() })
    }

    /// There is another ring.
    pub fn ring_changed(&self) {
        self.rings.send_replace(());
    }

    /// Purges everywhere: here, and on all other peers at once.
    pub async fn everywhere(self: &Arc<Self>, order: Order) -> Report {
        let Order { what, soft, dry_run } = order;
        let (call, mut report) = if dry_run {
            let Purged { entries, bytes } =
                self.blocking(|purger, what: &What| removal::count(&purger.cache, what), what.clone()).await;
            (Call::Count(what), Report { entries, bytes, ..Report::default() })
        } else {
            let order = |purger: &Self, (what, soft): &(What, bool)| {
                let (purge, purged) = execute::order(&purger.cache, what.clone(), *soft);
                purger.carried_out(&purge, purged);
                (purge, purged)
            };
            let (purge, purged) = self.blocking(order, (what, soft)).await;
            (
                Call::Purge(purge.clone()),
                Report { id: purge.id(), entries: purged.entries, bytes: purged.bytes, ..Report::default() },
            )
        };
        let (ring, audience) = (self.cache.cluster.ring(), self.cache.consistency.audience());
        let mut told = Told::new(audience.iter().map(|peer| peer.name.clone()));
        let mut calls = JoinSet::new();
        for peer in audience {
            let (purger, call) = (self.clone(), call.clone());
            calls.spawn(async move { (tokio::time::timeout(PATIENCE, purger.tell(&peer, &call)).await, peer.name) });
        }
        while !told.have_ceased(&self.silent.lock(), &self.asked_here()) {
            let Some(ended) = calls.join_next().await else { break };
            let Ok((answer, name)) = ended else { continue };
            let why = match answer {
                Ok(Ok(there)) => {
                    report.entries = report.entries.saturating_add(there.entries);
                    report.bytes = report.bytes.saturating_add(there.bytes);
                    told.has_it(&name, there.asked);
                    continue;
                }
                // It had left the ring, and has ended since.
                Ok(Err(Unheard::Refused)) if ring.peer(&name).is_none() => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some(format!("no answer within {PATIENCE:?}")),
            };
            told.ends(&name);
            if let Some(why) = why {
                self.unreached(&mut report, name, &why);
            }
        }
        for name in told.left() {
            self.unreached(&mut report, name.clone(), "silent, and no longer answering from its store");
        }
        report
    }

    fn unreached(&self, report: &mut Report, peer: String, why: &str) {
        // That it is silent was said when it began.
        if self.silent.lock().contains(&peer) {
            tracing::debug!(id = report.id, peer, error = why, "peer not reached by purge");
        } else {
            tracing::warn!(id = report.id, peer, error = why, "peer not reached by purge");
        }
        self.metrics.purges_unreached.inc();
        report.unreached.push(peer);
    }

    fn asked_here(&self) -> BTreeSet<String> {
        self.cache.consistency.listeners().into_iter().map(|peer| peer.name).collect()
    }

    /// Tells a peer, again and again until it has done it, or it is not there.
    async fn tell(&self, peer: &Peer, call: &Call) -> Result<Report, Unheard> {
        let token = self.tokens.first().ok_or_else(|| Unheard::Silent("no --peer-token-file".into()))?;
        loop {
            match Line::to(peer).ask(PATH, call, &token).await {
                Err(Unheard::Silent(why)) => tracing::debug!(peer = peer.name, error = why, "purge is said again"),
                end => return end,
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Carries out what a peer says. One that was heard before is not carried out again. An error: purges before it
    /// have to be heard first.
    pub async fn here(self: &Arc<Self>, call: Call) -> Result<Report, Behind> {
        match call {
            Call::Count(what) => {
                let Purged { entries, bytes } =
                    self.blocking(|purger, what| removal::count(&purger.cache, what), what).await;
                Ok(Report { entries, bytes, asked: Some(self.asked_here().into_iter().collect()), ..Report::default() })
            }
            Call::Purge(purge) => {
                let Purged { entries, bytes } = self.hear(purge.clone()).await.map_err(|Gap| {
                    self.cache.consistency.wake();
                    Behind
                })?;
                let asked = Some(self.asked_here().into_iter().collect());
                Ok(Report { id: purge.id(), entries, bytes, asked, ..Report::default() })
            }
        }
    }

    /// What one who is there has not heard.
    pub fn since(&self, question: &messages::Question) -> messages::Answer {
        self.cache.consistency.tell_since(question)
    }

    async fn hear(self: &Arc<Self>, purge: Purge) -> Result<Purged, Gap> {
        let hear = |purger: &Self, purge: &Purge| {
            let heard = execute::hear(&purger.cache, purge)?;
            Ok(heard.inspect(|purged| purger.carried_out(purge, *purged)).unwrap_or_default())
        };
        self.blocking(hear, purge).await
    }

    /// Lets proxies and people know. Said where it was done: whoever asked for it may have hung up meanwhile.
    fn carried_out(&self, purge: &Purge, purged: Purged) {
        self.feed.publish();
        self.metrics.purges.inc();
        self.metrics.purged_entries.inc_by(purged.entries);
        let mut what = serde_json::to_string(&purge.what).unwrap_or_default();
        if what.len() > TOLD {
            what.truncate(what.floor_char_boundary(TOLD));
            what.push_str("...");
        }
        tracing::info!(
            id = purge.id(),
            entries = purged.entries,
            bytes = purged.bytes,
            soft = purge.soft,
            what,
            "purge"
        );
    }

    /// Takes what a peer has told. Whether all that is known there is known here now.
    async fn catch_up(self: Arc<Self>, peer: &str, answer: messages::Answer) -> bool {
        // Nothing to do, as nearly always: not worth another thread.
        if answer.purges.is_empty() && !answer.missed {
            return execute::catch_up(&self.cache, &answer, |_, _| {}) == Caught::Up;
        }
        let take = |purger: &Self, (peer, answer): &(String, messages::Answer)| {
            let caught = execute::catch_up(&purger.cache, answer, |purge, purged| purger.carried_out(purge, purged));
            if let Caught::Emptied(had) = caught {
                // Who has just started has nothing, and nothing to complain of.
                if had.entries > 0 {
                    tracing::warn!(peer, "more was purged than others remember: the store was emptied");
                }
                purger.emptied(had);
            }
            caught != Caught::Behind
        };
        self.blocking(take, (peer.to_owned(), answer)).await
    }

    async fn renewed(self: &Arc<Self>, renewal: Renewal) {
        match renewal {
            Renewal::Quiet => {}
            Renewal::Back(ms) => {
                tracing::info!(ms, "purges are known again: what others purged meanwhile was carried out")
            }
            Renewal::Empty => {
                tracing::warn!("nobody knows what was purged while peers were not heard: the store is emptied");
                self.blocking(|purger, ()| purger.emptied(execute::start_over(&purger.cache)), ()).await;
            }
        }
        self.cache.consistency.caught_up.send_replace(());
    }

    async fn give_up(self: &Arc<Self>, hopeless: Vec<(String, u64)>) {
        if hopeless.is_empty() {
            return;
        }
        let purges: Vec<String> = hopeless.iter().map(|(source, n)| format!("{source}:{n}")).collect();
        tracing::warn!(
            purges = purges.join(","),
            "proxies tell of purges that only silent peers may know: the store is emptied"
        );
        self.blocking(|purger, hopeless| purger.emptied(execute::give_up(&purger.cache, hopeless)), hopeless).await;
        self.cache.consistency.caught_up.send_replace(());
    }

    fn emptied(&self, had: Purged) {
        self.metrics.emptied.inc_by(u64::from(had.entries > 0));
        self.feed.publish();
    }

    /// A peer neither answers nor refuses.
    fn is_silent(&self, peer: &str, why: &str) {
        self.change_silent(|silent| {
            if silent.insert(peer.to_owned()) {
                tracing::warn!(peer, error = why, "peer is not heard: what it purges is not known here");
            }
        });
    }

    /// It answers, or it is gone.
    fn is_silent_no_more(&self, peer: &str, how: &str) {
        self.change_silent(|silent| {
            if silent.remove(peer) {
                tracing::info!(peer, how, "peer is silent no more");
            }
        });
    }

    fn change_silent(&self, change: impl FnOnce(&mut BTreeSet<String>)) {
        let mut silent = self.silent.lock();
        change(&mut silent);
        self.metrics.silent_peers.set(i64::try_from(silent.len()).unwrap_or(i64::MAX));
    }

    /// Purges look at many keys: not on a thread that others wait for.
    async fn blocking<A: Send + 'static, T: Send + 'static>(
        self: &Arc<Self>,
        run: fn(&Self, &A) -> T,
        argument: A,
    ) -> T {
        let purger = self.clone();
        match tokio::task::spawn_blocking(move || run(&purger, &argument)).await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime ends, and with it whoever waits for this.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

/// Purges before this one have to be heard first: they are being fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_purged_is_told_though_whoever_ordered_it_has_hung_up() {
        // One thread purges, and something else first: nothing is done before whoever ordered it has left.
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
        let (go, busy) = std::sync::mpsc::channel();
        runtime.spawn_blocking(move || busy.recv());
        runtime.block_on(is_told_though_nobody_waits(go));
    }

    async fn is_told_though_nobody_waits(go: std::sync::mpsc::Sender<()>) {
        let cache = Cache::sample("a", 1 << 20);
        let metrics = cache.metrics.clone();
        let feed = Feed::new(cache.clone(), metrics.clone(), "meshcache", "a");
        let purger = Purger::new(cache, feed, metrics.clone(), Tokens::open(None).unwrap(), "a");
        let order = Order { what: What { all: true, ..What::default() }, soft: false, dry_run: false };
        tokio::select! {
            biased;
            _ = purger.everywhere(order) => panic!("purged at once"),
            () = std::future::ready(()) => go.send(()).unwrap(),
        }
        let end = tokio::time::Instant::now() + Duration::from_secs(20);
        while metrics.purges.get() == 0 {
            assert!(tokio::time::Instant::now() < end, "it was carried out, and nobody hears of it");
            tokio::task::yield_now().await;
        }
    }
}
