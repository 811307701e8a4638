//! Limits the loads of a group that are under way, with a queue before them.

use meshcache_protocol::groups::Overload;
use prometheus::IntGauge;
use std::{
    sync::atomic::{
        AtomicU64,
        Ordering::{AcqRel, Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

/// How many loads may wait for each that is under way: who comes later would not have a place in time either.
const QUEUE: u64 = 10;
/// Between two lines in the log about the same group.
const QUIET: u64 = 10_000;

/// The places of a group.
pub(crate) struct Room {
    places: Semaphore,
    longest: u64,
    queue: AtomicU64,
    said: AtomicU64,
    loading: IntGauge,
    waiting: IntGauge,
}

/// One place, until it is dropped.
pub(crate) struct Place<'r> {
    _permit: SemaphorePermit<'r>,
    _loading: Gauged,
}

impl Room {
    pub(crate) fn new(places: u32, loading: IntGauge, waiting: IntGauge) -> Self {
        let longest = u64::from(places).saturating_mul(QUEUE);
        Self {
            places: Semaphore::new(places as usize),
            longest,
            queue: AtomicU64::new(0),
            said: AtomicU64::new(0),
            loading,
            waiting,
        }
    }

    /// A place, if there is one within so long and not too many wait for one.
    pub(crate) async fn place(&self, within: Duration) -> Option<Place<'_>> {
        let permit = match self.places.try_acquire() {
            Ok(permit) => permit,
            Err(_) => {
                let _in_queue = InQueue::enter(&self.queue, self.longest)?;
                let _waiting = Gauged::new(&self.waiting);
                timeout(within, self.places.acquire()).await.ok()?.ok()?
            }
        };
        Some(Place { _permit: permit, _loading: Gauged::new(&self.loading) })
    }

    /// Says that there was none; not every time.
    pub(crate) fn complain(&self, group: &str, overload: Overload, now: u64) {
        let said = self.said.load(Relaxed);
        if (said == 0 || now >= said.saturating_add(QUIET))
            && self.said.compare_exchange(said, now.max(1), Relaxed, Relaxed).is_ok()
        {
            tracing::warn!(group, overload = overload.label(), "more loads than maxLoads: some found no place in time");
        }
    }
}

/// A place in the queue, until it is dropped.
struct InQueue<'q>(&'q AtomicU64);

impl<'q> InQueue<'q> {
    fn enter(queue: &'q AtomicU64, longest: u64) -> Option<Self> {
        let entered = Self(queue);
        (queue.fetch_add(1, AcqRel) < longest).then_some(entered)
    }
}

impl Drop for InQueue<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, AcqRel);
    }
}

/// Counts one for as long as it is there.
struct Gauged(IntGauge);

impl Gauged {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Gauged {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, atomic::Ordering::Acquire};

    fn gauge() -> IntGauge {
        IntGauge::new("g", "g").unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_load_so_many_wait_and_the_rest_is_told_at_once() {
        let (loading, waiting) = (gauge(), gauge());
        let room = Arc::new(Room::new(1, loading.clone(), waiting.clone()));
        let first = room.place(Duration::ZERO).await;
        assert!(first.is_some());
        let wait = |patience: u64| {
            let room = room.clone();
            tokio::spawn(async move { room.place(Duration::from_millis(patience)).await.is_some() })
        };
        let queue: Vec<_> = (0..10).map(|_| wait(500)).collect();
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!((loading.get(), waiting.get()), (1, 10));
        let begun = tokio::time::Instant::now();
        assert!(!wait(10_000).await.unwrap() && begun.elapsed().is_zero(), "there is no room to wait in");
        drop(first);
        for waiter in queue {
            assert!(waiter.await.unwrap(), "one after another");
        }
        let held = room.place(Duration::ZERO).await;
        assert!(!wait(100).await.unwrap() && begun.elapsed() >= Duration::from_millis(100));
        drop(held);
        assert_eq!((loading.get(), waiting.get(), room.queue.load(Acquire)), (0, 0, 0));
    }
}
