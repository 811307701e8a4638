//! Reloads groups, tokens, secrets and certificates while the coordinator runs: files are checked each second, those of
//! groups and tokens on SIGHUP, too.

use crate::{
    cache::state::Cache,
    config::{
        Config,
        groups_file::{GroupFiles, GroupSource, LoadedGroups},
        in_force::InForce,
        tokens::{ReloadOutcome, Tokens},
        watched_file::WatchedFiles,
    },
    feed::Feed,
    origin::BadOrigin,
    settings::{Identity, PeerTrust, Settings},
    telemetry::metrics::Metrics,
};
use meshcache_protocol::{Hash, groups::check::Problem};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::signal::unix::{SignalKind, signal};

/// The time between two checks: a ConfigMap changes its files by a link, which few kinds of notification see.
const INTERVAL: Duration = Duration::from_secs(1);

/// The time for which a token file may be missing or empty, as while an editor writes it, before its tokens are
/// revoked.
const REVOKE_DELAY: Duration = Duration::from_secs(10);

/// Checks the files, and applies valid ones.
pub(crate) struct Reload {
    source: GroupSource,
    identity: Identity,
    cache: Arc<Cache>,
    feed: Arc<Feed>,
    metrics: Arc<Metrics>,
    tokens: [(&'static str, Arc<Tokens>); 2],
    /// What the ports use: certificates and keys.
    files: Arc<WatchedFiles>,
    in_force: Arc<InForce>,
    seen: Hash,
    /// The last groups could not be applied: a file that they name may come later than they do.
    retries: bool,
    /// The last error of each kind of file: one line in the log, however often it is checked.
    errors: HashMap<&'static str, String>,
}

impl Reload {
    /// Applies the groups for the first time. The error is one line for people.
    pub(crate) fn start(
        config: &Config,
        cache: Arc<Cache>,
        feed: Arc<Feed>,
        metrics: Arc<Metrics>,
        peer: Arc<Tokens>,
        admin: Arc<Tokens>,
        files: Arc<WatchedFiles>,
    ) -> Result<Self, String> {
        let groups = config.source.read();
        let loaded = config.source.load(&groups, config.identity).map_err(|error| error.to_string())?;
        cache.set_peer_tokens(&peer.accepted());
        let tokens = [("peer tokens", peer), ("admin tokens", admin)];
        let reload = Self {
            source: config.source.clone(),
            identity: config.identity,
            cache,
            feed,
            metrics,
            tokens,
            files,
            in_force: Arc::new(InForce::taken()),
            seen: groups.digest(),
            retries: false,
            errors: HashMap::new(),
        };
        reload.apply_groups(loaded)?;
        Ok(reload)
    }

    /// What is known of the configuration in force.
    pub(crate) fn in_force(&self) -> Arc<InForce> {
        self.in_force.clone()
    }

    /// Checks the files again and again. Never ends.
    pub(crate) async fn run(mut self) {
        let mut hangup =
            signal(SignalKind::hangup()).inspect_err(|error| tracing::warn!(%error, "no handler for SIGHUP")).ok();
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let forced = tokio::select! {
                _ = ticks.tick() => false,
                Some(_) = async { match &mut hangup { Some(hangup) => hangup.recv().await, None => std::future::pending().await } } => true,
            };
            // Files may be on a network: reading them must not block the runtime.
            self = match tokio::task::spawn_blocking(move || {
                self.check(forced, Instant::now());
                self
            })
            .await
            {
                Ok(reload) => reload,
                Err(error) => return tracing::error!(%error, "reload ended"),
            };
        }
    }

    /// Applies changed files. `forced`: by SIGHUP, which gets a line in the log in any case.
    fn check(&mut self, forced: bool, now: Instant) {
        let [(_, peer), _] = self.tokens.clone();
        let before = peer.accepted();
        for (name, tokens) in self.tokens.clone() {
            match tokens.reload(now, REVOKE_DELAY) {
                Ok(ReloadOutcome::Changed) => tracing::info!("{name} reloaded"),
                Ok(ReloadOutcome::Revoked) => tracing::warn!(
                    "{name} revoked: their file has been without a token for {REVOKE_DELAY:?}, so no client is admitted"
                ),
                Ok(ReloadOutcome::Same) => {}
                Err(error) => {
                    self.report(name, error, forced);
                    continue;
                }
            }
            self.errors.remove(name);
        }
        if *before != *peer.accepted() {
            self.cache.set_peer_tokens(&peer.accepted());
            // The feed's marks are signed by the first of them.
            self.feed.publish();
        }
        self.files.check();
        self.cache.recheck_files();

        let files = self.source.reread();
        let digest = files.digest();
        if digest == self.seen && !forced && !self.retries {
            return;
        }
        self.seen = digest;
        let applied = self
            .source
            .load(&files, self.identity)
            .map_err(|error| error.to_string())
            .and_then(|loaded| self.apply_groups(loaded));
        self.retries = applied.is_err();
        match applied {
            Ok(()) => {
                tracing::info!(
                    groups = self.cache.groups().iter().count(),
                    digest = self.cache.groups().digest(),
                    "groups reloaded"
                );
                self.errors.remove("groups");
            }
            Err(error) => {
                self.metrics.reload_successful.set(0);
                self.in_force.refuse(&error);
                self.report("groups", error, forced);
            }
        }
    }

    fn apply_groups(&self, loaded: LoadedGroups) -> Result<(), String> {
        apply(&self.cache, &loaded)?;
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        self.metrics.set_config(loaded.groups.digest());
        self.metrics.reload_successful.set(1);
        self.in_force.replace();
        self.feed.set_config(loaded.config);
        Ok(())
    }

    fn report(&mut self, kind: &'static str, error: String, forced: bool) {
        let before = self.errors.insert(kind, error.clone());
        if forced || before.as_ref() != Some(&error) {
            tracing::error!(error, "{kind} not reloaded: the earlier ones stay");
        }
    }
}

/// Applies a source's groups to a cache that serves nobody.
pub(crate) fn check(source: &GroupSource, files: &GroupFiles, identity: Identity) -> Result<LoadedGroups, String> {
    let loaded = source.load(files, identity).map_err(|error| error.to_string())?;
    let (me, installation, peer_trust) = (String::new(), String::new(), PeerTrust::Token);
    let settings = Settings { me, installation, store_bytes: 0, identity, peer_trust };
    apply(&Cache::new(settings, Metrics::new().map_err(|error| error.to_string())?), &loaded)?;
    Ok(loaded)
}

/// Applies groups to a cache. The error is one line for people, with file and line.
pub(crate) fn apply(cache: &Cache, loaded: &LoadedGroups) -> Result<(), String> {
    cache.set_groups(loaded.groups.clone()).map_err(|BadOrigin { group, field, what }| {
        let n = loaded.groups.iter().position(|other| other.name() == group);
        loaded.locate(Problem { group: n, field, what }).to_string()
    })
}
