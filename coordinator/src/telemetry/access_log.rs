//! The access log: one line for a request, written by a thread of its own so that no request waits for it.

use crate::telemetry::{
    metrics::Metrics,
    noted::Noted,
    request_end::{RequestEnd, RequestListener},
};
use clap::ValueEnum;
use meshcache_protocol::{Reason, reason::AnyReason};
use prometheus::IntCounter;
use std::{
    io,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

/// Lines that may wait to be written. One above that is dropped and counted.
const MAX_WAITING: usize = 8192;
/// How long the last lines may take at the end.
const END: Duration = Duration::from_secs(1);
/// The pause before a place in the queue is looked for again.
const NO_PLACE: Duration = Duration::from_millis(5);

/// The requests that have a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AccessLog {
    /// None.
    Off,
    /// Those that failed.
    Errors,
    /// All.
    All,
}

/// The queue of the lines.
pub(crate) struct AccessLines {
    only_failed: bool,
    queue: SyncSender<Item>,
    dropped: IntCounter,
}

enum Item {
    Line(Box<RequestEnd>),
    /// All before it are written.
    Written(oneshot::Sender<()>),
}

impl AccessLines {
    /// Starts the thread that writes; `None`: no request has a line.
    pub(crate) fn start(which: AccessLog, metrics: &Metrics) -> io::Result<Option<Arc<Self>>> {
        if which == AccessLog::Off {
            return Ok(None);
        }
        let (lines, queue) = Self::new(which == AccessLog::Errors, metrics.access_lines_dropped.clone());
        thread::Builder::new().name("access-log".into()).spawn(move || write_all(&queue))?;
        Ok(Some(Arc::new(lines)))
    }

    fn new(only_failed: bool, dropped: IntCounter) -> (Self, Receiver<Item>) {
        let (queue, items) = sync_channel(MAX_WAITING);
        (Self { only_failed, queue, dropped }, items)
    }

    /// Waits until what is in the queue is written, for a moment.
    pub(crate) async fn end(&self) {
        let (written, all) = oneshot::channel();
        let _ = timeout(END, async {
            let mut last = Item::Written(written);
            while let Err(TrySendError::Full(item)) = self.queue.try_send(last) {
                last = item;
                sleep(NO_PLACE).await;
            }
            let _ = all.await;
        })
        .await;
    }
}

impl RequestListener for AccessLines {
    fn ended(&self, request: &RequestEnd) {
        if self.only_failed && !has_failed(request) {
            return;
        }
        if self.queue.try_send(Item::Line(Box::new(request.clone()))).is_err() {
            self.dropped.inc();
        }
    }
}

fn write_all(items: &Receiver<Item>) {
    while let Ok(item) = items.recv() {
        match item {
            Item::Line(request) => write(&request),
            Item::Written(written) => {
                let _ = written.send(());
            }
        }
    }
}

/// Writes a line.
fn write(request: &RequestEnd) {
    let RequestEnd { noted: Noted { group, key, outcome, reason, .. }, asked, trace, .. } = request;
    let ms = |duration: Duration| duration.as_micros() as f64 / 1000.0;
    let asked = asked.as_deref();
    tracing::info!(
        target: "access",
        method = asked.map(|asked| asked.method.as_str()),
        host = asked.map(|asked| &*asked.host),
        path = asked.map(|asked| &*asked.path),
        from = asked.map(|asked| asked.by.label()),
        group = group.as_deref(),
        key = key.map(tracing::field::debug),
        outcome,
        reason = reason.as_ref().map(AnyReason::as_str),
        status = request.status.map(|status| status.as_u16()),
        bytes = request.bytes,
        cut = (!request.is_complete).then_some(true),
        head_ms = request.to_head.map(ms),
        whole_ms = ms(request.took),
        trace_id = trace.map(|trace| tracing::field::display(format!("{:032x}", trace.trace))),
        "access"
    );
}

/// Returns whether a request failed: 5xx, refused, no whole response, or no answer of the cache because something
/// failed.
fn has_failed(request: &RequestEnd) -> bool {
    let is_refused = match request.noted.outcome {
        Some(outcome) => outcome == "error",
        // Nothing was looked up: what the client gets is our own word.
        None => request.status.is_some_and(|status| status.is_client_error()),
    };
    let own = match request.noted.reason {
        Some(AnyReason::Own(reason)) => Some(reason),
        _ => None,
    };
    request.status.is_none_or(|status| status.is_server_error())
        || !request.is_complete
        || is_refused
        || (request.noted.outcome == Some("pass") && own.is_some_and(is_failure))
}

