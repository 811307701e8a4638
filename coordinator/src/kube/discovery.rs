//! What discovery knows of a Service that it follows: told to the ring, the metrics, the log and /readyz.

use crate::{
    cluster::membership::Rings,
    kube::{
        Known,
        endpoint_slices::{Fault, Problem, View},
    },
};
use std::time::Duration;
use tokio::{sync::watch::Receiver, time::Instant};

/// How often the age of the ring is shown.
const LOOK: Duration = Duration::from_secs(1);
/// So many new problems are a line each in the log; a thousand bad endpoints must not flood it.
const LINES: usize = 10;

/// A Service that is followed.
#[derive(Clone)]
pub struct Followed {
    service: String,
    known: Receiver<Known>,
}

impl Followed {
    pub(super) fn new(service: String, known: Receiver<Known>) -> Self {
        Self { service, known }
    }

    /// What /readyz says. Ready is who has had an answer once: the last ring is better than none. The error says what
    /// is missing.
    pub fn readiness(&self) -> Result<String, String> {
        let known = self.known.borrow();
        match (&known.view, &known.trouble) {
            (Some(_), None) => Ok("ready".into()),
            (Some(_), Some(trouble)) => {
                Ok(format!("ready, with a ring that is {} s old: {}", age(trouble.since), trouble.line))
            }
            (None, None) => Err(format!("waiting for the endpoints of {}", self.service)),
            (None, Some(trouble)) => Err(format!("waiting for the endpoints of {}: {}", self.service, trouble.line)),
        }
    }

    /// Waits until the API server has had its first say.
    pub async fn ready(mut self) {
        let _ = self.known.wait_for(|known| known.view.is_some()).await;
    }

    /// Makes a ring of each view, and shows what goes on. Ends only with the task that follows.
    pub async fn run(mut self, rings: &Rings) {
        let (mut events, mut trouble, mut view) = (0, None, View::default());
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                changed = self.known.changed() => if changed.is_err() { return },
                _ = look.tick() => {}
            }
            // What is new is told from what was taken before, not from who woke this: a change may come together with a
            // tick.
            let known = self.known.borrow_and_update();
            rings.metrics.discovery_events.inc_by(known.events.saturating_sub(events));
            events = known.events;
            rings.metrics.ring_age.set(known.trouble.as_ref().map_or(0, |trouble| age(trouble.since)));
            let line = known.trouble.as_ref().map(|trouble| trouble.line.clone());
            if line != trouble {
                match &line {
                    Some(line) => tracing::warn!(service = self.service, "{line}; the last ring stays"),
                    None => tracing::info!(service = self.service, "the Kubernetes API tells the ring again"),
                }
                trouble = line;
            }
            let Some(now) = known.view.clone().filter(|now| *now != view) else { continue };
            drop(known);
            tell(&now.problems, &view.problems);
            for fault in Fault::ALL {
                rings.metrics.set_discovery_problems(
                    fault.word(),
                    now.problems.iter().filter(|problem| problem.fault == fault).count(),
                );
            }
            rings.replace(now.ready.clone());
            view = now;
        }
    }
}

/// A line for each problem that was not there before.
fn tell(now: &[Problem], before: &[Problem]) {
    let new: Vec<&Problem> = now.iter().filter(|problem| before.binary_search(problem).is_err()).collect();
    for problem in new.iter().take(LINES) {
        tracing::warn!(problem = problem.fault.word(), "{problem}");
    }
    if new.len() > LINES {
        tracing::warn!("and {} more such problems", new.len() - LINES);
    }
}

fn age(since: Instant) -> i64 {
    i64::try_from(since.elapsed().as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cache::state::Cache, kube::Trouble};
    use meshcache_protocol::Peer;
    use tokio::sync::watch::channel;

    #[tokio::test(start_paused = true)]
    async fn a_change_that_comes_together_with_a_tick_makes_a_ring() {
        let cache = Cache::sample("a", 1 << 20);
        let rings = Rings::new(cache.cluster.clone(), cache.metrics.clone(), "a", || {});
        let (told, known) = channel(Known::default());
        let followed = Followed::new("mesh/cache".into(), known);
        let task = tokio::spawn(async move { followed.run(&rings).await });
        tokio::task::yield_now().await;
        for peers in 1..40 {
            let peer = |n| Peer { name: format!("p-{n}"), data: "10.0.0.1:1".into(), peer: "10.0.0.1:2".into() };
            told.send_modify(|known| {
                known.view = Some(View { ready: (0..peers).map(peer).collect(), problems: Vec::new() })
            });
            tokio::time::advance(LOOK).await;
            assert_eq!(cache.cluster.ring().peers().len(), peers);
        }
        task.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn readiness_says_what_is_missing_and_never_gives_up_a_ring() {
        let (told, known) = channel(Known::default());
        let followed = Followed::new("mesh/cache".into(), known);
        assert_eq!(followed.readiness(), Err("waiting for the endpoints of mesh/cache".into()));
        let trouble = Some(Trouble { line: "no right to list".into(), since: Instant::now() });
        told.send_modify(|known| known.trouble.clone_from(&trouble));
        assert_eq!(followed.readiness(), Err("waiting for the endpoints of mesh/cache: no right to list".into()));
        told.send_replace(Known { view: Some(View::default()), ..Known::default() });
        assert_eq!(followed.readiness(), Ok("ready".into()));
        told.send_replace(Known { view: Some(View::default()), trouble, ..Known::default() });
        tokio::time::advance(Duration::from_secs(7)).await;
        assert_eq!(followed.readiness(), Ok("ready, with a ring that is 7 s old: no right to list".into()));
    }
}
