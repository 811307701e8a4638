//! The rest of a body from its origin, for one reader: of the very same version, or nothing.

use crate::{
    cache::{load_job::LoadJob, pass::PASS_BYTES, state::Cache},
    http::{
        body::{Body, Cut},
        growing::Resume,
    },
    origin::{Failure, IdleTimeoutBody, Origin, Purpose, outgoing, with_headers},
};
use bytes::Bytes;
use futures_util::FutureExt;
use http::Response;
use http_body::{Frame, SizeHint};
use meshcache_protocol::{
    self as protocol,
    freshness::{Continuation, NotContinued},
};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// Why there is no rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRest {
    /// The origin's answer is none.
    Answer(NotContinued),
    /// There is no answer.
    Failure(Failure),
}

impl NoRest {
    /// Returns its word in logs and metrics.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Answer(why) => why.label(),
            Self::Failure(failure) => failure.label(),
        }
    }
}

/// Returns what asks the origin for the rest of a load's body, with the load's own request.
pub(crate) fn resume(cache: &Arc<Cache>, job: &Arc<LoadJob>, continuation: Continuation) -> Resume {
    let (cache, job) = (cache.clone(), job.clone());
    Box::new(move |first, end| {
        let (cache, job, continuation) = (cache.clone(), job.clone(), continuation.clone());
        async move {
            let rest = rest(&cache, &job, &continuation, first, end.map(|end| end.saturating_sub(1))).await;
            job.served.metrics.count_continued(rest.as_ref().map_or_else(|why| why.label(), |_| "continued"));
            rest.map_err(|why| Cut(why.label()))
        }
        .boxed()
    })
}

/// Asks the origin for a load's bytes from `first` on: up to `last`, included, or to the end.
pub(crate) async fn rest(
    cache: &Cache,
    job: &LoadJob,
    continuation: &Continuation,
    first: u64,
    last: Option<u64>,
) -> Result<Body, NoRest> {
    let failed = NoRest::Failure;
    let Origin::Http(origin) = &job.served.origin else { return Err(failed(Failure::Internal)) };
    let mut reserved = cache.head_budget.reserve();
    if !reserved.grow(PASS_BYTES) {
        return Err(failed(Failure::Overload));
    }
    let (fields, forwarder) = (continuation.fields(first, last), &cache.names.forwarder);
    let request = outgoing(origin, &job.served.group, &job.head, forwarder, Purpose::Load(&fields));
    let request = request.ok_or(failed(Failure::BadResponse))?;
    job.served.metrics.service_continued.inc();
    let response: Response<IdleTimeoutBody> = origin.send(request, Some(origin.timeout())).await.map_err(failed)?;
    let (head, body) = response.into_parts();
    let range = with_headers(&head.headers, |fields| {
        continuation.judge(first, last, &protocol::Response { status: head.status.as_u16(), fields })
    });
    let left = range.map_err(NoRest::Answer)?.bytes();
    Ok(Body::stream(Exactly::new(body, left, reserved)))
}

/// A body of exactly so many bytes. What is longer or shorter is not what its head said, and is cut.
pub(crate) struct Exactly<B, T> {
    body: B,
    left: u64,
    _reserved: T,
}

impl<B, T> Exactly<B, T> {
    /// `reserved`: what is held until its end.
    pub(crate) fn new(body: B, left: u64, reserved: T) -> Self {
        Self { body, left, _reserved: reserved }
    }
}

impl<B: http_body::Body<Data = Bytes, Error = Cut> + Unpin, T: Unpin> http_body::Body for Exactly<B, T> {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        let cut = || Poll::Ready(Some(Err(Cut(Failure::IncompleteBody.label()))));
        match frame {
            None if this.left > 0 => cut(),
            Some(Ok(frame)) => {
                let data = frame.into_data().unwrap_or_default();
                match this.left.checked_sub(data.len() as u64) {
                    Some(left) => this.left = left,
                    None => return cut(),
                }
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            other => Poll::Ready(other),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, StreamBody};

    async fn exactly(left: u64, pieces: &[&'static str]) -> Option<Vec<u8>> {
        let frames = pieces.iter().map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes()))));
        let body = StreamBody::new(futures_util::stream::iter(frames.collect::<Vec<Result<_, Cut>>>()));
        Some(Exactly::new(body, left, ()).collect().await.ok()?.to_bytes().to_vec())
    }

    #[tokio::test]
    async fn a_rest_of_another_length_than_its_head_says_is_cut() {
        assert_eq!(exactly(6, &["abc", "def"]).await.as_deref(), Some(&b"abcdef"[..]));
        assert_eq!(exactly(0, &[]).await.as_deref(), Some(&b""[..]));
        assert_eq!((exactly(6, &["abc"]).await, exactly(2, &["abc"]).await), (None, None));
    }
}