/// Returns whether a reason to pass is a failure or a limit, and not what the request or the response is.
const fn is_failure(reason: Reason) -> bool {
    use Reason::*;
    matches!(
        reason,
        Connect
            | Dns
            | Tls
            | Timeout
            | Reset
            | BadResponse
            | TooManyHeaders
            | HeadTooLarge
            | UnaskedUpgrade
            | IncompleteBody
            | IncompleteRequest
            | Overload
            | Full
            | Slow
            | TooSlow
            | Refused
            | PurgeLag
            | NoPeer
            | PeersFailed
            | OwnerError
            | Internal
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{
        request_end::{Asked, Asker},
        trace::TraceContext,
    };
    use http::{Method, StatusCode};
    use meshcache_protocol::Hash;
    use std::time::Instant;

    fn request(status: u16, outcome: Option<&'static str>, reason: Option<Reason>) -> RequestEnd {
        RequestEnd {
            noted: Noted {
                group: Some("shop".into()),
                key: Some(Hash(0xab)),
                outcome,
                reason: reason.map(AnyReason::Own),
                load: None,
            },
            asked: Some(Arc::new(Asked {
                method: Method::GET,
                host: "shop.test".into(),
                path: "/a b".into(),
                by: Asker::Client,
            })),
            status: StatusCode::from_u16(status).ok(),
            bytes: 12,
            is_complete: true,
            to_head: Some(Duration::from_micros(250)),
            took: Duration::from_micros(1500),
            trace: TraceContext::new(10, 11, false),
        }
    }

    #[test]
    fn errors_are_what_failed_was_refused_or_cut() {
        for (failed, status, outcome, reason) in [
            (false, 200, Some("hit"), None),
            (false, 404, Some("miss"), None),
            (false, 200, Some("pass"), Some(Reason::Private)),
            (false, 200, Some("stale"), None),
            (false, 404, Some("pass"), Some(Reason::Method)),
            (true, 503, Some("pass"), Some(Reason::Method)),
            (true, 504, Some("error"), Some(Reason::Timeout)),
            (true, 403, Some("error"), Some(Reason::NotPassed)),
            (true, 400, None, None),
            (true, 200, Some("pass"), Some(Reason::Overload)),
            (true, 200, Some("pass"), Some(Reason::PurgeLag)),
        ] {
            assert_eq!(has_failed(&request(status, outcome, reason)), failed, "{status} {outcome:?} {reason:?}");
        }
        let cut = RequestEnd { is_complete: false, ..request(200, Some("miss"), None) };
        let left = RequestEnd { status: None, is_complete: false, ..request(200, None, None) };
        assert!(has_failed(&cut) && has_failed(&left));
    }

    #[test]
    fn lines_that_find_no_place_are_dropped_and_counted_and_nobody_waits() {
        let dropped = IntCounter::new("dropped", "dropped").unwrap();
        let (lines, items) = AccessLines::new(true, dropped.clone());
        for _ in 0..MAX_WAITING + 3 {
            lines.ended(&request(200, Some("hit"), None));
            lines.ended(&request(500, Some("miss"), None));
        }
        assert_eq!((dropped.get(), items.try_iter().count()), (3, MAX_WAITING));
    }

    #[tokio::test]
    async fn the_end_waits_for_the_lines_of_a_full_queue_and_not_for_one_that_nobody_writes() {
        let (lines, items) = AccessLines::new(false, IntCounter::new("dropped", "dropped").unwrap());
        (0..MAX_WAITING).for_each(|_| lines.ended(&request(200, Some("hit"), None)));
        let begun = Instant::now();
        lines.end().await;
        assert!((END..2 * END).contains(&begun.elapsed()), "{:?}", begun.elapsed());
        let writing = thread::spawn(move || {
            let items = items.iter().map(|item| match item {
                Item::Line(_) => None,
                Item::Written(written) => Some(written),
            });
            items
                .take(MAX_WAITING + 1)
                .enumerate()
                .filter_map(|(n, written)| written.map(|written| (n, written.send(()))))
                .last()
        });
        lines.end().await;
        assert_eq!(writing.join().unwrap(), Some((MAX_WAITING, Ok(()))), "behind all lines");
    }
}
