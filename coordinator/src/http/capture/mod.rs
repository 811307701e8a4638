//! A body on its way into the store: captured within a limit, whatever length its head announced. One that takes longer
//! grows for those who read it meanwhile.

#[cfg(test)]
mod tests;

use crate::http::{body::Cut, byte_budget::ByteReservation, growing::Filling};
use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::timeout;

/// The outcome of capturing a body.
pub(crate) enum CaptureOutcome<B> {
    /// The whole body, in one allocation of its exact size.
    Whole(Bytes),
    /// The body is larger than the limit. Streams what was received, then the rest.
    TooLarge(ResumedBody<B>),
    /// The budget has no bytes left. Streams what was received, then the rest.
    OverBudget(ResumedBody<B>),
    /// The body ended early.
    Cut(Cut),
}

/// Captures a body of at most `limit` bytes. Trailers are left out (RFC 9111 section 3.1). `reservation` grows with the
/// memory that this takes.
pub(crate) async fn capture<B: Body<Data = Bytes, Error = Cut> + Unpin>(
    body: B,
    limit: u64,
    reservation: &mut ByteReservation,
) -> CaptureOutcome<B> {
    let (mut capture, fits) = Capture::begin(body, limit, reservation);
    let end = if fits { capture.run(reservation).await } else { CaptureEnd::OverBudget };
    capture.outcome(end)
}

/// The outcome of capturing a body that need not be whole.
pub(crate) enum EarlyOutcome<B> {
    /// All is known.
    Ended(CaptureOutcome<B>),
    /// More is to come.
    Growing(Filling<B>),
}

/// Captures a body, and lets it grow for those who read it if it is not whole within this time.
pub(crate) async fn capture_within<B: Body<Data = Bytes, Error = Cut> + Unpin>(
    time: Duration,
    body: B,
    limit: u64,
    mut reservation: ByteReservation,
) -> EarlyOutcome<B> {
    let length = body.size_hint().exact();
    let (mut capture, fits) = Capture::begin(body, limit, &mut reservation);
    if !fits {
        return EarlyOutcome::Ended(capture.outcome(CaptureEnd::OverBudget));
    }
    match timeout(time, capture.run(&mut reservation)).await {
        Ok(end) => EarlyOutcome::Ended(capture.outcome(end)),
        Err(_) => {
            let Capture { body, pieces, limit } = capture;
            EarlyOutcome::Growing(Filling::new(pieces.into_queue(), body, length, limit, reservation))
        }
    }
}

/// A body that is being captured.
struct Capture<B> {
    body: B,
    limit: u64,
    pieces: Pieces,
}

/// How capturing ended.
enum CaptureEnd {
    Whole,
    TooLarge,
    OverBudget,
    Cut(Cut),
}

impl<B: Body<Data = Bytes, Error = Cut> + Unpin> Capture<B> {
    /// Returns whether the budget has room for the length that the body announces, too.
    fn begin(body: B, limit: u64, reservation: &mut ByteReservation) -> (Self, bool) {
        let expected = body.size_hint().exact().filter(|length| *length <= limit);
        let fits = reservation.grow(expected.unwrap_or(0));
        let pieces = match expected.map(usize::try_from) {
            // The length is known: each piece is copied once, and its network buffer is free again.
            Some(Ok(length)) if fits => Pieces::Sized(BytesMut::with_capacity(length)),
            _ => Pieces::Unsized(Blocks::default()),
        };
        (Self { body, limit, pieces }, fits)
    }

    /// Reads to the end. It can be dropped in the middle, and nothing is lost.
    async fn run(&mut self, reservation: &mut ByteReservation) -> CaptureEnd {
        let Self { body, limit, pieces } = self;
        loop {
            match poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
                None => return CaptureEnd::Whole,
                Some(Err(cut)) => return CaptureEnd::Cut(cut),
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    pieces.add(data);
                    if pieces.len() as u64 > *limit {
                        return CaptureEnd::TooLarge;
                    }
                    if !reservation.grow(pieces.allocated() as u64) {
                        return CaptureEnd::OverBudget;
                    }
                }
            }
        }
    }

    fn outcome(self, end: CaptureEnd) -> CaptureOutcome<B> {
        let Self { body, pieces, .. } = self;
        let resumed = |pieces: Pieces| ResumedBody { received: pieces.into_queue(), rest: body };
        match end {
            CaptureEnd::Whole => CaptureOutcome::Whole(pieces.whole()),
            CaptureEnd::TooLarge => CaptureOutcome::TooLarge(resumed(pieces)),
            CaptureEnd::OverBudget => CaptureOutcome::OverBudget(resumed(pieces)),
            CaptureEnd::Cut(cut) => CaptureOutcome::Cut(cut),
        }
    }
}

enum Pieces {
    Sized(BytesMut),
    Unsized(Blocks),
}

impl Pieces {
    fn add(&mut self, data: Bytes) {
        match self {
            Self::Sized(buffer) => buffer.extend_from_slice(&data),
            Self::Unsized(blocks) => blocks.add(&data),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Sized(buffer) => buffer.len(),
            Self::Unsized(blocks) => blocks.len,
        }
    }

    /// Returns the bytes that are allocated.
    fn allocated(&self) -> usize {
        match self {
            Self::Sized(buffer) => buffer.capacity(),
            Self::Unsized(blocks) => blocks.allocated,
        }
    }

