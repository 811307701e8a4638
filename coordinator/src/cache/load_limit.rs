//! Limits the loads of a group that are in progress (`maxLoads`), with a queue before them.

use meshcache_protocol::groups::Overload;
use prometheus::IntGauge;
use std::{
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{AcqRel, Relaxed},
        },
    },
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// The most loads that wait for each one in progress: a later one would get no permit in time.
const QUEUE_PER_LOAD: u64 = 10;
/// Milliseconds between two log lines about the same group.
const LOG_PAUSE: u64 = 10_000;

/// The load permits of a group.
pub(crate) struct LoadLimit {
    permits: Arc<Semaphore>,
    longest_queue: u64,
    queue: AtomicU64,
    /// When the last log line was written; 0: never.
    logged: AtomicU64,
    loading: IntGauge,
    waiting: IntGauge,
}

/// Permits one load until it is dropped.
pub(crate) struct LoadPermit {
    _permit: OwnedSemaphorePermit,
    _loading: Gauged,
}

impl LoadLimit {
    pub(crate) fn new(permits: u32, loading: IntGauge, waiting: IntGauge) -> Self {
        let longest_queue = u64::from(permits).saturating_mul(QUEUE_PER_LOAD);
        Self {
            permits: Arc::new(Semaphore::new(permits as usize)),
            longest_queue,
            queue: AtomicU64::new(0),
            logged: AtomicU64::new(0),
            loading,
            waiting,
        }
    }

    /// Waits for a permit. None after this time, or if the queue is full.
    pub(crate) async fn acquire(&self, within: Duration) -> Option<LoadPermit> {
        let permit = match self.permits.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let _slot = QueueSlot::enter(&self.queue, self.longest_queue)?;
                let _waiting = Gauged::new(&self.waiting);
                timeout(within, self.permits.clone().acquire_owned()).await.ok()?.ok()?
            }
        };
        Some(LoadPermit { _permit: permit, _loading: Gauged::new(&self.loading) })
    }

    /// Logs that a load got no permit, at most once in 10 s.
    pub(crate) fn log_overload(&self, group: &str, overload: Overload, now: u64) {
        let logged = self.logged.load(Relaxed);
        if (logged == 0 || now >= logged.saturating_add(LOG_PAUSE))
            && self.logged.compare_exchange(logged, now.max(1), Relaxed, Relaxed).is_ok()
        {
            tracing::warn!(group, overload = overload.label(), "more loads than maxLoads: some got no permit in time");
        }
    }
}

/// Counts one load in the queue until it is dropped.
struct QueueSlot<'q>(&'q AtomicU64);

impl<'q> QueueSlot<'q> {
    fn enter(queue: &'q AtomicU64, longest: u64) -> Option<Self> {
        let entered = Self(queue);
        (queue.fetch_add(1, AcqRel) < longest).then_some(entered)
    }
}

impl Drop for QueueSlot<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, AcqRel);
    }
}

/// Counts one in a gauge until it is dropped.
pub(crate) struct Gauged(IntGauge);

impl Gauged {
    pub(crate) fn new(gauge: &IntGauge) -> Self {
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
    use std::sync::atomic::Ordering::Acquire;

    fn gauge() -> IntGauge {
        IntGauge::new("g", "g").unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_load_without_a_permit_waits_in_a_bounded_queue() {
        let (loading, waiting) = (gauge(), gauge());
        let limit = Arc::new(LoadLimit::new(1, loading.clone(), waiting.clone()));
        let first = limit.acquire(Duration::ZERO).await;
        assert!(first.is_some());
        let wait = |patience: u64| {
            let limit = limit.clone();
            tokio::spawn(async move { limit.acquire(Duration::from_millis(patience)).await.is_some() })
        };
        let queue: Vec<_> = (0..10).map(|_| wait(500)).collect();
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!((loading.get(), waiting.get()), (1, 10));
        let begun = tokio::time::Instant::now();
        assert!(!wait(10_000).await.unwrap() && begun.elapsed().is_zero(), "the queue is full");
        drop(first);
        for waiter in queue {
            assert!(waiter.await.unwrap(), "one after another");
        }
        let held = limit.acquire(Duration::ZERO).await;
        assert!(!wait(100).await.unwrap() && begun.elapsed() >= Duration::from_millis(100));
        drop(held);
        assert_eq!((loading.get(), waiting.get(), limit.queue.load(Acquire)), (0, 0, 0));
    }
}
