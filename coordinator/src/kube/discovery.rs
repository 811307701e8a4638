//! Discovery by the Kubernetes API: the ready endpoints of a Service, or the Pods of a label that answer as coordinators,
//! are the ring. Its state is shown in the metrics, the log and /readyz.

use crate::{
    cluster::membership::Membership,
    config::discovery::{KubeSource, Namespace},
    kube::{
        client::{ApiError, WATCH_TIMEOUT, client, selector},
        endpoint_slices::Slices,
        pods::Pods,
        probing::{ProbeOutcome, Probing},
        view::{Fault, Problem, Source, View},
        watch::{WatchState, follow},
    },
};
use kube::{Api, Client, runtime::watcher};
use meshcache_protocol::Peer;
use std::time::Duration;
use tokio::{
    sync::watch::{Receiver, channel},
    time::Instant,
};

/// The time between two updates of the ring's age.
const AGE_INTERVAL: Duration = Duration::from_secs(1);
/// The most new problems with a line each in the log; a thousand bad endpoints must not flood it.
const MAX_LOGGED: usize = 10;
/// The time that a Pod has to answer as a coordinator: a late answer is one, too.
const PROBE_PATIENCE: Duration = Duration::from_secs(5);

/// Objects that are watched.
#[derive(Clone)]
pub struct KubeDiscovery {
    /// In words.
    what: String,
    state: Receiver<WatchState>,
}

impl KubeDiscovery {
    /// Watches in a task of its own, for as long as the discovery is in use. An API server that is down is no reason to
    /// fail. `me`: this coordinator, where it listens.
    pub async fn start(source: KubeSource, me: &Peer) -> Result<Self, ApiError> {
        match source {
            KubeSource::Service(service) => {
                let (client, namespace) = client(service.namespace.as_deref()).await?;
                let what = format!("the endpoints of {namespace}/{}", service.name);
                Ok(Self::watch(Slices, client, &namespace, &selector(&service), what))
            }
            KubeSource::Pods { namespace, labels } => {
                let (client, namespace) = client(namespace.as_ref().map(Namespace::as_str)).await?;
                let what = format!("the Pods with {labels} in {namespace}");
                let pods = Pods::like(me, what.clone());
                Ok(Self::watch(pods, client, &namespace, labels.as_str(), what))
            }
        }
    }

    fn watch<S: Source>(source: S, client: Client, namespace: &str, labels: &str, what: String) -> Self {
        let objects: Api<S::Object> = Api::namespaced(client, namespace);
        let config = watcher::Config::default().labels(labels).timeout(WATCH_TIMEOUT);
        let (sender, state) = channel(WatchState::default());
        tokio::spawn(async move { follow(&source, || watcher(objects.clone(), config.clone()), &sender).await });
        Self { what, state }
    }

    /// The text of /readyz. A coordinator is ready once it has had an answer: the last ring is better than none. The
    /// error names what is missing.
    pub fn readiness(&self) -> Result<String, String> {
        let state = self.state.borrow();
        match (&state.view, &state.trouble) {
            (Some(_), None) => Ok("ready".into()),
            (Some(_), Some(trouble)) => {
                Ok(format!("ready, with a ring that is {} s old: {}", age(trouble.since), trouble.line))
            }
            (None, None) => Err(format!("waiting for {}", self.what)),
            (None, Some(trouble)) => Err(format!("waiting for {}: {}", self.what, trouble.line)),
        }
    }

    /// Waits for the first answer of the API server.
    pub async fn ready(mut self) {
        let _ = self.state.wait_for(|state| state.view.is_some()).await;
    }

