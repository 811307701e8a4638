//! Discovery by the Kubernetes API: the ready endpoints of a Service are the ring. Its state is shown in the metrics,
//! the log and /readyz.

use crate::{
    cluster::membership::Membership,
    config::service_ref::ServiceRef,
    kube::{
        client::{ApiError, WATCH_TIMEOUT, client, selector},
        endpoint_slices::{EndpointProblem, Fault, View},
        watch::{WatchState, follow},
    },
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, runtime::watcher};
use std::time::Duration;
use tokio::{
    sync::watch::{Receiver, channel},
    time::Instant,
};

/// The time between two updates of the ring's age.
const AGE_INTERVAL: Duration = Duration::from_secs(1);
/// The most new problems with a line each in the log; a thousand bad endpoints must not flood it.
const MAX_LOGGED: usize = 10;

/// A Service whose endpoints are watched.
#[derive(Clone)]
pub struct KubeDiscovery {
    service: String,
    state: Receiver<WatchState>,
}

impl KubeDiscovery {
    /// Watches a Service in a task of its own, for as long as the discovery is in use. An API server that is down is no
    /// reason to fail.
    pub async fn start(service: ServiceRef) -> Result<Self, ApiError> {
        let (client, namespace) = client(service.namespace.as_deref()).await?;
        let slices: Api<EndpointSlice> = Api::namespaced(client, &namespace);
        let service = ServiceRef { namespace: Some(namespace), ..service };
        let config = watcher::Config::default().labels(&selector(&service)).timeout(WATCH_TIMEOUT);
        let (sender, state) = channel(WatchState::default());
        tokio::spawn(async move { follow(|| watcher(slices.clone(), config.clone()), &sender).await });
        Ok(Self { service: service.to_string(), state })
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
            (None, None) => Err(format!("waiting for the endpoints of {}", self.service)),
            (None, Some(trouble)) => Err(format!("waiting for the endpoints of {}: {}", self.service, trouble.line)),
        }
    }

    /// Waits for the first answer of the API server.
    pub async fn ready(mut self) {
        let _ = self.state.wait_for(|state| state.view.is_some()).await;
    }

    /// Passes each view to the membership, and shows the state. Ends only with the task that watches.
    pub async fn run(mut self, membership: &Membership) {
        let (mut events, mut trouble, mut view) = (0, None, View::default());
        let mut ticks = tokio::time::interval(AGE_INTERVAL);
        loop {
            tokio::select! {
                changed = self.state.changed() => if changed.is_err() { return },
                _ = ticks.tick() => {}
            }
            // Compared with the last state, and not decided by the event: a change may come together with a tick.
            let state = self.state.borrow_and_update();
            membership.metrics.discovery_events.inc_by(state.events.saturating_sub(events));
            events = state.events;
            membership.metrics.ring_age.set(state.trouble.as_ref().map_or(0, |trouble| age(trouble.since)));
            let line = state.trouble.as_ref().map(|trouble| trouble.line.clone());
            if line != trouble {
                match &line {
                    Some(line) => tracing::warn!(service = self.service, "{line}; the last ring stays"),
                    None => tracing::info!(service = self.service, "the Kubernetes API sends changes again"),
                }
                trouble = line;
            }
            let Some(now) = state.view.clone().filter(|now| *now != view) else { continue };
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
fn log_new(now: &[EndpointProblem], before: &[EndpointProblem]) {
    let new: Vec<&EndpointProblem> = now.iter().filter(|problem| before.binary_search(problem).is_err()).collect();
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
        let discovery = KubeDiscovery { service: "mesh/cache".into(), state };
        let task = tokio::spawn(async move { discovery.run(&membership).await });
        tokio::task::yield_now().await;
        for peers in 1..40 {
            let peer = |n| Peer { name: format!("p-{n}"), data: "10.0.0.1:1".into(), peer: "10.0.0.1:2".into() };
            sender.send_modify(|state| {
                state.view = Some(View { ready: (0..peers).map(peer).collect(), problems: Vec::new() })
            });
            tokio::time::advance(AGE_INTERVAL).await;
            assert_eq!(cluster.ring().peers().len(), peers);
        }
        task.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn readiness_names_what_is_missing_and_stays_with_a_ring() {
        let (sender, state) = channel(WatchState::default());
        let discovery = KubeDiscovery { service: "mesh/cache".into(), state };
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
