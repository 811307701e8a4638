//! Requests as they end: those of one filter that somebody tails.

use crate::{
    inquiry::live::wanted::{Wanted, shown},
    telemetry::{
        noted::Noted,
        request_end::{Asked, RequestEnd},
    },
};
use meshcache_admin::{EndedRequest, Tail};
use meshcache_protocol::reason::AnyReason;
use parking_lot::Mutex;
use std::collections::VecDeque;

/// The most requests that wait to be told.
const MAX_KEPT: usize = 2048;
/// Their most bytes.
const MAX_BYTES: usize = 2 << 20;
/// The most requests in one answer. Of more, some are left out, evenly.
const MAX_TOLD: usize = 200;
/// The bits of a number that count requests. Those above are the stream's own.
const COUNT_BITS: u32 = 40;

/// A stream.
pub(super) struct Stream {
    wanted: Wanted,
    kept: Mutex<Kept>,
}

struct Kept {
    requests: VecDeque<(f64, RequestEnd)>,
    bytes: usize,
    /// The number of the next request. Another stream of the same filter, before or after, has other numbers.
    next: u64,
}

impl Stream {
    /// Returns an empty one. `number`: another one for each stream.
    pub(super) fn new(wanted: Wanted, number: u64) -> Self {
        let kept = Kept { requests: VecDeque::new(), bytes: 0, next: number << COUNT_BITS };
        Self { wanted, kept: Mutex::new(kept) }
    }

    /// Returns whether it is what is asked for.
    pub(super) fn is_for(&self, wanted: &Wanted) -> bool {
        self.wanted == *wanted
    }

    /// Keeps a request that has ended. `now`: seconds.
    pub(super) fn record(&self, end: &RequestEnd, now: f64) {
        if !self.wanted.has(end) {
            return;
        }
        let (mut kept, bytes) = (self.kept.lock(), bytes(end));
        kept.next += 1;
        kept.bytes += bytes;
        let mut gone = None;
        while kept.requests.len() >= MAX_KEPT || (kept.bytes > MAX_BYTES && !kept.requests.is_empty()) {
            gone = kept.requests.pop_front();
            kept.bytes = kept.bytes.saturating_sub(gone.as_ref().map_or(0, |(_, end)| self::bytes(end)));
        }
        kept.requests.push_back((now, end.clone()));
        drop(kept);
        // Freed without the lock.
        drop(gone);
    }

    /// Returns what came since number `after`; `None`: nothing, but the number to begin with. `me`: who answers.
    pub(super) fn since(&self, after: Option<u64>, me: &str, now: f64) -> Tail {
        let kept = self.kept.lock();
        let next = kept.next;
        let first = next.saturating_sub(kept.requests.len() as u64);
        // A number of another stream says nothing about this one.
        let from = match after {
            None => next,
            Some(after) if after >> COUNT_BITS == next >> COUNT_BITS => after.min(next),
            Some(_) => first,
        };
        let skip = usize::try_from(from.saturating_sub(first)).unwrap_or(usize::MAX);
        let count = kept.requests.len().saturating_sub(skip);
        let (told, mut left_out) = (count.min(MAX_TOLD), first.saturating_sub(from));
        let mut picked = Vec::with_capacity(told);
        for (at, request) in kept.requests.iter().skip(skip).enumerate() {
            // The last one is among those that are told.
            if (at + 1) * told / count > at * told / count {
                picked.push((std::mem::take(&mut left_out), request.clone()));
            } else {
                left_out += 1;
            }
        }
        // Written without the lock.
        drop(kept);
        let tell = |(left_out, (ended, end)): (u64, (f64, RequestEnd))| {
            let ago = ((now - ended).max(0.0) * 1000.0) as u64;
            EndedRequest { at: me.to_owned(), left_out, ago, ..tell(&end) }
        };
        let ended = picked.into_iter().map(tell).collect();
        Tail { ended, next }
    }
}

