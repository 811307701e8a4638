//! The body of a response that a proxy copies, after its head: pieces, and a piece without bytes at its end.

use crate::http::body::{Body, Cut};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use meshcache_protocol::wire::PIECE_HEAD;
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::sync::oneshot;

/// Why a body is not the one that its head announced.
const CUT: Cut = Cut("incomplete-body");

/// What follows the head. It is cut where it breaks off, or has more or less than its head announced.
pub(super) struct FilledBody {
    /// What has come and is not passed on.
    received: Bytes,
    rest: Body,
    /// What is here of the head of the next piece.
    head: ([u8; PIECE_HEAD], usize),
    /// The bytes of this piece that are to come.
    piece: usize,
    /// How much is to come in all, if the head said.
    left: Option<u64>,
    /// Told when all of it has come; dropped before that if it is not kept.
    end: Option<oneshot::Sender<()>>,
}

impl FilledBody {
    /// `received`: what came with the head. `length`: what that announced.
    pub(super) fn new(received: Bytes, rest: Body, length: Option<u64>, end: oneshot::Sender<()>) -> Self {
        Self { received, rest, head: Default::default(), piece: 0, left: length, end: Some(end) }
    }

    /// Takes what it can of what has come. None: more has to come.
    fn next(&mut self) -> Option<Option<Result<Bytes, Cut>>> {
        while self.piece == 0 {
            let (head, got) = &mut self.head;
            let byte = *self.received.first()?;
            self.received = self.received.slice(1..);
            if let Some(place) = head.get_mut(*got) {
                *place = byte;
            }
            *got += 1;
            if *got == PIECE_HEAD {
                *got = 0;
                self.piece = usize::try_from(u32::from_be_bytes(*head)).unwrap_or(usize::MAX);
                if self.piece == 0 {
                    return Some(self.ended());
                }
            }
        }
        if self.received.is_empty() {
            return None;
        }
        let data = self.received.split_to(self.piece.min(self.received.len()));
        self.piece -= data.len();
        if let Some(left) = &mut self.left {
            match left.checked_sub(data.len() as u64) {
                Some(less) => *left = less,
                None => return Some(Some(Err(CUT))),
            }
        }
        Some(Some(Ok(data)))
    }

    fn ended(&mut self) -> Option<Result<Bytes, Cut>> {
        if self.left.is_some_and(|left| left > 0) {
            return Some(Err(CUT));
        }
        if let Some(end) = self.end.take() {
            let _ = end.send(());
        }
        None
    }
}

impl http_body::Body for FilledBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        if this.end.is_none() {
            return Poll::Ready(None);
        }
        loop {
            if let Some(next) = this.next() {
                return Poll::Ready(next.map(|data| data.map(Frame::data)));
            }
            match ready!(Pin::new(&mut this.rest).poll_frame(cx)) {
                Some(Ok(frame)) => this.received = frame.into_data().unwrap_or_default(),
                Some(Err(_)) | None => return Poll::Ready(Some(Err(CUT))),
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
