//! A body on its way into the store: captured within a limit, whatever length its head announced.

use crate::http::{body::Cut, byte_budget::ByteReservation};
use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

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
    mut body: B,
    limit: u64,
    reservation: &mut ByteReservation,
) -> CaptureOutcome<B> {
    let expected = body.size_hint().exact().filter(|length| *length <= limit);
    if !reservation.grow(expected.unwrap_or(0)) {
        return CaptureOutcome::OverBudget(ResumedBody { received: VecDeque::new(), rest: body });
    }
    let mut pieces = match expected.map(usize::try_from) {
        // The length is known: each piece is copied once, and its network buffer is free again.
        Some(Ok(length)) => Pieces::Sized(BytesMut::with_capacity(length)),
        _ => Pieces::Unsized(Blocks::default()),
    };
    loop {
        match poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            None => return CaptureOutcome::Whole(pieces.whole()),
            Some(Err(cut)) => return CaptureOutcome::Cut(cut),
            Some(Ok(frame)) => {
                let Ok(data) = frame.into_data() else { continue };
                pieces.add(data);
                if pieces.len() as u64 > limit {
                    return CaptureOutcome::TooLarge(ResumedBody { received: pieces.into_queue(), rest: body });
                }
                if !reservation.grow(pieces.allocated() as u64) {
                    return CaptureOutcome::OverBudget(ResumedBody { received: pieces.into_queue(), rest: body });
                }
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::byte_budget::ByteBudget;
    use std::collections::VecDeque;

    /// A body in pieces of one byte, cut from one network buffer.
    struct Crumbs(Bytes);

    impl Body for Crumbs {
        type Data = Bytes;
        type Error = Cut;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
            let left = !self.0.is_empty();
            Poll::Ready(left.then(|| Ok(Frame::data(self.0.split_to(1)))))
        }
    }

    fn numbered(len: usize) -> Bytes {
        (0..len).map(|n| (n % 251) as u8).collect::<Vec<_>>().into()
    }

    #[tokio::test]
    async fn a_body_in_crumbs_takes_little_more_than_its_size_and_all_of_it_is_counted() {
        let (all, budget) = (numbered(400_000), ByteBudget::new(1 << 30));
        let mut reservation = budget.reserve();
        let CaptureOutcome::Whole(whole) = capture(Crumbs(all.clone()), 1 << 20, &mut reservation).await else {
            panic!("it is whole")
        };
        assert!(whole == all && (400_000..600_000).contains(&budget.used()), "{}", budget.used());
        let mut blocks = Blocks::default();
        all.chunks(1).for_each(|crumb| blocks.add(crumb));
        let queue = blocks.into_queue();
        assert!(queue.len() < 20, "{} pieces are held", queue.len());
        assert_eq!(queue.iter().fold(Vec::new(), |all, piece| [&all[..], piece].concat()), all);
    }

    #[tokio::test]
    async fn a_body_that_streams_by_is_kept_in_as_little() {
        let (all, budget) = (numbered(100_000), ByteBudget::new(1 << 30));
        let (to, kept) = std::sync::mpsc::channel();
        let mut body =
            TeeBody::new(Crumbs(all.clone()), 1 << 20, budget.reserve(), move |whole: Bytes| to.send(whole).unwrap());
        let mut gone: VecDeque<Bytes> = VecDeque::new();
        while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            gone.push_back(frame.into_data().unwrap());
        }
        assert!(kept.recv().unwrap() == all && concat(gone, 0) == all);
        assert!((100_000..200_000).contains(&budget.used()), "{}", budget.used());
    }

    #[tokio::test]
    async fn nothing_of_a_body_is_lost_where_the_budget_is_used_up() {
        let (all, budget) = (numbered(50_000), ByteBudget::new(20_000));
        let CaptureOutcome::OverBudget(mut rest) = capture(Crumbs(all.clone()), 1 << 20, &mut budget.reserve()).await
        else {
            panic!("there is no reservation")
        };
        assert!(rest.received.len() < 20, "{} pieces are held", rest.received.len());
        let mut received = VecDeque::new();
        while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut rest).poll_frame(cx)).await {
            received.push_back(frame.into_data().unwrap());
        }
        assert_eq!(concat(received, 0), all);
    }
}
