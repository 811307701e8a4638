//! `mode: observe` for plain clients: a response that passes is held against what they would have been answered with.

use crate::{
    cache::{groups::ServedGroup, request::CacheRequest, revalidation::OriginHead, state::Cache},
    http::body::{Body, Cut},
    origin::with_headers,
    telemetry::limits::ProcessLimit,
};
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use meshcache_protocol::{self as protocol, PassedResponse, PassingBody, groups::Mode};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// A response of a group that observes.
pub(crate) struct Watching {
    cache: Arc<Cache>,
    served: Arc<ServedGroup>,
    passing: PassingBody,
}

impl Cache {
    /// Looks at a response that passes, where its group only observes and there is something to be learned of it.
    pub(crate) fn watch(self: &Arc<Self>, asked: &CacheRequest<'_>, brought: &OriginHead<'_>) -> Option<Watching> {
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
            };
            self.observed.lock().begin(&passed, brought.at)
        })?;
        Some(Watching { cache: self.clone(), served: asked.served.clone(), passing })
    }
}

impl Watching {
    fn piece(mut self, piece: &[u8]) -> Option<Self> {
        self.passing = self.passing.piece(piece)?;
        Some(self)
    }

    fn ends(self) {
        let Self { cache, served, passing } = self;
        let mut observed = cache.observed.lock();
        let (differs, left_out) = (observed.finish(passing, cache.clock.now()), observed.take_left_out());
        drop(observed);
        if differs {
            served.metrics.observe_mismatches.inc();
        }
        if left_out {
            cache.metrics.count_limit_reached(ProcessLimit::Observed);
        }
    }
}

/// A body that is hashed as it goes by. One that breaks off, or that its client does not wait for, tells nothing.
pub(crate) struct Watched {
    body: Body,
    watching: Option<Watching>,
}

impl Watched {
    pub(crate) fn new(body: Body, watching: Watching) -> Self {
        let mut watched = Self { body, watching: Some(watching) };
        watched.look();
        watched
    }

    /// Whoever sends a body of known length need not ask for its end.
    fn look(&mut self) {
        if self.body.is_end_stream()
            && let Some(watching) = self.watching.take()
        {
            watching.ends();
        }
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        match &frame {
            None => {
                if let Some(watching) = this.watching.take() {
                    watching.ends();
                }
            }
            Some(Err(_)) => this.watching = None,
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    this.watching = this.watching.take().and_then(|watching| watching.piece(data));
                }
                this.look();
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream() && self.watching.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
