//! Descriptors for connections to origins: a part of the process's, so that clients who have theirs are answered. A
//! connection has one for as long as it is open.

use crate::{
    origin::{
        failure::{Failure, Missed},
        pool::Pool,
    },
    telemetry::{limits::Limit, metrics::Metrics},
};
use parking_lot::Mutex;
use rustix::process::{Resource, getrlimit};
use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// Of a quarter of the descriptors; at least so many, whatever the process may have.
const LEAST: usize = 16;

/// A descriptor, until it is dropped.
pub(super) type Seat = OwnedSemaphorePermit;

/// Those of all origins.
pub(crate) struct Seats {
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// Who may have an idle connection that can be closed for one that is needed.
    pools: Mutex<Vec<Weak<Pool>>>,
    metrics: Arc<Metrics>,
}

impl Seats {
    pub(super) fn new(most: usize, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            free: Arc::new(Semaphore::new(most)),
            waiting: AtomicUsize::new(0),
            pools: Mutex::default(),
            metrics,
        })
    }

    /// A quarter of what this process may have.
    pub(crate) fn of_process(metrics: Arc<Metrics>) -> Arc<Self> {
        let files = getrlimit(Resource::Nofile).current.unwrap_or(1 << 20);
        Self::new(usize::try_from(files / 4).unwrap_or(LEAST).clamp(LEAST, Semaphore::MAX_PERMITS), metrics)
    }

    pub(super) fn enter(&self, pool: Weak<Pool>) {
        let mut pools = self.pools.lock();
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(pool);
    }

    /// Whether somebody needs one: then nothing idle is kept.
    pub(super) fn are_needed(&self) -> bool {
        self.waiting.load(Relaxed) > 0
    }

    /// One, within so long. Where none is free an idle connection is closed for it.
    pub(super) async fn take(&self, within: Duration) -> Result<Seat, Missed> {
        if let Ok(seat) = self.free.clone().try_acquire_owned() {
            return Ok(seat);
        }
        let _waits = Waits::new(&self.waiting);
        self.close_idle();
        match timeout(within, self.free.clone().acquire_owned()).await {
            Ok(Ok(seat)) => Ok(seat),
            _ => {
                self.metrics.met(Limit::Descriptors);
                Err(Missed::because(Failure::Overload, format!("no descriptor for a connection within {within:?}")))
            }
        }
    }

    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.free.available_permits()
    }

    fn close_idle(&self) {
        let pools = self.pools.lock().clone();
        let _ = pools.iter().filter_map(Weak::upgrade).any(|pool| pool.close_idle());
    }
}

/// One who waits, until it is dropped.
struct Waits<'s>(&'s AtomicUsize);

impl<'s> Waits<'s> {
    fn new(waiting: &'s AtomicUsize) -> Self {
        waiting.fetch_add(1, Relaxed);
        Self(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
