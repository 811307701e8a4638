//! What is there of a growing body, and where its readers are.

use crate::http::{
    body::Cut,
    byte_budget::ByteReservation,
    growing::{memory::Memory, wait::Wait},
};
use bytes::Bytes;
use std::{
    collections::{HashMap, VecDeque},
    task::Waker,
    time::Duration,
};

/// Pieces below this size are joined: a body that comes byte by byte takes little more than its size.
const CRUMB: usize = 4096;

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
    /// Readers on their way to the beginning.
    pub(super) awaited: usize,
    /// No more than a window of it is kept.
    pub(super) is_large: bool,
    /// Its beginning has left the window.
    pub(super) has_moved: bool,
    /// What the one who fills it waits for.
    pub(super) wait: Option<Wait>,
    /// Who waits for the end of the beginning.
    pub(super) closer: Option<Waker>,
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
    /// For how long the others have waited for it in all.
    pub(super) held_up: Duration,
    /// They wait for it no longer.
    pub(super) is_let_go: bool,
}

impl State {
    pub(super) fn new(memory: Option<Memory>, reservation: ByteReservation) -> Self {
        Self {
            pieces: VecDeque::new(),
            memory,
            len: 0,
            end: End::Open,
            seats: HashMap::new(),
            next_seat: 0,
            awaited: 0,
            is_large: false,
            has_moved: false,
            wait: None,
            closer: None,
            reservation: Some(reservation),
        }
    }

    /// Reserves this many bytes in all. False: the budget does not have them.
    pub(super) fn reserve(&mut self, bytes: u64) -> bool {
        self.reservation.as_mut().is_none_or(|reservation| reservation.grow(bytes))
    }

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

    /// Returns all of it, with its last bytes, where it has grown in one piece.
    pub(super) fn whole(&mut self, last: &[u8]) -> Option<Bytes> {
        let memory = self.memory.as_mut()?;
        memory.append(last).then(|| memory.bytes())
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

    /// Seats a reader.
    pub(super) fn seat(&mut self, at: u64) -> u64 {
        let seat = self.next_seat;
        self.next_seat = seat.saturating_add(1);
        self.seats.insert(seat, Seat { at, ..Seat::default() });
        if at == 0 && self.awaited > 0 {
            // It has been counted among those that hold up the filler.
            self.awaited = self.awaited.saturating_sub(1);
        } else if let Some(wait) = &mut self.wait {
            wait.note_seat(at);
        }
        self.note_first_reader();
        seat
    }

    /// Moves a reader on.
    pub(super) fn advance(&mut self, seat: u64, to: u64) {
        let Some(seat) = self.seats.get_mut(&seat) else { return };
        let from = std::mem::replace(&mut seat.at, to);
        if let Some(wait) = self.wait.as_mut().filter(|_| !seat.is_let_go) {
            seat.held_up = seat.held_up.saturating_add(wait.note_move(from, to));
        }
    }

    /// Removes a reader.
    pub(super) fn leave(&mut self, seat: u64) {
        let Some(seat) = self.seats.remove(&seat) else { return };
        if let Some(wait) = self.wait.as_mut().filter(|_| !seat.is_let_go) {
            wait.note_move(seat.at, u64::MAX);
        }
        self.forget_unread();
    }

    /// Gives the memory of a large body back that has ended and that nobody reads any more.
    pub(super) fn forget_unread(&mut self) {
        if self.seats.is_empty() && self.is_large && !matches!(self.end, End::Open) {
            self.forget_all();
        }
    }

    #[cfg(test)]
    pub(super) fn has_reservation(&self) -> bool {
        self.reservation.is_some()
    }

    /// Gives its memory back.
    pub(super) fn forget_all(&mut self) {
        self.pieces.clear();
        self.memory = None;
        self.reservation = None;
    }
}
