//! The body of a peer's response, which goes on elsewhere when the peer is lost in the middle.

use crate::{
    cache::{
        continuation::{self, Exactly, NoRest},
        load_job::LoadJob,
        peer_load::read::pause,
        state::Cache,
    },
    cluster::client::Call,
    http::body::{Body, Cut},
    origin::{Failure, IdleTimeoutBody, with_headers},
};
use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use http_body::{Frame, SizeHint};
use meshcache_protocol::{
    self as protocol,
    freshness::Continuation,
    wire::{Outcome, Question},
};
use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::time::Instant;

/// A peer's body: its readers notice nothing where the rest comes from elsewhere.
pub(super) struct PeerBody {
    source: Source,
    /// The offset of its next byte.
    at: u64,
    length: Option<u64>,
    /// None: the origin was the last.
    way: Option<Box<Way>>,
}

enum Source {
    Peer(IdleTimeoutBody),
    Asking(BoxFuture<'static, Option<(Body, Option<Box<Way>>)>>, Cut),
    Rest(Body),
}

/// Where the rest may come from, one after another; the origin is last.
pub(super) struct Way {
    pub(super) cache: Arc<Cache>,
    pub(super) job: Arc<LoadJob>,
    /// Without it a lost peer cuts the body off.
    pub(super) continuation: Option<Continuation>,
    /// It is a slice: the origin counts from the beginning of its file.
    pub(super) is_slice: bool,
    pub(super) question: Question,
    /// The peer that is read, then those that are left to ask.
    pub(super) peer: String,
    pub(super) peers: VecDeque<String>,
}

impl PeerBody {
    pub(super) fn new(body: IdleTimeoutBody, length: Option<u64>, way: Way) -> Self {
        Self { source: Source::Peer(body), at: 0, length, way: Some(Box::new(way)) }
    }
}

impl Way {
    /// Finds the rest from an offset on, and the way that is left after it.
    async fn rest(mut self: Box<Self>, at: u64) -> Option<(Body, Option<Box<Self>>)> {
        self.job.served.metrics.peer_errors.inc();
        self.cache.cluster.peers.record_incomplete(&self.peer);
        let continuation = self.continuation.clone()?;
        while let Some(peer) = self.peers.pop_front() {
            if !self.cache.cluster.peers.try_acquire(&peer, Call::Question) {
                continue;
            }
            if let Some(rest) = self.ask(&continuation, &peer, at).await {
                self.job.served.metrics.count_continued("peer");
                self.peer = peer;
                return Some((rest, Some(self)));
            }
        }
        if self.is_slice {
            return None;
        }
        let Self { cache, job, .. } = &*self;
        let rest = match job.served.load_limit.acquire(job.served.group.config().patience.duration()).await {
            Some(permit) => continuation::rest(cache, job, &continuation, at, None)
                .await
                .map(|body| Body::stream(Held { body, _permit: permit })),
            None => Err(NoRest::Failure(Failure::Overload)),
        };
        job.served.metrics.count_continued(rest.as_ref().map_or_else(|why| why.label(), |_| "continued"));
        Some((rest.ok()?, None))
    }

    /// Asks a peer for the rest, which it has in its store or is loading.
    async fn ask(&self, continuation: &Continuation, peer: &str, at: u64) -> Option<Body> {
        let config = self.job.served.group.config();
        let (began, limit, patience) = (Instant::now(), pause(config), config.patience.duration());
        let head = self.job.head.with(&continuation.fields(at, None))?;
        let mut question = Question { streams: true, leave: false, flight: 0, ..self.question.clone() };
        loop {
            let asked = self.cache.cluster.peers.ask(peer, &head, &question, patience, false).await;
            let (verdict, response) = asked.ok()?;
            if verdict.outcome == Outcome::Loading && began.elapsed() < limit {
                question.flight = verdict.flight;
                continue;
            }
            let (parts, body) = response.into_parts();
            let judged = verdict.outcome.has_response().then(|| {
                with_headers(&parts.headers, |fields| {
                    let answer = protocol::Response { status: parts.status.as_u16(), fields };
                    continuation.judge(at, None, &answer)
                })
            });
            let range = judged?.ok()?;
            return Some(Body::stream(Exactly::new(IdleTimeoutBody::new(body, limit), range.bytes(), ())));
        }
    }
}

impl http_body::Body for PeerBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        loop {
            let (frame, is_lost) = match &mut this.source {
                Source::Peer(body) => (ready!(Pin::new(&mut *body).poll_frame(cx)), body.has_lost_connection()),
                Source::Rest(body) => (ready!(Pin::new(body).poll_frame(cx)), true),
                Source::Asking(rest, cut) => {
                    let rest = ready!(rest.poll_unpin(cx));
                    let Some((body, way)) = rest else {
                        let cut = cut.clone();
                        this.source = Source::Rest(Body::empty());
                        return Poll::Ready(Some(Err(cut)));
                    };
                    (this.source, this.way) = (Source::Rest(body), way);
                    continue;
                }
            };
            match frame {
                // All of it came before.
                Some(Err(_)) if is_lost && this.length == Some(this.at) => return Poll::Ready(None),
                Some(Err(cut)) if is_lost => {
                    let Some(way) = this.way.take() else { return Poll::Ready(Some(Err(cut))) };
                    this.source = Source::Asking(way.rest(this.at).boxed(), cut);
                }
                Some(Ok(frame)) => {
                    this.at = this.at.saturating_add(frame.data_ref().map_or(0, |data| data.len() as u64));
                    return Poll::Ready(Some(Ok(frame)));
                }
                end => return Poll::Ready(end),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Peer(body) => body.is_end_stream(),
            Source::Rest(body) => body.is_end_stream(),
            Source::Asking(..) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match (self.length, &self.source) {
            (Some(length), _) => SizeHint::with_exact(length.saturating_sub(self.at)),
            (None, Source::Peer(body)) => body.size_hint(),
            (None, _) => SizeHint::default(),
        }
    }
}

/// The rest from the origin, with its permit.
struct Held<T> {
    body: Body,
    _permit: T,
}

impl<T: Unpin> http_body::Body for Held<T> {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }
}
