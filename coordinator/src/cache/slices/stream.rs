//! The bytes of a file, slice after slice. While one goes out, the next one is fetched.

use crate::{
    cache::slices::file::{Fetched, File},
    http::body::{Body, Cut},
    origin::Failure,
};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::task::JoinHandle;

/// A part of a file, as one client gets it.
pub(crate) struct SliceStream {
    file: Arc<File>,
    /// The offset of its next byte, and the one behind its last.
    at: u64,
    to: u64,
    slice: State,
    /// The slice after that which is being read.
    next: Option<Fetching>,
    /// The end of the slice that broke off: it is fetched once again.
    broken: Option<u64>,
}

enum State {
    /// There is a slice to be read, from its part that is next.
    There(Fetched),
    Reading(Body),
    Fetching(Fetching),
    Cut(Cut),
}

/// A slice on its way. Dropped, nobody waits for it any more.
struct Fetching(JoinHandle<Result<Fetched, Failure>>);

impl Drop for Fetching {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl SliceStream {
    /// Reads a file from an offset on, up to another one. `slice`: that with the first byte.
    pub(crate) fn new(file: Arc<File>, (at, to): (u64, u64), slice: Fetched) -> Self {
        Self { file, at, to, slice: State::There(slice), next: None, broken: None }
    }

    fn fetch(&self, at: u64) -> Fetching {
        let file = self.file.clone();
        Fetching(tokio::spawn(async move { file.fetch(at).await }))
    }

    /// Fetches a slice once more that broke off: the rest of it may be had elsewhere, or later.
    fn again(&mut self, why: Option<Cut>) -> State {
        let end = self.file.slice_end(self.at);
        if self.broken.replace(end) == Some(end) {
            return State::Cut(why.unwrap_or(Cut(Failure::IncompleteBody.label())));
        }
        State::Fetching(self.fetch(self.at))
    }

    fn data(&mut self, mut data: Bytes) -> Option<Bytes> {
        let left = usize::try_from(self.to.saturating_sub(self.at)).unwrap_or(usize::MAX);
        data.truncate(left);
        self.at = self.at.saturating_add(data.len() as u64);
        (!data.is_empty()).then_some(data)
    }
}

impl http_body::Body for SliceStream {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        while this.at < this.to {
            match &mut this.slice {
                State::There(fetched) => {
                    let body = fetched.read(this.at);
                    this.slice = body.map_or_else(|| this.again(None), State::Reading);
                    let next = this.file.slice_end(this.at);
                    if next < this.to && this.next.is_none() {
                        this.next = Some(this.fetch(next));
                    }
                }
                State::Reading(body) => match ready!(Pin::new(body).poll_frame(cx)) {
                    Some(Ok(frame)) => {
                        if let Some(data) = frame.into_data().ok().and_then(|data| this.data(data)) {
                            return Poll::Ready(Some(Ok(Frame::data(data))));
                        }
                    }
                    None if this.file.is_slice_start(this.at) => {
                        let next = this.next.take();
                        this.slice = State::Fetching(next.unwrap_or_else(|| this.fetch(this.at)));
                    }
                    broken => this.slice = this.again(broken.and_then(Result::err)),
                },
                State::Fetching(fetching) => {
                    let fetched = ready!(Pin::new(&mut fetching.0).poll(cx)).unwrap_or(Err(Failure::Internal));
                    this.slice = fetched.map_or_else(|failure| State::Cut(Cut(failure.label())), State::There);
                }
                State::Cut(cut) => return Poll::Ready(Some(Err(cut.clone()))),
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.at >= self.to
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.to.saturating_sub(self.at))
    }
}
