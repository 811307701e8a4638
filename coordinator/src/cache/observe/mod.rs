//! `mode: observe` for plain clients: compares a response that passes with the one that the cache would have given.

pub(crate) mod evidence;
#[cfg(test)]
mod tests;

use crate::{
    cache::{groups::ServedGroup, request::CacheRequest, revalidation::OriginHead, state::Cache},
    http::body::{Body, Cut},
    origin::with_headers,
    telemetry::limits::ProcessLimit,
};
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use meshcache_protocol::{
    self as protocol, PassedResponse, PassingBody,
    feed::FeedRequest,
    groups::Mode,
    observe::{Comparison, word},
};
use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// The observation of one response, as far as its body has passed.
pub(crate) struct Observation {
    cache: Arc<Cache>,
    served: Arc<ServedGroup>,
    passing: PassingBody,
}

/// Begins to observe a response that passes. `None`: its group does not observe, or the response shows nothing.
pub(crate) fn begin(cache: &Arc<Cache>, asked: &CacheRequest<'_>, brought: &OriginHead<'_>) -> Option<Observation> {
    let group = &asked.served.group;
    if group.config().mode != Mode::Observe {
        return None;
    }
    let passing = with_headers(&brought.head.headers, |fields| {
        let response = &protocol::Response { status: brought.head.status.as_u16(), fields };
        let passed = PassedResponse {
            group,
            key: &asked.key,
            request: &asked.http,
            verified: asked.verified(),
            response,
            times: brought.times,
            route: None,
            by_coordinator: false,
        };
        // Locked for all groups: what the request has is read after that.
        let begun = cache.observed.lock().begin_head(&passed, brought.at);
        begun.map(|begun| begun.with_request(&passed))
    })?;
    Some(Observation { cache: cache.clone(), served: asked.served.clone(), passing })
}

impl Observation {
    fn with_piece(mut self, piece: &[u8]) -> Option<Self> {
        self.passing = self.passing.piece(piece)?;
        Some(self)
    }

    /// Compares the whole response, and records what that shows.
    fn end(self) {
        let Self { cache, served, passing } = self;
        let mut observed = cache.observed.lock();
        let now = cache.clock.now();
        let (compared, left_out) = (observed.finish(passing, now), observed.take_left_out());
        drop(observed);
        if compared.as_ref().is_some_and(Comparison::is_mismatch) {
            served.metrics.observe_mismatches.inc();
        }
        if let Some(compared) = compared {
            served.evidence.lock().record(compared, now);
        }
        if left_out {
            cache.metrics.count_limit_reached(ProcessLimit::Observed);
        }
    }
}

/// Records what a proxy has compared. It is anybody's word, and taken for groups that observe by the rules of now.
/// `comparisons`: how many are taken, by group. No word comes more often than what was compared.
pub(crate) fn record_told(cache: &Cache, report: &FeedRequest, comparisons: &BTreeMap<String, u64>) {
    let table = cache.group_table();
    for (group, words) in &report.requests {
        let Some(most) = comparisons.get(group).filter(|most| **most > 0) else { continue };
        let Some(served) = table.named(group).filter(|served| served.group.config().mode == Mode::Observe) else {
            continue;
        };
        for (text, times) in words.iter().take(2 * word::MAX_WORDS).filter(|(text, _)| word::is_observed(text)) {
            if let Some(word) = word::read(&served.group, text) {
                served.evidence.lock().record_told(word, *times.min(most), cache.clock.now());
            }
        }
    }
}

/// A body that is hashed as it passes. One that is cut, or that its client does not wait for, counts for nothing.
pub(crate) struct ObservedBody {
    body: Body,
    observation: Option<Observation>,
}

impl ObservedBody {
    pub(crate) fn new(body: Body, observation: Observation) -> Self {
        let mut observed = Self { body, observation: Some(observation) };
        observed.end_if_over();
        observed
    }

    /// Ends the observation after the last piece: a body of known length is not polled for its end.
    fn end_if_over(&mut self) {
        if self.body.is_end_stream()
            && let Some(observation) = self.observation.take()
        {
            observation.end();
        }
    }
}

impl http_body::Body for ObservedBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        match &frame {
            None => {
                if let Some(observation) = this.observation.take() {
                    observation.end();
                }
            }
            Some(Err(_)) => this.observation = None,
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    this.observation = this.observation.take().and_then(|observation| observation.with_piece(data));
                }
                this.end_if_over();
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream() && self.observation.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
