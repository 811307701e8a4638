//! A limit on connections to origins: a share of the process's descriptors, so that connections of clients keep theirs.

use crate::{
    origin::failure::{Failure, OriginError},
    telemetry::{limits::ProcessLimit, metrics::Metrics},
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

/// The least descriptors for origins, where a quarter of the process's are fewer.
const MIN_DESCRIPTORS: usize = 16;

/// A descriptor for one connection, until it is dropped.
pub(super) type ConnectionPermit = OwnedSemaphorePermit;

/// A pool that can close an idle connection.
pub(super) trait CloseIdle: Send + Sync {
    /// Closes the idle connection that was used longest ago. Returns whether there was one.
    fn close_idle(&self) -> bool;
}

/// The descriptors for connections to all origins.
pub(crate) struct ConnectionLimit {
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// The pools whose idle connections may be closed for one that is needed.
    pools: Mutex<Vec<Weak<dyn CloseIdle>>>,
    pub(super) metrics: Arc<Metrics>,
}

impl ConnectionLimit {
    pub(super) fn new(most: usize, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            free: Arc::new(Semaphore::new(most)),
            waiting: AtomicUsize::new(0),
            pools: Mutex::default(),
            metrics,
        })
    }

    /// Returns a limit of a quarter of this process's descriptors.
    pub(crate) fn of_process(metrics: Arc<Metrics>) -> Arc<Self> {
        let files = getrlimit(Resource::Nofile).current.unwrap_or(1 << 20);
        Self::new(
            usize::try_from(files / 4).unwrap_or(MIN_DESCRIPTORS).clamp(MIN_DESCRIPTORS, Semaphore::MAX_PERMITS),
            metrics,
        )
    }

    pub(super) fn register(&self, pool: Weak<dyn CloseIdle>) {
        let mut pools = self.pools.lock();
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(pool);
    }

    /// Returns whether a connection waits for a descriptor: then none is kept idle.
    pub(super) fn has_waiting(&self) -> bool {
        self.waiting.load(Relaxed) > 0
    }

    /// Takes a descriptor within this time. Where none is free, an idle connection is closed for it.
    pub(super) async fn take(&self, within: Duration) -> Result<ConnectionPermit, OriginError> {
        if let Ok(permit) = self.free.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let _waits = Waiting::new(&self.waiting);
        self.close_idle();
        match timeout(within, self.free.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => {
                self.metrics.count_limit_reached(ProcessLimit::Descriptors);
                Err(OriginError::because(
                    Failure::Overload,
                    format!("no descriptor for a connection within {within:?}"),
                ))
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

/// A waiting connection in the count, until it is dropped.
struct Waiting<'s>(&'s AtomicUsize);

impl<'s> Waiting<'s> {
    fn new(waiting: &'s AtomicUsize) -> Self {
        waiting.fetch_add(1, Relaxed);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
