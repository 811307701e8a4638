//! The activity of one connection: requests begun and answered, bytes written, interim responses that wait.
//!
//! The connection's task looks at it now and then, so that a request costs no timer.

use crate::http::interim::{Interim, InterimWriter};
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
};

/// The most bytes of interim responses that wait on one connection. Later ones are dropped.
const MAX_WAITING: usize = 16 * 1024;

/// The state of one connection.
#[derive(Debug, Default)]
pub(super) struct Activity {
    begun: AtomicU64,
    answered: AtomicU64,
    written: AtomicU64,
    http2: AtomicBool,
    renewed: AtomicBool,
    has_interims: AtomicBool,
    interims: Mutex<Interims>,
    /// The connection's task, while a response is awaited.
    task: AtomicWaker,
}

/// Waiting interim responses to one request: HTTP/1.1 answers one request at a time.
#[derive(Debug, Default)]
struct Interims {
    request: u64,
    heads: Vec<u8>,
}

impl Activity {
    /// Counts a request whose head is complete. It is answered when the returned guard is dropped: its response's head
    /// is there, or the client has left.
    pub(super) fn begin(self: &Arc<Self>, version: http::Version) -> ActiveRequest {
        let number = self.begun.fetch_add(1, Relaxed) + 1;
        self.http2.fetch_or(version == http::Version::HTTP_2, Relaxed);
        ActiveRequest { activity: self.clone(), number, takes_interims: version == http::Version::HTTP_11 }
    }

    /// Returns a number that changes with all activity; `None` while a response is being made.
    pub(super) fn when_idle(&self) -> Option<u64> {
        let (begun, answered) = (self.begun.load(Relaxed), self.answered.load(Relaxed));
        (begun == answered).then(|| begun.wrapping_add(self.written.load(Relaxed)))
    }

    /// Returns the number of [`Activity::when_idle`] where the client has to act next. HTTP/2 has pings of its own, and
    /// proxies keep such connections open for hours.
    pub(super) fn progress(&self) -> Option<u64> {
        self.when_idle().filter(|_| !self.http2.load(Relaxed))
    }

    /// Whether requests come by HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        self.http2.load(Relaxed)
    }

    /// Notes that another connection is to take the place of this one.
    pub(super) fn renew(&self) {
        self.renewed.store(true, Relaxed);
    }

    /// Whether another connection is to take the place of this one.
    pub(super) fn is_renewed(&self) -> bool {
        self.renewed.load(Relaxed)
    }

    pub(super) fn count_written(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Relaxed);
    }

    /// Returns how many requests have their response's head.
    pub(super) fn answered(&self) -> u64 {
        self.answered.load(Relaxed)
    }

    /// Takes the waiting interim responses. Drops those of requests up to number `written`, whose final responses have
    /// been written.
    pub(super) fn take_interims(&self, written: u64) -> Option<Vec<u8>> {
        if !self.has_interims.load(Acquire) {
            return None;
        }
        let mut interims = self.interims.lock();
        self.has_interims.store(false, Relaxed);
        let heads = std::mem::take(&mut interims.heads);
        (interims.request > written).then_some(heads)
    }
}

impl InterimWriter for Activity {
    fn write_interim(&self, request: u64, head: &[u8]) {
        let mut interims = self.interims.lock();
        if interims.request < request {
            *interims = Interims { request, heads: Vec::new() };
        }
        let fits = interims.heads.len().saturating_add(head.len()) <= MAX_WAITING;
        if fits && interims.request == request && self.answered() < request {
            interims.heads.extend_from_slice(head);
            self.has_interims.store(true, Release);
            self.task.wake();
        }
    }
}

/// A request whose response is being made.
pub(super) struct ActiveRequest {
    activity: Arc<Activity>,
    number: u64,
    takes_interims: bool,
}

impl ActiveRequest {
    /// Waits for the response. Meanwhile interim responses wake the connection.
    pub(super) async fn answer<T>(self, response: impl Future<Output = T>) -> T {
        if !self.takes_interims {
            return response.await;
        }
        let mut response = pin!(self.interim().scope(response));
        poll_fn(|cx| {
            let polled = response.as_mut().poll(cx);
            if polled.is_pending() {
                // The connection flushes after this poll, which writes the interim responses that came before.
                self.activity.task.register(cx.waker());
            }
            polled
        })
        .await
    }

    /// Returns where its interim responses go.
    pub(super) fn interim(&self) -> Interim {
        Interim::new(self.activity.clone(), self.number)
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.activity.answered.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Version;

    #[test]
    fn what_waits_is_bounded() {
        let activity = Arc::new(Activity::default());
        let _active = activity.begin(Version::HTTP_11);
        (0..10_000).for_each(|_| activity.write_interim(1, b"HTTP/1.1 103 Early Hints\r\n\r\n"));
        let waiting = activity.take_interims(0).unwrap().len();
        assert!((1..=MAX_WAITING).contains(&waiting), "{waiting}");
        assert!(activity.take_interims(0).is_none());
    }

    #[test]
    fn an_interim_response_of_an_answered_request_is_dropped() {
        let activity = Arc::new(Activity::default());
        let active = activity.begin(Version::HTTP_11);
        activity.write_interim(1, b"a");
        drop(active);
        assert_eq!(activity.take_interims(1), None, "it came while the final response was on its way");
        activity.write_interim(1, b"b");
        let _active = activity.begin(Version::HTTP_11);
        activity.write_interim(1, b"c");
        activity.write_interim(2, b"d");
        activity.write_interim(1, b"e");
        assert_eq!(activity.take_interims(1), Some(b"d".to_vec()));
    }
}
