//! A copy of a response that a request fills with, in a host that sends a coordinator whole bodies only.

use crate::request::fill::{END, head};
use meshcache_protocol::{Field, wire::piece_head};
use std::{cell::Cell, rc::Rc};

/// The largest body that is copied, bytes: what an owner stores that has no other `limits.object`.
const LARGEST: usize = 8 << 20;
/// How many bytes all copies of a worker take, with those that are being sent.
const MOST: usize = 32 << 20;
/// What a piece takes beside its bytes.
const PIECE: usize = 32;
/// The longest time for a body, milliseconds: one that never ends takes no room for ever.
const LONGEST: u64 = 60_000;

/// The room for all copies of a worker.
#[derive(Clone, Debug, Default)]
pub struct CopyRoom(Rc<Cell<usize>>);

/// A copy that grows. Dropped, it leaves its room.
#[derive(Debug)]
pub struct FillCopy {
    head: Vec<u8>,
    pieces: Vec<Vec<u8>>,
    /// The length of the body so far.
    length: usize,
    /// What it has of the room.
    taken: usize,
    room: CopyRoom,
    began: u64,
}

impl FillCopy {
    /// The copy of a response with this header map. `None`: it has no room, or cannot be sent.
    pub fn begin<'f>(fields: impl Iterator<Item = Field<'f>> + Clone, room: &CopyRoom, now: u64) -> Option<Self> {
        let length = fields.clone().find(|(name, _)| *name == b"content-length");
        let length = length.and_then(|(_, value)| std::str::from_utf8(value).ok()?.parse::<usize>().ok());
        if length.is_some_and(|length| length > LARGEST) {
            return None;
        }
        let head = head(fields)?;
        let size = head.len();
        let mut copy = Self { head, pieces: Vec::new(), length: 0, taken: 0, room: room.clone(), began: now };
        copy.takes(size).then_some(copy)
    }

    /// Takes a piece of the body. False: there is no room for it, and the copy is of no use.
    pub fn piece(&mut self, piece: Vec<u8>, now: u64) -> bool {
        if piece.is_empty() {
            return true;
        }
        self.length = self.length.saturating_add(piece.len());
        let fits = self.length <= LARGEST
            && now.saturating_sub(self.began) <= LONGEST
            && self.takes(piece.len().saturating_add(PIECE));
        self.pieces.push(piece);
        fits
    }

    /// Takes the body of the call: the response is whole. What it has of the room it keeps.
    pub fn end(&mut self) -> Vec<u8> {
        let mut all = std::mem::take(&mut self.head);
        all.reserve_exact(self.length.saturating_add(END.len()).saturating_add(END.len()));
        if self.length > 0 {
            all.extend_from_slice(&piece_head(self.length));
        }
        // Each is freed as soon as it is copied.
        std::mem::take(&mut self.pieces).into_iter().for_each(|piece| all.extend_from_slice(&piece));
        all.extend_from_slice(&END);
        all
    }

    fn takes(&mut self, bytes: usize) -> bool {
        let all = self.room.0.get().saturating_add(bytes);
        let fits = all <= MOST;
        if fits {
            self.room.0.set(all);
            self.taken = self.taken.saturating_add(bytes);
        }
        fits
    }
}

impl Drop for FillCopy {
    fn drop(&mut self) {
        self.room.0.set(self.room.0.get().saturating_sub(self.taken));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::fill;

    fn begin(length: &str, room: &CopyRoom) -> Option<FillCopy> {
        let fields: [Field<'_>; 2] = [(b":status", b"200"), (b"content-length", length.as_bytes())];
        FillCopy::begin(fields.into_iter(), room, 0)
    }

    #[test]
    fn a_whole_copy_is_head_body_and_end() {
        let room = CopyRoom::default();
        let mut copy = begin("4", &room).unwrap();
        let head = copy.head.clone();
        assert!([&b"ab"[..], b"", b"cd"].into_iter().all(|piece| copy.piece(piece.to_vec(), 1)));
        assert_eq!(copy.end(), [&head[..], &fill::piece(b"abcd"), &END].concat());
        assert_eq!(begin("0", &room).unwrap().end(), [&begin("0", &room).unwrap().head[..], &END].concat());
        assert!(room.0.get() >= 4, "it is being sent");
        drop(copy);
        assert_eq!(room.0.get(), 0, "all room is free again");
    }

    #[test]
    fn a_copy_is_no_larger_and_takes_no_longer_than_is_worth_it() {
        let room = CopyRoom::default();
        assert!(begin(&(LARGEST + 1).to_string(), &room).is_none());
        let mut copy = begin(&LARGEST.to_string(), &room).unwrap();
        assert!(copy.piece(vec![0; LARGEST], LONGEST));
        assert!(!copy.piece(vec![0], LONGEST), "more than was announced");
        let mut late = begin("2", &room).unwrap();
        assert!(late.piece(vec![0], LONGEST) && !late.piece(vec![0], LONGEST + 1));
        drop((copy, late));
        assert_eq!(room.0.get(), 0);
    }

    #[test]
    fn all_copies_of_a_worker_share_one_room() {
        let room = CopyRoom::default();
        let full = || {
            let mut copy = begin("9", &room)?;
            copy.piece(vec![0; LARGEST], 0).then_some(copy)
        };
        let mut copies: Vec<FillCopy> = (0..3).map_while(|_| full()).collect();
        assert_eq!(copies.len(), 3);
        assert!(full().is_none(), "heads and pieces count, too");
        copies.pop();
        assert!(full().is_some(), "one that is over leaves its room");
        let mut small = begin("9", &room).unwrap();
        let pieces = std::iter::repeat_with(|| small.piece(vec![0], 0)).take_while(|fits| *fits).count();
        assert!(pieces * (PIECE + 1) <= MOST, "pieces of a byte take more than a byte");
    }
}
