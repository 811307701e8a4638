//! One reader of a growing body.

use crate::http::{
    body::{Body as Own, Cut},
    growing::{growing_body::GrowingBody, state::End},
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body::{Body, Frame, SizeHint};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
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
    /// What it reads by itself, once the others do not wait for it any more.
    own: Option<OwnRest>,
}

/// The rest of a body for one reader.
enum OwnRest {
    Asking(BoxFuture<'static, Result<Own, Cut>>),
    Body(Own),
    Failed,
}

impl GrowingBody {
    /// Reads from an offset on: to the end, or up to another offset. `None`: the beginning is no longer kept.
    pub(crate) fn read(self: &Arc<Self>, from: u64, to: Option<u64>) -> Option<Reader> {
        let mut state = self.state.lock();
        if from < state.first() && !matches!(state.end, End::Whole(_)) {
            return None;
        }
        let seat = state.seat(from);
        Some(Reader { body: self.clone(), seat, at: from, to: to.or(self.length), own: None })
    }
}

impl Reader {
    fn left(&self) -> Option<u64> {
        self.to.or_else(|| self.body.length()).map(|to| to.saturating_sub(self.at))
    }

    /// Reads what all read. None: this one goes on by itself.
    fn poll_shared(&mut self, cx: &mut Context<'_>) -> Option<Poll<Option<Result<Frame<Bytes>, Cut>>>> {
        let mut state = self.body.state.lock();
        if state.seats.get(&self.seat).is_none_or(|seat| seat.is_let_go) {
            return None;
        }
        if let Some(mut piece) = state.piece(self.at) {
            if let Some(left) = self.to.and_then(|to| usize::try_from(to.saturating_sub(self.at)).ok()) {
                piece.truncate(left);
            }
            self.at = self.at.saturating_add(piece.len() as u64);
            if self.to.is_some_and(|to| self.at >= to) {
                // Nobody waits for who has all of it.
                state.leave(self.seat);
            } else {
                state.advance(self.seat, self.at);
            }
            return Some(Poll::Ready(Some(Ok(Frame::data(piece)))));
        }
        match &state.end {
            End::Open => {}
            End::Whole(_) | End::Complete => return Some(Poll::Ready(None)),
            End::Cut(cut) => return Some(Poll::Ready(Some(Err(cut.clone())))),
        }
        let waited = state.seats.get_mut(&self.seat).and_then(|seat| seat.waker.replace(cx.waker().clone()));
        if waited.is_none() {
            state.note_starving();
        }
        Some(Poll::Pending)
    }

    fn poll_own(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let resume = || self.body.resume.get().map(|resume| OwnRest::Asking(resume(self.at, self.to)));
        if self.own.is_none() {
            self.own = Some(resume().unwrap_or(OwnRest::Failed));
            self.body.state.lock().leave(self.seat);
        }
        if let Some(OwnRest::Asking(asking)) = &mut self.own {
            match ready!(asking.as_mut().poll(cx)) {
                Ok(body) => self.own = Some(OwnRest::Body(body)),
                Err(cut) => {
                    self.own = Some(OwnRest::Failed);
                    return Poll::Ready(Some(Err(cut)));
                }
            }
        }
        let Some(OwnRest::Body(body)) = &mut self.own else { return Poll::Ready(Some(Err(TOO_SLOW))) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            self.at = self.at.saturating_add(frame.data_ref().map_or(0, |data| data.len() as u64));
        }
        Poll::Ready(frame)
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
        if this.own.is_none()
            && let Some(polled) = this.poll_shared(cx)
        {
            return polled;
        }
        this.poll_own(cx)
    }

    fn is_end_stream(&self) -> bool {
        let is_complete = || {
            let state = self.body.state.lock();
            matches!(state.end, End::Whole(_) | End::Complete) && self.at >= state.len
        };
        self.to.is_some_and(|to| self.at >= to) || (self.own.is_none() && is_complete())
    }

    fn size_hint(&self) -> SizeHint {
        self.left().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.body.state.lock().leave(self.seat);
    }
}
