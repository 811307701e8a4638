//! What may change while the coordinator runs: groups and tokens, looked at each second and on SIGHUP.

use crate::{
    cache::state::Cache,
    config::{
        Config,
        groups_file::{GroupSource, LoadedGroups},
        tokens::{ReloadOutcome, Tokens},
    },
    feed::Feed,
    origin::BadCa,
    settings::Identity,
    telemetry::metrics::Metrics,
};
use meshcache_protocol::{Hash, groups::check::Problem};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::signal::unix::{SignalKind, signal};

/// How often files are looked at: a ConfigMap changes its files by a link, which few kinds of notification see.
const LOOK: Duration = Duration::from_secs(1);

/// For so long a token file may be gone or empty, as while an editor writes it. After that whoever took the tokens away
/// meant it.
const WITHOUT: Duration = Duration::from_secs(10);

/// Watches over the files, and takes what is good.
pub(crate) struct Reload {
    source: GroupSource,
    identity: Identity,
    cache: Arc<Cache>,
    feed: Arc<Feed>,
    metrics: Arc<Metrics>,
    tokens: [(&'static str, Arc<Tokens>); 2],
    seen: Hash,
    /// The last complaint about each thing: one line in the log, however often it is looked at.
    complaints: HashMap<&'static str, String>,
}

impl Reload {
    /// Takes the groups for the first time. The error is one line.
    pub(crate) fn start(
        config: &Config,
        cache: Arc<Cache>,
        feed: Arc<Feed>,
        metrics: Arc<Metrics>,
        peer: Arc<Tokens>,
        admin: Arc<Tokens>,
    ) -> Result<Self, String> {
        let files = config.source.read();
        let loaded = config.source.load(&files, config.identity).map_err(|wrong| wrong.to_string())?;
        cache.set_peer_tokens(&peer.accepted());
        let tokens = [("peer tokens", peer), ("admin tokens", admin)];
        let reload = Self {
            source: config.source.clone(),
            identity: config.identity,
            cache,
            feed,
            metrics,
            tokens,
            seen: files.digest(),
            complaints: HashMap::new(),
        };
        reload.take(loaded)?;
        Ok(reload)
    }

    /// Looks again and again. Never ends.
    pub(crate) async fn run(mut self) {
        let mut hangup =
            signal(SignalKind::hangup()).inspect_err(|error| tracing::warn!(%error, "SIGHUP is not heard")).ok();
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let asked = tokio::select! {
                _ = look.tick() => false,
                Some(_) = async { match &mut hangup { Some(hangup) => hangup.recv().await, None => std::future::pending().await } } => true,
            };
            // Files may be on a network: their time must not be the runtime's.
            self = match tokio::task::spawn_blocking(move || {
                self.look(asked, Instant::now());
                self
            })
            .await
            {
                Ok(reload) => reload,
                Err(error) => return tracing::error!(%error, "reload ended"),
            };
        }
    }

    /// Takes what has changed. `asked`: somebody sent SIGHUP and expects a line in any case.
    fn look(&mut self, asked: bool, now: Instant) {
        let [(_, peer), _] = self.tokens.clone();
        let before = peer.accepted();
        for (name, tokens) in self.tokens.clone() {
            match tokens.reload(now, WITHOUT) {
                Ok(ReloadOutcome::Changed) => tracing::info!("{name} reloaded"),
                Ok(ReloadOutcome::Revoked) => tracing::warn!(
                    "{name} revoked: their file has been without a token for {WITHOUT:?}, so nobody is admitted"
                ),
                Ok(ReloadOutcome::Same) => {}
                Err(error) => {
                    self.complain(name, error, asked);
                    continue;
                }
            }
            self.complaints.remove(name);
        }
        if *before != *peer.accepted() {
            self.cache.set_peer_tokens(&peer.accepted());
            // What it tells is marked by the first of them.
            self.feed.publish();
        }

        let files = self.source.reread();
        let digest = files.digest();
        if digest == self.seen && !asked {
            return;
        }
        self.seen = digest;
        let taken = self
            .source
            .load(&files, self.identity)
            .map_err(|wrong| wrong.to_string())
            .and_then(|loaded| self.take(loaded));
        match taken {
            Ok(()) => {
                tracing::info!(
                    groups = self.cache.groups().iter().count(),
                    digest = self.cache.groups().digest(),
                    "groups reloaded"
                );
                self.complaints.remove("groups");
            }
            Err(error) => {
                self.metrics.reload_successful.set(0);
                self.complain("groups", error, asked);
            }
        }
    }

    fn take(&self, loaded: LoadedGroups) -> Result<(), String> {
        give(&self.cache, &loaded)?;
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        self.metrics.set_config(loaded.groups.digest());
        self.metrics.reload_successful.set(1);
        self.feed.set_config(loaded.config);
        Ok(())
    }

    fn complain(&mut self, about: &'static str, error: String, asked: bool) {
        let before = self.complaints.insert(about, error.clone());
        if asked || before.as_ref() != Some(&error) {
            tracing::error!(error, "{about} not reloaded: those before stay");
        }
    }
}

/// Gives groups to a cache, or says with file and line why it cannot take them.
pub(crate) fn give(cache: &Cache, loaded: &LoadedGroups) -> Result<(), String> {
    cache.set_groups(loaded.groups.clone()).map_err(|BadCa { group, what }| {
        let n = loaded.groups.iter().position(|other| other.name() == group);
        loaded.locate(Problem { group: n, field: "origin.ca".into(), what }).to_string()
    })
}
