//! The body of one load, shared by all who read it.

use crate::http::{
    body::{Body, Cut},
    byte_budget::ByteReservation,
    growing::{
        memory::Memory,
        state::{End, State},
    },
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::{Mutex, MutexGuard};
use std::{
    future::poll_fn,
    sync::{Arc, OnceLock},
    task::{Context, Poll, Waker},
};

/// Asks for the rest of a body for one reader: from an offset on, up to another one or to the end.
pub(crate) type Resume = Box<dyn Fn(u64, Option<u64>) -> BoxFuture<'static, Result<Body, Cut>> + Send + Sync>;

/// The body of one load, and all who read it.
pub(crate) struct GrowingBody {
    /// The length that its head announced.
    pub(super) length: Option<u64>,
    pub(super) state: Mutex<State>,
    /// How a reader goes on that the others no longer wait for. Without it, it is cut.
    pub(super) resume: OnceLock<Resume>,
}

impl GrowingBody {
    pub(super) fn new(
        pieces: impl IntoIterator<Item = Bytes>,
        length: Option<u64>,
        memory: Option<Memory>,
        reservation: ByteReservation,
    ) -> Arc<Self> {
        let mut state = State::new(memory, reservation);
        pieces.into_iter().for_each(|piece| state.add(&piece));
        Arc::new(Self { length, state: Mutex::new(state), resume: OnceLock::new() })
    }

    /// Returns its length, if that is known.
    pub(crate) fn length(&self) -> Option<u64> {
        match &self.state.lock().end {
            End::Whole(whole) => Some(whole.len() as u64),
            _ => self.length,
        }
    }

    /// Whether a new reader may have all of it: it has not broken off, and its beginning is still kept.
    pub(crate) fn is_readable(&self) -> bool {
        let state = self.state.lock();
        match state.end {
            End::Whole(_) => true,
            End::Cut(_) => false,
            End::Open | End::Complete => state.first() == 0,
        }
    }

    /// Whether no more than a window of it is kept: it is too large for the store.
    pub(crate) fn is_large(&self) -> bool {
        self.state.lock().is_large
    }

    /// Whether a new reader may begin here, without waiting for long: of a large body only what is there.
    pub(crate) fn has(&self, from: u64) -> bool {
        let state = self.state.lock();
        matches!(state.end, End::Whole(_)) || (state.first() <= from && (!state.is_large || from < state.len.max(1)))
    }

    /// So many more readers are on their way to its beginning, which is kept for them for a moment.
    pub(crate) fn expect(&self, readers: usize) {
        let mut state = self.state.lock();
        state.awaited = state.awaited.saturating_add(readers);
    }

    /// Keeps no more than a window of it from now on. `resume`: how readers go on that are let go.
    pub(crate) fn keep_window(&self, resume: Resume) {
        let _ = self.resume.set(resume);
        self.state.lock().is_large = true;
    }

    /// Waits until its beginning is no longer kept, or until it has ended. Returns why it broke off by then.
    pub(crate) async fn beginning_passed(&self) -> Option<Cut> {
        poll_fn(|cx| self.poll_beginning(cx)).await
    }

    fn poll_beginning(&self, cx: &mut Context<'_>) -> Poll<Option<Cut>> {
        let mut state = self.state.lock();
        match &state.end {
            End::Cut(cut) if !state.has_moved => Poll::Ready(Some(cut.clone())),
            End::Open if !state.has_moved => {
                state.closer = Some(cx.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(None),
        }
    }

    /// Gives readers what is left of it from one piece. Its memory is no longer this body's.
    pub(crate) fn complete(&self, whole: Bytes) {
        self.end(End::Whole(whole));
    }

    pub(super) fn end(&self, end: End) {
        let mut state = self.state.lock();
        if let End::Whole(whole) = &end {
            // The last piece was held back.
            state.len = whole.len() as u64;
            state.forget_all();
        }
        state.end = end;
        state.forget_unread();
        let closer = state.closer.take();
        wake(state);
        closer.into_iter().for_each(Waker::wake);
    }

    /// Appends what has come. False: the budget has no bytes left for it.
    pub(super) fn push(&self, data: &[u8]) -> bool {
        let mut state = self.state.lock();
        let len = state.len.saturating_add(data.len() as u64);
        if !state.reserve(len) {
            return false;
        }
        state.add(data);
        wake(state);
        true
    }

    /// All that has come, and this, in one piece.
    pub(super) fn concat(&self, last: &[u8]) -> Bytes {
        let mut state = self.state.lock();
        if let Some(whole) = state.whole(last) {
            return whole;
        }
        let pieces = state.pieces.clone();
        drop(state);
        let pieces: Vec<&[u8]> = pieces.iter().map(|(_, piece)| &**piece).chain([last]).collect();
        // Without spare capacity: the bytes that are counted are those that are allocated.
        pieces.concat().into_boxed_slice().into()
    }
}

/// Wakes all readers that wait, after the lock.
pub(super) fn wake(mut state: MutexGuard<'_, State>) {
    let waiting: Vec<Waker> = state.seats.values_mut().filter_map(|seat| seat.waker.take()).collect();
    drop(state);
    waiting.into_iter().for_each(Waker::wake);
}
