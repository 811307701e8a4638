//! A body on its way into the store: collected within a limit, whatever its head promised.

use crate::{body::Cut, room::Taken};
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
pub(crate) async fn collect<B: Body<Data = Bytes, Error = Cut> + Unpin>(mut body: B, limit: u64, room: &mut Taken) -> Collected<B> {
    let expected = body.size_hint().exact().filter(|length| *length <= limit);
    if !room.grow(expected.unwrap_or(0)) {
        return Collected::Crowded(Resumed { come: VecDeque::new(), rest: body });
    }
    let mut pieces = match expected.map(usize::try_from) {
        // The length is known: each piece is copied once, and its network buffer is free again.
        Some(Ok(length)) => Pieces::Filled(BytesMut::with_capacity(length)),
        _ => Pieces::Kept(VecDeque::new(), 0),
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
                if !room.grow(pieces.len() as u64) {
                    return Collected::Crowded(Resumed { come: pieces.into_queue(), rest: body });
                }
            }
        }
    }
}

enum Pieces {
    Filled(BytesMut),
    Kept(VecDeque<Bytes>, usize),
}

impl Pieces {
    fn add(&mut self, data: Bytes) {
        match self {
            Self::Filled(buffer) => buffer.extend_from_slice(&data),
            Self::Kept(pieces, total) => {
                *total += data.len();
                pieces.push_back(data);
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Filled(buffer) => buffer.len(),
            Self::Kept(_, total) => *total,
        }
    }

    fn whole(self) -> Bytes {
        match self {
            Self::Filled(buffer) => exact(buffer.into()),
            Self::Kept(pieces, total) => concat(pieces, total),
        }
    }

    fn into_queue(self) -> VecDeque<Bytes> {
        match self {
            Self::Filled(buffer) => VecDeque::from([buffer.freeze()]),
            Self::Kept(pieces, _) => pieces,
        }
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
    room: Taken,
    pieces: VecDeque<Bytes>,
    total: usize,
    /// None: it is not going to be kept any more.
    keep: Option<F>,
}

impl<B, F: FnOnce(Bytes)> Kept<B, F> {
    pub(crate) fn new(body: B, limit: u64, room: Taken, keep: F) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self { body, limit, room, pieces: VecDeque::new(), total: 0, keep: Some(keep) }
    }

    fn finish(&mut self) {
        if let Some(keep) = self.keep.take() {
            keep(concat(std::mem::take(&mut self.pieces), self.total));
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
            Some(Err(_)) => this.keep = None,
            Some(Ok(frame)) => {
                if let (Some(data), true) = (frame.data_ref(), this.keep.is_some()) {
                    this.total += data.len();
                    if this.total > this.limit || !this.room.grow(this.total as u64) {
                        (this.keep, this.pieces) = (None, VecDeque::new());
                    } else {
                        this.pieces.push_back(data.clone());
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
