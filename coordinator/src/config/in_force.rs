//! What is known of the groups' configuration: when it was taken, and what is wrong with a newer one.

use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// The configuration in force. The reload writes, administrators read.
pub(crate) struct InForce(Mutex<(Instant, Option<String>)>);

impl InForce {
    /// A configuration that is taken now.
    pub(crate) fn taken() -> Self {
        Self(Mutex::new((Instant::now(), None)))
    }

    /// A new one is in force.
    pub(crate) fn replace(&self) {
        *self.0.lock() = (Instant::now(), None);
    }

    /// The files as they are now are wrong. The earlier configuration stays.
    pub(crate) fn refuse(&self, why: &str) {
        self.0.lock().1 = Some(why.to_owned());
    }

    /// Returns for how long it has been in force, and what is wrong with a newer one.
    pub(crate) fn read(&self) -> (Duration, Option<String>) {
        let (taken, refused) = &*self.0.lock();
        (taken.elapsed(), refused.clone())
    }
}
