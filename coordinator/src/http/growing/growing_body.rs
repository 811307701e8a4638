//! The body of one load, shared by all who read it.

use crate::http::{body::Cut, byte_budget::ByteReservation, growing::memory::Memory};
use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    task::{Context, Poll, Waker},
};

/// Pieces below this size are joined: a body that comes byte by byte takes little more than its size.
const CRUMB: usize = 4096;

/// The body of one load, and all who read it.
pub(crate) struct GrowingBody {
    /// The length that its head announced.
    pub(super) length: Option<u64>,
    pub(super) state: Mutex<State>,
}

pub(super) struct State {
    /// What is there, in order; each with the offset of its first byte.
    pub(super) pieces: VecDeque<(u64, Bytes)>,
    /// Where it grows in one piece, if its length is known.
    memory: Option<Memory>,
    /// The bytes that have come, those that are no longer kept included.
    pub(super) len: u64,
    pub(super) end: End,
    pub(super) seats: HashMap<u64, Seat>,
    pub(super) next_seat: u64,
    /// The one who fills it, if it waits for readers.
    pub(super) filler: Option<Waker>,
    reservation: Option<ByteReservation>,
}

/// How far a body has come.
pub(super) enum End {
    /// More is to come.
    Open,
    /// All of it in one piece, which the store may have, too.
    Whole(Bytes),
    /// All of it has come, and its pieces are for those who read it now.
    Complete,
    /// It broke off.
    Cut(Cut),
}

/// One reader.
#[derive(Default)]
pub(super) struct Seat {
    /// The offset of its next byte.
    pub(super) at: u64,
    /// It waits for more.
    pub(super) waker: Option<Waker>,
    /// It held up the others for too long.
    pub(super) is_let_go: bool,
}

impl GrowingBody {
    pub(super) fn new(
        pieces: impl IntoIterator<Item = Bytes>,
        length: Option<u64>,
        memory: Option<Memory>,
        reservation: ByteReservation,
    ) -> Arc<Self> {
        let mut state = State {
            pieces: VecDeque::new(),
            memory,
            len: 0,
            end: End::Open,
            seats: HashMap::new(),
            next_seat: 0,
            filler: None,
            reservation: Some(reservation),
        };
        pieces.into_iter().for_each(|piece| state.add(&piece));
        Arc::new(Self { length, state: Mutex::new(state) })
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

    /// Gives readers what is left of it from one piece. Its memory is no longer this body's.
    pub(crate) fn complete(&self, whole: Bytes) {
        self.end(End::Whole(whole));
    }

    pub(super) fn end(&self, end: End) {
        let mut state = self.state.lock();
        if let End::Whole(whole) = &end {
            // The last piece was held back.
            state.len = whole.len() as u64;
            state.pieces.clear();
            state.memory = None;
            state.reservation = None;
        }
        state.end = end;
        wake(state);
    }

    /// Appends what has come. False: the budget has no bytes left for it.
    pub(super) fn push(&self, data: &[u8]) -> bool {
        let mut state = self.state.lock();
        let len = state.len.saturating_add(data.len() as u64);
        if state.reservation.as_mut().is_some_and(|reservation| !reservation.grow(len)) {
            return false;
        }
        state.add(data);
        wake(state);
        true
    }

    /// All that has come, and this, in one piece.
    pub(super) fn concat(&self, last: &[u8]) -> Bytes {
        let mut state = self.state.lock();
        if let Some(memory) = &mut state.memory
            && memory.append(last)
        {
            return memory.bytes();
        }
        let pieces = state.pieces.clone();
        drop(state);
        let pieces: Vec<&[u8]> = pieces.iter().map(|(_, piece)| &**piece).chain([last]).collect();
        // Without spare capacity: the bytes that are counted are those that are allocated.
        pieces.concat().into_boxed_slice().into()
    }

    /// Waits until at most so many bytes are kept for readers. False: nobody reads it any more.
    pub(super) fn poll_room(&self, window: u64, cx: &mut Context<'_>) -> Poll<bool> {
        let mut state = self.state.lock();
        state.forget_what_all_have();
        if state.slowest().is_none() {
            return Poll::Ready(false);
        }
        let kept: u64 = state.pieces.iter().map(|(_, piece)| piece.len() as u64).sum();
        if kept <= window {
            return Poll::Ready(true);
        }
        state.filler = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Lets go of the readers that are furthest behind.
    pub(super) fn let_go_of_the_slowest(&self) {
        let mut state = self.state.lock();
        let Some(slowest) = state.slowest() else { return };
        for seat in state.seats.values_mut().filter(|seat| seat.at == slowest) {
            seat.is_let_go = true;
        }
        wake(state);
    }
}

impl State {
    /// Keeps a copy: a piece may hold a network buffer of many times its size.
    pub(super) fn add(&mut self, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        let from = self.len;
        self.len = from.saturating_add(data.len() as u64);
        if let Some(memory) = &mut self.memory
            && memory.append(data)
        {
            self.pieces = VecDeque::from([(0, memory.bytes())]);
            return;
        }
        match self.pieces.back_mut() {
            Some((_, last)) if last.len() + data.len() <= CRUMB => {
                *last = [last, data].concat().into_boxed_slice().into();
            }
            _ => self.pieces.push_back((from, Bytes::copy_from_slice(data))),
        }
    }

    /// Returns what there is from an offset on, at most one piece.
    pub(super) fn piece(&self, at: u64) -> Option<Bytes> {
        if let End::Whole(whole) = &self.end {
            let at = usize::try_from(at).ok()?;
            return (at < whole.len()).then(|| whole.slice(at..));
        }
        let index = self.pieces.partition_point(|(from, _)| *from <= at).checked_sub(1)?;
        let (from, piece) = self.pieces.get(index)?;
        let skipped = usize::try_from(at.checked_sub(*from)?).ok()?;
        (skipped < piece.len()).then(|| piece.slice(skipped..))
    }

    /// Returns the offset from which on it is kept.
    pub(super) fn first(&self) -> u64 {
        self.pieces.front().map_or(self.len, |(first, _)| *first)
    }

    /// Returns where the slowest reader is that was not let go.
    fn slowest(&self) -> Option<u64> {
        self.seats.values().filter(|seat| !seat.is_let_go).map(|seat| seat.at).min()
    }

    fn forget_what_all_have(&mut self) {
        let slowest = self.slowest().unwrap_or(self.len);
        while self.pieces.front().is_some_and(|(from, piece)| from.saturating_add(piece.len() as u64) <= slowest) {
            self.pieces.pop_front();
        }
    }
}

/// Wakes all readers that wait, after the lock.
pub(super) fn wake(mut state: MutexGuard<'_, State>) {
    let waiting: Vec<Waker> = state.seats.values_mut().filter_map(|seat| seat.waker.take()).collect();
    drop(state);
    waiting.into_iter().for_each(Waker::wake);
}
