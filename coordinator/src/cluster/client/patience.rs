//! A timeout that counts only the time in which this process runs.

use crate::origin::Failure;
use std::{future::Future, pin::pin, time::Duration};
use tokio::time::timeout;

/// The number of steps in which a timeout is waited for, none of them shorter than [`MIN_STEP`].
const STEPS: u32 = 50;
const MIN_STEP: Duration = Duration::from_millis(5);

/// Waits for a peer's answer. It waits in small steps, each of which counts as one however late it ends: a process that
/// is starved of CPU would else take its own lateness for the peer's silence, with the answer unread in front of it.
pub(super) async fn with_patience<T>(
    patience: Duration,
    answer: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut answer = pin!(answer);
    let (step, mut left) = ((patience / STEPS).max(MIN_STEP), patience);
    loop {
        let now = step.min(left);
        if let Ok(answer) = timeout(now, &mut answer).await {
            return answer;
        }
        left = left.saturating_sub(now);
        if left.is_zero() {
            return Err(Failure::Timeout);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        future::{pending, poll_fn},
        task::Poll,
    };
    use tokio::time::{Instant, advance, sleep};

    #[tokio::test(start_paused = true)]
    async fn an_unresponsive_peer_is_waited_for_no_longer_than_the_patience() {
        for patience in [1000, 400, 7, 1].map(Duration::from_millis) {
            let begun = Instant::now();
            assert_eq!(with_patience::<()>(patience, pending()).await, Err(Failure::Timeout));
            let took = begun.elapsed();
            // Tokio's timers are late by a millisecond at most, each.
            assert!(
                took >= patience && took <= patience + (STEPS + 1) * Duration::from_millis(1),
                "{took:?} for {patience:?}"
            );
        }
        let in_time = async {
            sleep(Duration::from_millis(999)).await;
            Ok(7)
        };
        assert_eq!(with_patience(Duration::from_secs(1), in_time).await, Ok(7));
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_the_caller_does_not_run_is_not_its_peers_silence() {
        // Before each poll the process did not run for 90 ms: the answer is there at the 30th poll, after 2.7 s.
        let mut polls = 0;
        let mut away = None;
        let answer = poll_fn(move |cx| {
            polls += 1;
            if polls > 30 {
                return Poll::Ready(Ok(()));
            }
            let sleeps = away.insert(Box::pin(advance(Duration::from_millis(90))));
            let _ = sleeps.as_mut().poll(cx);
            Poll::Pending
        });
        assert_eq!(with_patience(Duration::from_secs(1), answer).await, Ok(()));
    }
}