    /// Passes each view to the membership, and shows the state. Ends only with the task that watches.
    pub async fn run(mut self, membership: &Membership) {
        let cluster = membership.cluster.clone();
        let mut probing = Probing::new(&membership.me, move |peer: Peer| {
            let cluster = cluster.clone();
            async move {
                let answer = cluster.peers.probe(&peer, PROBE_PATIENCE).await;
                tracing::debug!(peer = peer.name, ?answer, "probe");
                ProbeOutcome::of(answer)
            }
        });
        let (mut events, mut trouble, mut view) = (0, None, View::default());
        let mut ticks = tokio::time::interval(AGE_INTERVAL);
        loop {
            tokio::select! {
                changed = self.state.changed() => if changed.is_err() { return },
                _ = ticks.tick() => {}
                () = probing.news() => {}
            }
            // Compared with the last state, and not decided by the event: a change may come together with a tick.
            let state = self.state.borrow_and_update();
            membership.metrics.discovery_events.inc_by(state.events.saturating_sub(events));
            events = state.events;
            membership.metrics.ring_age.set(state.trouble.as_ref().map_or(0, |trouble| age(trouble.since)));
            let line = state.trouble.as_ref().map(|trouble| trouble.line.clone());
            if line != trouble {
                match &line {
                    Some(line) => tracing::warn!(watched = self.what, "{line}; the last ring stays"),
                    None => tracing::info!(watched = self.what, "the Kubernetes API sends changes again"),
                }
                trouble = line;
            }
            let Some(now) = state.view.as_ref().map(|now| probing.proven(now)).filter(|now| *now != view) else {
                continue;
            };
            drop(state);
            log_new(&now.problems, &view.problems);
            for fault in Fault::ALL {
                membership.metrics.set_discovery_problems(
                    fault.word(),
                    now.problems.iter().filter(|problem| problem.fault == fault).count(),
                );
            }
            membership.set_discovered(now.ready.clone());
            view = now;
        }
    }
}

/// Logs each problem that was not there before.
fn log_new(now: &[Problem], before: &[Problem]) {
    let new: Vec<&Problem> = now.iter().filter(|problem| before.binary_search(problem).is_err()).collect();
    for problem in new.iter().take(MAX_LOGGED) {
        tracing::warn!(problem = problem.fault.word(), "{problem}");
    }
    if new.len() > MAX_LOGGED {
        tracing::warn!("and {} more such problems", new.len() - MAX_LOGGED);
    }
}

fn age(since: Instant) -> i64 {
    i64::try_from(since.elapsed().as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Clock, cluster::Cluster, kube::watch::WatchTrouble, telemetry::metrics::Metrics};
    use meshcache_protocol::Peer;

    #[tokio::test(start_paused = true)]
    async fn a_change_that_comes_together_with_a_tick_makes_a_ring() {
        let metrics = Metrics::new().unwrap();
        let cluster = Cluster::new("a", Clock::new(), metrics.clone());
        let membership = Membership::new(cluster.clone(), metrics, "a", || {});
        let (sender, state) = channel(WatchState::default());
        let discovery = KubeDiscovery { what: "the endpoints of mesh/cache".into(), state };
        let task = tokio::spawn(async move { discovery.run(&membership).await });
        tokio::task::yield_now().await;
        for peers in 1..40 {
            let peer = |n| Peer { name: format!("p-{n}"), data: "10.0.0.1:1".into(), peer: "10.0.0.1:2".into() };
            sender.send_modify(|state| {
                state.view = Some(View { ready: (0..peers).map(peer).collect(), ..View::default() })
            });
            tokio::time::advance(AGE_INTERVAL).await;
            assert_eq!(cluster.ring().peers().len(), peers);
        }
        task.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn readiness_names_what_is_missing_and_stays_with_a_ring() {
        let (sender, state) = channel(WatchState::default());
        let discovery = KubeDiscovery { what: "the endpoints of mesh/cache".into(), state };
        assert_eq!(discovery.readiness(), Err("waiting for the endpoints of mesh/cache".into()));
        let trouble = Some(WatchTrouble { line: "no right to list".into(), since: Instant::now() });
        sender.send_modify(|state| state.trouble.clone_from(&trouble));
        assert_eq!(discovery.readiness(), Err("waiting for the endpoints of mesh/cache: no right to list".into()));
        sender.send_replace(WatchState { view: Some(View::default()), ..WatchState::default() });
        assert_eq!(discovery.readiness(), Ok("ready".into()));
        sender.send_replace(WatchState { view: Some(View::default()), trouble, ..WatchState::default() });
        tokio::time::advance(Duration::from_secs(7)).await;
        assert_eq!(discovery.readiness(), Ok("ready, with a ring that is 7 s old: no right to list".into()));
    }
}
