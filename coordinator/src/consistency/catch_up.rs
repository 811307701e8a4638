//! Waiting for purges that a requester knows and this coordinator does not: peers are asked, and the request waits a
//! moment.

use crate::clock;
use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};
use tokio::{sync::watch, time::timeout};

/// The longest wait of a request for missing purges. They are one round trip away, if a peer has them at all.
const WAIT: Duration = Duration::from_millis(200);
/// After a wait in vain no request waits for this time, milliseconds.
const BACKOFF: u64 = 1000;

/// The position up to which a requester claims to know purges, as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim<'a> {
    /// Of a coordinator, which is believed.
    Peer(&'a str),
    /// Of a client of the data port, which may have made it up. A right mark proves that a coordinator announced the
    /// number.
    Unauthenticated {
        /// The position.
        position: &'a str,
        /// Its marks.
        marks: &'a str,
    },
}

/// The result of comparing a claim with the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// All claimed purges are known here, or no peer can know them any more.
    Current,
    /// Claimed purges are unknown here, and peers may know them: they are to be asked.
    Behind,
    /// Only purges that may be made up are unknown here. Peers are not asked for these: the request passes until the
    /// next regular answers.
    Unproven,
}

/// The requests that wait until this coordinator has caught up.
#[derive(Debug, Default)]
pub(crate) struct CatchUp {
    /// Requests a catch-up with peers now.
    requests: watch::Sender<()>,
    /// Changes when a peer has answered and its purges were carried out.
    progress: watch::Sender<()>,
    /// The time of the last wait in vain.
    pub(super) failed: AtomicU64,
}

impl CatchUp {
    /// Requests a catch-up with all peers now.
    pub(crate) fn request(&self) {
        self.requests.send_replace(());
    }

    /// Changes whenever peers are to be asked now.
    pub(crate) fn requests(&self) -> watch::Receiver<()> {
        self.requests.subscribe()
    }

    /// Wakes the requests that wait.
    pub(crate) fn notify(&self) {
        self.progress.send_replace(());
    }

    /// Requests a catch-up, and waits until `is_current`. Returns whether it is.
    pub(crate) async fn wait(&self, is_current: impl Fn() -> bool) -> bool {
        let mut progress = self.progress.subscribe();
        self.request();
        if clock::awake() < self.failed.load(Relaxed).saturating_add(BACKOFF) {
            return false;
        }
        let current = timeout(WAIT, async {
            while !is_current() {
                if progress.changed().await.is_err() {
                    return;
                }
            }
        });
        if current.await.is_ok() {
            return true;
        }
        self.failed.store(clock::awake(), Relaxed);
        false
    }
}
