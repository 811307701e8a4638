//! Requests at all ready Pods in turn, for as long as a test goes on.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use meshcache_tests::{Ask, await_until, wait::LONG};

/// A Pod that requests go to.
pub(crate) struct Target {
    pub(crate) at: SocketAddr,
    /// Requests that it has answered.
    pub(crate) answered: AtomicUsize,
    /// Requests that it has not answered yet.
    pub(crate) in_flight: AtomicUsize,
}

/// The Pods that requests go to: what a Service would know.
pub(crate) type Targets = Arc<Mutex<Vec<Arc<Target>>>>;

#[derive(Default)]
struct Outcome {
    stop: AtomicBool,
    answered: AtomicUsize,
    failures: Mutex<Vec<String>>,
}

/// The load. Dropping it ends it.
pub(crate) struct Load(Arc<Outcome>);

const CLIENTS: usize = 4;
const KEYS: usize = 200;

impl Load {
    pub(crate) fn start(targets: Targets, path: &'static str) -> Load {
        let outcome = Arc::new(Outcome::default());
        for client in 0..CLIENTS {
            let (targets, outcome) = (targets.clone(), outcome.clone());
            tokio::spawn(async move {
                for n in client.. {
                    if outcome.stop.load(Ordering::Relaxed) {
                        return;
                    }
                    // Counted under the lock: whoever takes a Pod away sees all requests that go there.
                    let target = {
                        let targets = targets.lock().unwrap();
                        let target = targets[n % targets.len()].clone();
                        target.in_flight.fetch_add(1, Ordering::SeqCst);
                        target
                    };
                    // Some that all have asked for, and some that nobody has.
                    let key = if n % 3 == 0 { n * CLIENTS + client } else { n * 7 % KEYS };
                    let ask = Ask::get("config.test", &format!("{path}?key={key}"));
                    match ask.send(target.at).await {
                        Ok(answer) if answer.status == 200 && answer.text() == format!("body of {path}") => {
                            target.answered.fetch_add(1, Ordering::SeqCst);
                            outcome.answered.fetch_add(1, Ordering::Relaxed);
                        }
                        Ok(answer) => outcome.fail(&target, format!("{} {}", answer.status, answer.text())),
                        Err(error) => outcome.fail(&target, format!("{error:#}")),
                    }
                    target.in_flight.fetch_sub(1, Ordering::SeqCst);
                    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                }
            });
        }
        Load(outcome)
    }

    /// Waits for a hundred answers more.
    pub(crate) async fn goes_on(&self) {
        let before = self.0.answered.load(Ordering::Relaxed);
        let more = async || self.0.answered.load(Ordering::Relaxed) >= before + 100 || !self.failures().is_empty();
        await_until(more, LONG, "requests are answered").await;
    }

    pub(crate) fn failures(&self) -> Vec<String> {
        self.0.failures.lock().unwrap().clone()
    }
}

impl Outcome {
    fn fail(&self, target: &Target, why: String) {
        self.failures.lock().unwrap().push(format!("{}: {why}", target.at));
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}
