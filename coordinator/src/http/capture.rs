//! A body on its way into the store: collected within a limit, whatever its head promised.

use crate::http::{body::Cut, byte_budget::ByteReservation};
use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

/// How collecting a body ended.
pub(crate) enum Collected<B> {
    /// The whole body, in one piece and no larger than it is.
    Whole(Bytes),
    /// It is larger than the limit: what has come and what is still to come.
    Outgrown(Resumed<B>),
    /// There is no room for it now: what has come and what is still to come.
    Crowded(Resumed<B>),
    /// It broke off.
    Cut(Cut),
}

/// Collects a body of at most so many bytes. Trailers are left out (RFC 9111 section 3.1).
/// `room` is what it may take on its way.
pub(crate) async fn collect<B: Body<Data = Bytes, Error = Cut> + Unpin>(
    mut body: B,
    limit: u64,
    room: &mut ByteReservation,
) -> Collected<B> {
    let expected = body.size_hint().exact().filter(|length| *length <= limit);
    if !room.grow(expected.unwrap_or(0)) {
        return Collected::Crowded(Resumed { come: VecDeque::new(), rest: body });
    }
    let mut pieces = match expected.map(usize::try_from) {
        // The length is known: each piece is copied once, and its network buffer is free again.
        Some(Ok(length)) => Pieces::Filled(BytesMut::with_capacity(length)),
        _ => Pieces::Kept(Blocks::default()),
    };
    loop {
        match poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            None => return Collected::Whole(pieces.whole()),
            Some(Err(cut)) => return Collected::Cut(cut),
            Some(Ok(frame)) => {
                let Ok(data) = frame.into_data() else { continue };
                pieces.add(data);
                if pieces.len() as u64 > limit {
                    return Collected::Outgrown(Resumed { come: pieces.into_queue(), rest: body });
                }
                if !room.grow(pieces.allocated() as u64) {
                    return Collected::Crowded(Resumed { come: pieces.into_queue(), rest: body });
                }
            }
        }
    }
}

enum Pieces {
    Filled(BytesMut),
    Kept(Blocks),
}

impl Pieces {
    fn add(&mut self, data: Bytes) {
        match self {
            Self::Filled(buffer) => buffer.extend_from_slice(&data),
            Self::Kept(blocks) => blocks.add(&data),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Filled(buffer) => buffer.len(),
            Self::Kept(blocks) => blocks.len,
        }
    }

    /// What is allocated for it.
    fn allocated(&self) -> usize {
        match self {
            Self::Filled(buffer) => buffer.capacity(),
            Self::Kept(blocks) => blocks.allocated,
        }
    }

    fn whole(self) -> Bytes {
        match self {
            Self::Filled(buffer) => exact(buffer.into()),
            Self::Kept(blocks) => blocks.whole(),
        }
    }

    fn into_queue(self) -> VecDeque<Bytes> {
        match self {
            Self::Filled(buffer) => VecDeque::from([buffer.freeze()]),
            Self::Kept(blocks) => blocks.into_queue(),
        }
    }
}

/// The least and the most that a block takes; one for a larger piece is as large as that.
const BLOCK: std::ops::RangeInclusive<usize> = 1024..=256 * 1024;

/// What has come of a body whose length nobody knows, in blocks of our own: a piece may be one byte, and may hold a
/// network buffer of many times its size.
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

/// The pieces in one allocation of their own: a piece may hold a network buffer many times its size.
pub(crate) fn concat(pieces: impl IntoIterator<Item = Bytes>, total: usize) -> Bytes {
    let mut whole = Vec::with_capacity(total);
    pieces.into_iter().for_each(|piece| whole.extend_from_slice(&piece));
    exact(whole)
}

fn exact(whole: Vec<u8>) -> Bytes {
    // A boxed slice has no room to spare: what it is counted for is what it takes.
    Bytes::from(whole.into_boxed_slice())
}

