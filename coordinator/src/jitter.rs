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