    fn whole(self) -> Bytes {
        match self {
            Self::Sized(buffer) => exact(buffer.into()),
            Self::Unsized(blocks) => blocks.whole(),
        }
    }

    fn into_queue(self) -> VecDeque<Bytes> {
        match self {
            Self::Sized(buffer) if buffer.is_empty() => VecDeque::new(),
            Self::Sized(buffer) => VecDeque::from([buffer.freeze()]),
            Self::Unsized(blocks) => blocks.into_queue(),
        }
    }
}

/// The smallest and the largest block; a larger piece gets a block of its own size.
const BLOCK: std::ops::RangeInclusive<usize> = 1024..=256 * 1024;

/// The pieces of a body of unknown length, in blocks of our own: a piece may be one byte, and may hold a network buffer
/// of many times its size.
#[derive(Default)]
struct Blocks {
    full: VecDeque<Bytes>,
    last: BytesMut,
    len: usize,
    allocated: usize,
}

impl Blocks {
    fn add(&mut self, data: &[u8]) {
        self.len = self.len.saturating_add(data.len());
        let (now, later) = data.split_at(data.len().min(self.last.capacity().saturating_sub(self.last.len())));
        self.last.extend_from_slice(now);
        if later.is_empty() {
            return;
        }
        let size = self.len.clamp(*BLOCK.start(), *BLOCK.end()).max(later.len());
        let full = std::mem::replace(&mut self.last, BytesMut::with_capacity(size));
        self.allocated = self.allocated.saturating_add(self.last.capacity());
        self.last.extend_from_slice(later);
        if !full.is_empty() {
            self.full.push_back(full.freeze());
        }
    }

    fn whole(self) -> Bytes {
        let len = self.len;
        concat(self.into_queue(), len)
    }

    fn into_queue(mut self) -> VecDeque<Bytes> {
        if !self.last.is_empty() {
            self.full.push_back(self.last.freeze());
        }
        self.full
    }
}

/// Copies pieces into one allocation: a piece may hold a network buffer of many times its size.
pub(crate) fn concat(pieces: impl IntoIterator<Item = Bytes>, total: usize) -> Bytes {
    let mut whole = Vec::with_capacity(total);
    pieces.into_iter().for_each(|piece| whole.extend_from_slice(&piece));
    exact(whole)
}

fn exact(whole: Vec<u8>) -> Bytes {
    // A boxed slice has no spare capacity: the bytes that are counted are the bytes that are allocated.
    Bytes::from(whole.into_boxed_slice())
}

/// A body that was too large to capture: what was received, then the rest.
pub(crate) struct ResumedBody<B> {
    received: VecDeque<Bytes>,
    rest: B,
}

impl<B> ResumedBody<B> {
    /// A body of which nothing was received.
    pub(crate) fn of(rest: B) -> Self {
        Self { received: VecDeque::new(), rest }
    }

    /// Returns what was received, and the rest.
    pub(crate) fn into_parts(self) -> (VecDeque<Bytes>, B) {
        (self.received, self.rest)
    }

    /// Replaces the rest.
    pub(crate) fn map(self, rest: impl FnOnce(B) -> B) -> Self {
        Self { received: self.received, rest: rest(self.rest) }
    }
}

impl<B: Body<Data = Bytes, Error = Cut> + Unpin> Body for ResumedBody<B> {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        match this.received.pop_front() {
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            None => Pin::new(&mut this.rest).poll_frame(cx),
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// A body that streams to a client. If it was complete and not too large, `keep` gets a copy.
pub(crate) struct TeeBody<B, F: FnOnce(Bytes)> {
    body: B,
    limit: usize,
    reservation: ByteReservation,
    pieces: Blocks,
    /// `None` once the body will not be kept.
    keep: Option<F>,
}

impl<B, F: FnOnce(Bytes)> TeeBody<B, F> {
    pub(crate) fn new(body: B, limit: u64, reservation: ByteReservation, keep: F) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self { body, limit, reservation, pieces: Blocks::default(), keep: Some(keep) }
    }

    fn finish(&mut self) {
        if let Some(keep) = self.keep.take() {
            keep(std::mem::take(&mut self.pieces).whole());
        }
    }
}

impl<B: Body<Data = Bytes, Error = Cut> + Unpin, F: FnOnce(Bytes) + Unpin> Body for TeeBody<B, F> {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        let frame = std::task::ready!(Pin::new(&mut this.body).poll_frame(cx));
        match &frame {
            None => this.finish(),
            Some(Err(_)) => (this.keep, this.pieces) = (None, Blocks::default()),
            Some(Ok(frame)) => {
                if let (Some(data), true) = (frame.data_ref(), this.keep.is_some()) {
                    if this.pieces.len.saturating_add(data.len()) <= this.limit {
                        this.pieces.add(data);
                    } else {
                        this.keep = None;
                    }
                    if this.keep.is_none() || !this.reservation.grow(this.pieces.allocated as u64) {
                        (this.keep, this.pieces) = (None, Blocks::default());
                    }
                }
                // With a known length hyper does not poll for the end.
                if this.body.is_end_stream() {
                    this.finish();
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream() && self.keep.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
