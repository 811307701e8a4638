//! A fixture that the tests of one file share: started by the first that needs it, stopped with the last.

use std::{
    future::Future,
    sync::{Arc, LazyLock, Weak},
};

use tokio::{
    runtime::{Builder, Runtime},
    sync::Mutex,
};

/// One runtime for all tests of a file: an origin that they share lives on it, and must not end with the test that
/// started it.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());

/// Runs a test that uses what is shared.
pub fn run(test: impl Future<Output = ()>) {
    RUNTIME.block_on(test);
}

/// A fixture that costs seconds to start.
pub struct Shared<T>(Mutex<Weak<T>>);

impl<T> Shared<T> {
    /// An empty one.
    pub const fn new() -> Shared<T> {
        Shared(Mutex::const_new(Weak::new()))
    }

    /// Returns the running fixture, or starts it.
    pub async fn get(&self, start: impl AsyncFnOnce() -> T) -> Arc<T> {
        let mut shared = self.0.lock().await;
        if let Some(running) = shared.upgrade() {
            return running;
        }
        let started = Arc::new(start().await);
        *shared = Arc::downgrade(&started);
        started
    }
}

impl<T> Default for Shared<T> {
    fn default() -> Shared<T> {
        Shared::new()
    }
}
