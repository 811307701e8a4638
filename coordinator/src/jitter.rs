//! Jitter: spreads over time what would happen at once.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    time::Duration,
};

/// The time over which requests are spread that pass because a limit is reached.
const SPREAD: Duration = Duration::from_millis(200);

/// Returns an unpredictable number.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Waits for a random time, at most until the deadline: requests that pass together do not reach the origin together.
pub(crate) async fn spread(deadline: tokio::time::Instant) {
    let most = deadline.saturating_duration_since(tokio::time::Instant::now()).min(SPREAD);
    tokio::time::sleep(most.mul_f64(random() as f64 / u64::MAX as f64)).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn requests_are_spread_up_to_their_deadline() {
        let began = Instant::now();
        spread(began).await;
        assert!(began.elapsed() <= Duration::from_millis(1), "it is here already");
        for _ in 0..20 {
            let began = Instant::now();
            spread(began + Duration::from_secs(9)).await;
            assert!(began.elapsed() <= SPREAD + Duration::from_millis(1));
        }
        assert_ne!(random(), random());
    }
}
