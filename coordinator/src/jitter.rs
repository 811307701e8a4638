//! Chance: what would happen to many at once happens to each at another time.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    time::Duration,
};

/// Over this time those are spread that are let go for want of room.
const SPREAD: Duration = Duration::from_millis(200);

/// A number that nobody can foresee.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Waits a little, each for another time: those who are let go together do not arrive together. Never past the asker's
/// own patience.
pub(crate) async fn spread(deadline: tokio::time::Instant) {
    let most = deadline.saturating_duration_since(tokio::time::Instant::now()).min(SPREAD);
    tokio::time::sleep(most.mul_f64(random() as f64 / u64::MAX as f64)).await;
}
