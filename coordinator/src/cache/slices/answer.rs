//! A file as the response to a request, put together from its slices.

use crate::{
    cache::{
        load_outcome::LoadedResponse,
        miss::{self, FlightAnswer},
        pass,
        pass_reason::PassReason,
        peer_load::PeerRoute,
        range::Content,
        request::{CacheRequest, LARGEST_FOR_PROXIES},
        response,
        slices::{
            file::{Fetched, File},
            stream::SliceStream,
        },
        state::Cache,
    },
    http::{
        body::{Body, Cut, GuardedBody},
        byte_budget::ByteReservation,
        growing::GrowingBody,
    },
    origin::Failure,
    store::Entry,
};
use bytes::Bytes;
use http::Response;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use meshcache_protocol::{
    Reason,
    freshness::{LoadStart, Part},
    wire::{Outcome, Verdict},
};
use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::time::{Instant, timeout_at};

/// How often a file is begun anew that changes before anything was sent of it.
const BEGINNINGS: usize = 2;

/// Answers a request for a file from the flight of its first slice, and starts it if there is none.
pub(crate) async fn join(
    cache: &Arc<Cache>,
    request: &CacheRequest<'_>,
    body: Body,
    route: Option<PeerRoute>,
    fwd: &'static str,
    since: LoadStart,
) -> Response<Body> {
    let (mut failure, end) = (Failure::NewVersion, request.reply_by());
    for _ in 0..BEGINNINGS {
        let loaded = match miss::wait(cache, request, route.clone(), fwd, since).await {
            FlightAnswer::Loaded(loaded) if loaded.entry.slice_extent().is_some() => loaded,
            other => return miss::respond(cache, request, body, other, fwd).await,
        };
        let LoadedResponse { entry, verdict, growing, .. } = loaded;
        match answer(cache, request, (&entry, growing), verdict, end).await {
            Ok(Some(response)) => return response,
            // Only the origin may answer it.
            Ok(None) => {
                return pass::pass(cache, request, body, PassReason::new(Reason::Conditional, fwd)).await;
            }
            Err(Failure::NewVersion) => {}
            Err(other) => {
                failure = other;
                break;
            }
        }
    }
    pass::load_failed(cache, request, failure)
}

/// Returns a file as the response to a request, of which the first slice is given. `end`: when a question is told that
/// it is being loaded. None if only the origin may answer it. Fails where the first slice that the request needs is not
/// to be had.
pub(crate) async fn answer(
    cache: &Arc<Cache>,
    request: &CacheRequest<'_>,
    (entry, growing): (&Arc<Entry>, Option<Arc<GrowingBody>>),
    mut verdict: Verdict,
    end: Option<Instant>,
) -> Result<Option<Response<Body>>, Failure> {
    let metrics = &request.served.metrics;
    let first = Fetched::of(entry.clone(), growing).ok_or(Failure::BadResponse)?;
    let file = File::of(cache, request, &first).ok_or(Failure::BadResponse)?;
    let length = file.length();
    let part = match response::part_of(request, entry, length) {
        // Several ranges are answered with the whole (RFC 9110 section 14.2).
        Part::Ranges(_) => Part::Whole,
        part => part,
    };
    let (from, to) = match part {
        Part::Whole => (0, length),
        Part::Range(first, last) => (first, last.saturating_add(1)),
        _ => (0, 0),
    };
    let takes_whole = request.http.is_get()
        && to.saturating_sub(from) <= LARGEST_FOR_PROXIES
        && request.question.as_ref().is_some_and(|question| !question.streams);
    let body = async {
        let slice = if from < file.slice_end(0) { first } else { file.fetch(from).await? };
        let stream = SliceStream::new(file, (from, to), slice);
        match takes_whole {
            true => whole(cache, stream).await,
            false => Ok(Body::stream(GuardedBody { body: stream, _guard: request.head.reservation() })),
        }
    };
    let body = match end {
        Some(end) => match timeout_at(end, body).await {
            Ok(body) => body?,
            // What has been loaded by then is there the next time.
            Err(_) => {
                metrics.count_response(Outcome::Loading.label());
                return Ok(Some(response::verdict_only(&Verdict::new(Outcome::Loading))));
            }
        },
        None => body.await?,
    };
    // A proxy keeps no copy of a file, and its other clients ask for themselves.
    verdict.shared = false;
    let outcome = verdict.outcome;
    let response =
        response::from_content(request, (entry, Content::Sliced(body, length)), &part, verdict, &cache.names);
    Ok(response.inspect(|_| {
        request.answered.set(outcome);
        metrics.count_response(outcome.label());
    }))
}

/// Reads a part of a file to its end, for a proxy that takes whole bodies alone. It shares the store's memory.
async fn whole(cache: &Cache, mut stream: SliceStream) -> Result<Body, Failure> {
    let length = http_body::Body::size_hint(&stream).lower();
    let mut reserved = cache.body_budget.reserve();
    if !reserved.grow(length) {
        return Err(Failure::Overload);
    }
    let mut pieces = VecDeque::new();
    while let Some(frame) = stream.frame().await {
        let frame = frame.map_err(|Cut(why)| Failure::of_label(why))?;
        pieces.extend(frame.into_data());
    }
    Ok(Body::stream(Pieces { pieces, left: length, _reserved: reserved }))
}

/// A whole body in pieces.
struct Pieces {
    pieces: VecDeque<Bytes>,
    left: u64,
    _reserved: ByteReservation,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        let piece = this.pieces.pop_front();
        this.left = this.left.saturating_sub(piece.as_ref().map_or(0, |piece| piece.len() as u64));
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