fn bytes(end: &RequestEnd) -> usize {
    let asked = |asked: &Asked| size_of::<Asked>() + asked.method.as_str().len() + asked.host.len() + asked.path.len();
    size_of::<RequestEnd>() + end.asked.as_deref().map_or(0, asked)
}

fn tell(end: &RequestEnd) -> EndedRequest {
    let RequestEnd { noted: Noted { group, outcome, reason, .. }, asked, status, bytes, took, .. } = end;
    let told = asked.as_deref().map(|Asked { method, host, path, by }| EndedRequest {
        by: by.label().to_owned(),
        method: shown(method.as_str()),
        host: shown(host),
        path: shown(path),
        ..EndedRequest::default()
    });
    EndedRequest {
        status: status.map(|status| status.as_u16()),
        bytes: *bytes,
        group: group.as_deref().map(str::to_owned),
        outcome: outcome.map(str::to_owned),
        reason: reason.as_ref().map(AnyReason::as_str).map(str::to_owned),
        took: took.as_micros() as f64 / 1000.0,
        ..told.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inquiry::live::wanted::tests::{end, read};

    fn stream() -> (Stream, u64) {
        let stream = Stream::new(read(serde_json::json!({})).unwrap(), 1);
        let next = stream.since(None, "me", 0.0).next;
        (stream, next)
    }

    #[test]
    fn requests_are_told_once_each_in_their_order() {
        let (stream, mut after) = stream();
        for n in 0..3 {
            stream.record(&end(&format!("/{n}"), "hit", 200), 1.0);
            let Tail { ended, next } = stream.since(Some(after), "me", 1.5);
            assert_eq!((ended.len(), ended[0].path.as_str(), ended[0].ago), (1, format!("/{n}").as_str(), 500));
            after = next;
        }
        assert_eq!(stream.since(Some(after), "me", 2.0), Tail { ended: Vec::new(), next: after });
        assert_eq!(stream.since(None, "me", 2.0).next, after, "who begins has nothing of before");
    }

    #[test]
    fn what_is_too_much_is_left_out_evenly_and_counted() {
        let (stream, after) = stream();
        for count in [1, MAX_TOLD, MAX_TOLD + 1, 999, MAX_KEPT, 10 * MAX_KEPT] {
            let before = stream.since(None, "me", 0.0).next;
            (0..count).for_each(|n| stream.record(&end(&format!("/{n}"), "hit", 200), 0.0));
            let Tail { ended, .. } = stream.since(Some(before), "me", 0.0);
            assert_eq!(ended.len(), count.min(MAX_TOLD));
            let left_out: u64 = ended.iter().map(|request| request.left_out).sum();
            assert_eq!(left_out as usize + ended.len(), count);
            assert_eq!(ended.last().unwrap().path, format!("/{}", count - 1), "the last is the present");
        }
        assert!(after < stream.since(None, "me", 0.0).next);
    }

    #[test]
    fn what_waits_is_bounded_in_bytes_too() {
        let (stream, _) = stream();
        let long = "x".repeat(10_000);
        (0..10_000).for_each(|_| stream.record(&end(&long, "hit", 200), 0.0));
        let kept = stream.kept.lock();
        let bytes: usize = kept.requests.iter().map(|(_, end)| bytes(end)).sum();
        assert!(bytes == kept.bytes && bytes <= MAX_BYTES && kept.requests.len() > 100, "{bytes}");
    }

    #[test]
    fn a_number_of_an_earlier_stream_begins_anew_and_leaves_nothing_out() {
        let later = Stream::new(read(serde_json::json!({})).unwrap(), 2);
        later.record(&end("/a", "hit", 200), 0.0);
        let (_, before) = stream();
        let told = later.since(Some(before + 77), "me", 0.0).ended;
        assert_eq!((told.len(), told[0].left_out), (1, 0));
    }
}
