//! One reader of a growing body.

use crate::http::{
    body::Cut,
    growing::growing_body::{End, GrowingBody, Seat},
};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// The error of a reader that held up the others.
const TOO_SLOW: Cut = Cut("slow");

/// A growing body, or a part of it, as one client gets it.
pub(crate) struct Reader {
    body: Arc<GrowingBody>,
    seat: u64,
    at: u64,
    /// The offset behind its last byte, if that is known.
    to: Option<u64>,
}

impl GrowingBody {
    /// Reads from an offset on: to the end, or up to another offset. `None`: the beginning is no longer kept.
    pub(crate) fn read(self: &Arc<Self>, from: u64, to: Option<u64>) -> Option<Reader> {
        let mut state = self.state.lock();
        if from < state.first() && !matches!(state.end, End::Whole(_)) {
            return None;
        }
        let seat = state.next_seat;
        state.next_seat = seat.saturating_add(1);
        state.seats.insert(seat, Seat { at: from, ..Seat::default() });
        Some(Reader { body: self.clone(), seat, at: from, to: to.or(self.length) })
    }
}

impl Reader {
    fn left(&self) -> Option<u64> {
        self.to.or_else(|| self.body.length()).map(|to| to.saturating_sub(self.at))
    }
}

impl Body for Reader {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        if this.to.is_some_and(|to| this.at >= to) {
            return Poll::Ready(None);
        }
        let mut state = this.body.state.lock();
        if state.seats.get(&this.seat).is_none_or(|seat| seat.is_let_go) {
            return Poll::Ready(Some(Err(TOO_SLOW)));
        }
        if let Some(mut piece) = state.piece(this.at) {
            if let Some(left) = this.to.and_then(|to| usize::try_from(to.saturating_sub(this.at)).ok()) {
                piece.truncate(left);
            }
            this.at = this.at.saturating_add(piece.len() as u64);
            if let Some(seat) = state.seats.get_mut(&this.seat) {
                seat.at = this.at;
            }
            if let Some(filler) = state.filler.take() {
                filler.wake();
            }
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match &state.end {
            End::Open => {}
            End::Whole(_) | End::Complete => return Poll::Ready(None),
            End::Cut(cut) => return Poll::Ready(Some(Err(cut.clone()))),
        }
        if let Some(seat) = state.seats.get_mut(&this.seat)
            && !seat.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            seat.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        let is_complete = || {
            let state = self.body.state.lock();
            matches!(state.end, End::Whole(_) | End::Complete) && self.at >= state.len
        };
        self.to.is_some_and(|to| self.at >= to) || is_complete()
    }

    fn size_hint(&self) -> SizeHint {
        self.left().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.body.state.lock();
        state.seats.remove(&self.seat);
        if let Some(filler) = state.filler.take() {
            filler.wake();
        }
    }
}
