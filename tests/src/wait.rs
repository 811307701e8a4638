//! Waiting for a condition: the only place where a test may sleep.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use crate::Stopwatch;

/// The limit for a thing that should happen soon, on a busy machine.
pub const SOON: Duration = Duration::from_secs(20);

/// A longer limit, where a control plane, sidecars and coordinators share the machine.
pub const LONG: Duration = Duration::from_secs(120);

/// Asks again and again until `condition` holds; panics with `what` when `timeout` is over, in the time that the
/// machine gives.
pub async fn await_until<C, F>(mut condition: C, timeout: Duration, what: &str)
where
    C: FnMut() -> F,
    F: Future<Output = bool>,
{
    let (end, waited) = (Instant::now() + timeout, Stopwatch::start());
    // Short at first: most conditions hold after a millisecond or two.
    let mut pause = Duration::from_millis(1);
    while !condition().await {
        assert!(Instant::now() < end || waited.elapsed() < timeout, "waited {timeout:?} in vain: {what}");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Asks again and again until there is something; nothing when `timeout` is over.
pub async fn await_some<T>(mut probe: impl FnMut() -> Option<T>, timeout: Duration) -> Option<T> {
    let end = Instant::now() + timeout;
    loop {
        match probe() {
            None if Instant::now() < end => tokio::time::sleep(Duration::from_millis(5)).await,
            outcome => return outcome,
        }
    }
}
