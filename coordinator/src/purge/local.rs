//! Purges on this coordinator: on threads of their own, announced to proxies by the feed, counted, and logged.

use crate::{
    cache::{removal, state::Cache},
    consistency::{Consistency, lease::Renewal, messages::CatchUpResponse, purge_log::Gap},
    feed::Feed,
    purge::{
        execute::{self, CaughtUp},
        results::Results,
    },
    store::usage::Purged,
    telemetry::metrics::Metrics,
};
use meshcache_protocol::purge::{Purge, Scope};
use std::sync::Arc;

/// The most bytes of a purge in the log.
const MAX_LOGGED: usize = 500;

/// Carries out purges on this coordinator.
pub(super) struct LocalPurger {
    cache: Arc<Cache>,
    consistency: Arc<Consistency>,
    feed: Arc<Feed>,
    metrics: Arc<Metrics>,
    results: Results,
}

impl LocalPurger {
    pub(super) fn new(cache: Arc<Cache>, feed: Arc<Feed>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { consistency: cache.consistency.clone(), cache, feed, metrics, results: Results::default() })
    }

    /// Counts what a purge would remove.
    pub(super) async fn count(self: &Arc<Self>, scope: Scope) -> Purged {
        self.blocking(|local, scope| removal::count(&local.cache, scope), scope).await
    }

    /// Numbers a new purge, and carries it out.
    pub(super) async fn issue(self: &Arc<Self>, scope: Scope, soft: bool) -> (Purge, Purged) {
        let issue = |local: &Self, (scope, soft): &(Scope, bool)| {
            let (purge, purged) = execute::issue(&local.cache, scope.clone(), *soft);
            local.report(&purge, purged);
            (purge, purged)
        };
        self.blocking(issue, (scope, soft)).await
    }

    /// Carries out a purge of a peer, unless it was carried out before: by an earlier call whose answer was lost, or
    /// because this coordinator has asked that peer meanwhile. What it removed then is what it has removed.
    pub(super) async fn apply(self: &Arc<Self>, purge: Purge) -> Result<Purged, Gap> {
        let apply = |local: &Self, purge: &Purge| {
            let purged = execute::apply(&local.cache, purge, |purge, purged| local.results.record(purge, purged))?;
            let purged = purged.inspect(|purged| local.report(purge, *purged));
            Ok(purged.or_else(|| local.results.of(purge)).unwrap_or_default())
        };
        self.blocking(apply, purge).await
    }

    /// Carries out the purges of a peer's answer. Returns whether all that the peer knows is known here now.
    pub(super) async fn catch_up(self: &Arc<Self>, peer: &str, response: CatchUpResponse) -> bool {
        // Nothing to do, as nearly always: not worth another thread.
        if response.purges.is_empty() && !response.truncated {
            return execute::catch_up(&self.cache, &response, |_, _| {}, |_, _| {}) == CaughtUp::Current;
        }
        let take = |local: &Self, (peer, response): &(String, CatchUpResponse)| {
            let caught_up = execute::catch_up(
                &local.cache,
                response,
                |purge, purged| local.results.record(purge, purged),
                |purge, purged| local.report(purge, purged),
            );
            if let CaughtUp::Flushed(purged) = caught_up {
                // A coordinator that has just started has an empty store.
                if purged.entries > 0 {
                    tracing::warn!(peer, "missed more purges than peers remember; flushed store");
                }
                local.report_flush(purged);
            }
            caught_up != CaughtUp::Behind
        };
        self.blocking(take, (peer.to_owned(), response)).await
    }

    /// Acts on what has become of the lease, and wakes the requests that wait for it.
    pub(super) async fn renew(self: &Arc<Self>, renewal: Renewal) {
        match renewal {
            Renewal::Unchanged => {}
            Renewal::Regained(ms) => tracing::info!(ms, "purge lease regained: missed purges were carried out"),
            Renewal::Flush => {
                let start_over = |local: &Self, (): &()| {
                    let purged = execute::start_over(&local.cache);
                    // A coordinator that has just started has an empty store.
                    if purged.entries > 0 {
                        tracing::warn!("no peer knows the purges since the lease was lost; flushed store");
                    }
                    local.report_flush(purged);
                };
                self.blocking(start_over, ()).await;
            }
        }
        self.consistency.notify_caught_up();
    }

    /// Flushes the store instead of waiting for purges that only unresponsive peers may know.
    pub(super) async fn abandon(self: &Arc<Self>, purges: Vec<(String, u64)>) {
        if purges.is_empty() {
            return;
        }
        let ids: Vec<String> = purges.iter().map(|(source, n)| format!("{source}:{n}")).collect();
        tracing::warn!(purges = ids.join(","), "purge known only to unresponsive peers; flushing store");
        self.blocking(|local, purges| local.report_flush(execute::abandon(&local.cache, purges)), purges).await;
        self.consistency.notify_caught_up();
    }

    /// Announces a purge to proxies and people. Called where it was carried out: its client may have hung up meanwhile.
    fn report(&self, purge: &Purge, purged: Purged) {
        self.feed.publish();
        self.metrics.purges.inc();
        self.metrics.purged_entries.inc_by(purged.entries);
        let mut what = serde_json::to_string(&purge.scope).unwrap_or_default();
        if what.len() > MAX_LOGGED {
            what.truncate(what.floor_char_boundary(MAX_LOGGED));
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

    fn report_flush(&self, purged: Purged) {
        self.metrics.store_flushes.inc_by(u64::from(purged.entries > 0));
        self.feed.publish();
    }

    /// Runs on a thread that no request waits for: purges look at many keys.
    async fn blocking<A: Send + 'static, T: Send + 'static>(
        self: &Arc<Self>,
        run: fn(&Self, &A) -> T,
        argument: A,
    ) -> T {
        let local = self.clone();
        match tokio::task::spawn_blocking(move || run(&local, &argument)).await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime ends, and the waiting task with it.
                Err(_) => std::future::pending().await,
            },
        }
    }
}