/// A body that was too large to collect: what has come, then the rest.
pub(crate) struct Resumed<B> {
    come: VecDeque<Bytes>,
    rest: B,
}

impl<B> Resumed<B> {
    /// The same, with another rest.
    pub(crate) fn map(self, rest: impl FnOnce(B) -> B) -> Self {
        Self { come: self.come, rest: rest(self.rest) }
    }
}

impl<B: Body<Data = Bytes, Error = Cut> + Unpin> Body for Resumed<B> {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        match this.come.pop_front() {
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            None => Pin::new(&mut this.rest).poll_frame(cx),
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// A body that goes to a client and, when it was whole and not too large, to whoever keeps it.
pub(crate) struct Kept<B, F: FnOnce(Bytes)> {
    body: B,
    limit: usize,
    room: ByteReservation,
    pieces: Blocks,
    /// None: it is not going to be kept any more.
    keep: Option<F>,
}

impl<B, F: FnOnce(Bytes)> Kept<B, F> {
    pub(crate) fn new(body: B, limit: u64, room: ByteReservation, keep: F) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self { body, limit, room, pieces: Blocks::default(), keep: Some(keep) }
    }

    fn finish(&mut self) {
        if let Some(keep) = self.keep.take() {
            keep(std::mem::take(&mut self.pieces).whole());
        }
    }
}

impl<B: Body<Data = Bytes, Error = Cut> + Unpin, F: FnOnce(Bytes) + Unpin> Body for Kept<B, F> {
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
                    if this.keep.is_none() || !this.room.grow(this.pieces.allocated as u64) {
                        (this.keep, this.pieces) = (None, Blocks::default());
                    }
                }
                // Whoever sends a body of known length need not ask for its end.
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

    /// A body of so many pieces of one byte, cut from one network buffer.
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
    async fn what_comes_in_crumbs_takes_little_more_than_it_is_and_all_of_that_is_counted() {
        let (all, room) = (numbered(400_000), ByteBudget::new(1 << 30));
        let mut taken = room.take();
        let Collected::Whole(whole) = collect(Crumbs(all.clone()), 1 << 20, &mut taken).await else {
            panic!("it is whole")
        };
        assert!(whole == all && (400_000..600_000).contains(&room.used()), "{}", room.used());
        let mut blocks = Blocks::default();
        all.chunks(1).for_each(|crumb| blocks.add(crumb));
        let queue = blocks.into_queue();
        assert!(queue.len() < 20, "{} pieces are held", queue.len());
        assert_eq!(queue.iter().fold(Vec::new(), |all, piece| [&all[..], piece].concat()), all);
    }

    #[tokio::test]
    async fn a_body_that_goes_by_is_kept_in_as_little() {
        let (all, room) = (numbered(100_000), ByteBudget::new(1 << 30));
        let (to, kept) = std::sync::mpsc::channel();
        let mut body =
            Kept::new(Crumbs(all.clone()), 1 << 20, room.take(), move |whole: Bytes| to.send(whole).unwrap());
        let mut gone: VecDeque<Bytes> = VecDeque::new();
        while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            gone.push_back(frame.into_data().unwrap());
        }
        assert!(kept.recv().unwrap() == all && concat(gone, 0) == all);
        assert!((100_000..200_000).contains(&room.used()), "{}", room.used());
    }

    #[tokio::test]
    async fn nothing_of_a_body_is_lost_where_there_is_no_more_room() {
        let (all, room) = (numbered(50_000), ByteBudget::new(20_000));
        let Collected::Crowded(mut rest) = collect(Crumbs(all.clone()), 1 << 20, &mut room.take()).await else {
            panic!("there is no room")
        };
        assert!(rest.come.len() < 20, "{} pieces are held", rest.come.len());
        let mut come = VecDeque::new();
        while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut rest).poll_frame(cx)).await {
            come.push_back(frame.into_data().unwrap());
        }
        assert_eq!(concat(come, 0), all);
    }
}
