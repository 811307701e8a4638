//! What an entry has for itself, as one block of bytes: its age on arrival, the end of its key, the header values that
//! it does not share, and a small body.
//!
//! Lengths and numbers have seven bits in each byte. The head's length stands first; what follows it is the body.

use bytes::Bytes;
use smallvec::SmallVec;

/// A block that is being written.
pub(super) type Buffer = SmallVec<[u8; 512]>;

/// The head of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct BlockHead<'b> {
    /// The age on arrival, milliseconds, beside the one that the shared head has.
    pub(super) age: u64,
    /// The end of the key.
    pub(super) tail: KeyTail<'b>,
    /// A bit for each line of the shared head whose value is another here.
    pub(super) mask: &'b [u8],
    /// These values.
    pub(super) values: &'b [u8],
}

/// The end of a key: what does not name the group, the scheme and the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct KeyTail<'b> {
    /// Only the path is written: there is no query, and nothing after it.
    is_path: bool,
    bytes: &'b [u8],
}

impl<'b> KeyTail<'b> {
    /// Splits a key's bytes: what many keys of a group begin with, and the rest.
    pub(super) fn split(key: &'b [u8]) -> (&'b [u8], Self) {
        let mut rest = key;
        for _ in 0..3 {
            let Some(after) = framed(rest).map(|(_, after)| after) else { return (&[], Self::of(key)) };
            rest = after;
        }
        let (first, _) = key.split_at(key.len().saturating_sub(rest.len()));
        (first, Self::of(rest))
    }

    fn of(bytes: &'b [u8]) -> Self {
        match framed(bytes) {
            Some((path, [0, 0, 0, 0])) => Self { is_path: true, bytes: path },
            _ => Self { is_path: false, bytes },
        }
    }

    /// Returns whether it is the end of a key that goes on like this.
    pub(super) fn is(self, rest: &[u8]) -> bool {
        if !self.is_path {
            return self.bytes == rest;
        }
        rest.len() == self.bytes.len().saturating_add(8)
            && framed(rest).is_some_and(|(path, after)| path == self.bytes && after == [0; 4])
    }

    /// Writes the key's bytes after its beginning.
    pub(super) fn write(self, key: &mut Vec<u8>) {
        if self.is_path {
            key.extend_from_slice(&u32::try_from(self.bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        }
        key.extend_from_slice(self.bytes);
        if self.is_path {
            key.extend_from_slice(&[0; 4]);
        }
    }
}

/// Reads a part of a key: its length, and itself.
fn framed(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, after) = bytes.split_first_chunk::<4>()?;
    after.split_at_checked(u32::from_le_bytes(*length) as usize)
}

impl<'b> BlockHead<'b> {
    /// Reads the head of a block, and returns it with the body. `lines`: those of the shared head.
    pub(super) fn read(block: &'b [u8], lines: usize) -> Option<(Self, &'b [u8])> {
        let (length, rest) = number(block)?;
        let (head, body) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        let (age, rest) = number(head)?;
        let (tail, rest) = number(rest)?;
        let (bytes, rest) = rest.split_at_checked(usize::try_from(tail >> 1).ok()?)?;
        let (mask, values) = rest.split_at_checked(lines.div_ceil(8))?;
        Some((Self { age, tail: KeyTail { is_path: tail & 1 == 1, bytes }, mask, values }, body))
    }

    /// Returns the age of a block, as [`BlockHead::read`] does.
    pub(super) fn age(block: &[u8]) -> Option<u64> {
        let (_, rest) = number(block)?;
        number(rest).map(|(age, _)| age)
    }

    /// Returns the body after a block's head.
    pub(super) fn body(block: &Bytes) -> Option<&[u8]> {
        let (length, rest) = number(block)?;
        rest.get(usize::try_from(length).ok()?..)
    }

    /// Writes it.
    pub(super) fn write(&self) -> Buffer {
        let mut head = Buffer::new();
        write_number(&mut head, self.age);
        write_number(&mut head, (self.tail.bytes.len() as u64) << 1 | u64::from(self.tail.is_path));
        for part in [self.tail.bytes, self.mask, self.values] {
            head.extend_from_slice(part);
        }
        let mut block = Buffer::new();
        write_number(&mut block, head.len() as u64);
        block.extend_from_slice(&head);
        block
    }
}

/// Appends a value.
pub(super) fn write_value(values: &mut Buffer, value: &[u8]) {
    write_number(values, value.len() as u64);
    values.extend_from_slice(value);
}

/// Reads the next value.
#[inline]
pub(super) fn value(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = number(bytes)?;
    rest.split_at_checked(usize::try_from(length).ok()?)
}

fn write_number(to: &mut Buffer, mut number: u64) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

/// Reads a number: mostly one byte.
#[inline]
fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    match bytes {
        [byte @ ..0x80, rest @ ..] => Some((u64::from(*byte), rest)),
        _ => long_number(bytes),
    }
}

fn long_number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (mut all, mut shift, mut rest) = (0, 0, bytes);
    loop {
        let (byte, after) = rest.split_first()?;
        all |= u64::from(byte & 0x7f).checked_shl(shift)?;
        rest = after;
        if *byte < 0x80 {
            return Some((all, rest));
        }
        shift = shift.saturating_add(7);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_read_as_it_was_written() {
        for age in [0, 127, 128, 1 << 40, u64::MAX] {
            let written = BlockHead {
                age,
                tail: KeyTail { is_path: true, bytes: &[b'/'; 300] },
                mask: &[1, 2],
                values: b"\x03abc",
            };
            let mut block = written.write();
            block.extend_from_slice(b"body");
            assert_eq!(BlockHead::read(&block, 9), Some((written, &b"body"[..])));
            assert_eq!(BlockHead::age(&block), Some(age));
            assert_eq!(BlockHead::body(&Bytes::copy_from_slice(&block)), Some(&b"body"[..]));
        }
        assert_eq!(value(b"\x03abcd"), Some((&b"abc"[..], &b"d"[..])));
        assert_eq!((value(b"\x03ab"), BlockHead::read(b"", 1)), (None, None));
    }

    #[test]
    fn a_key_is_put_together_as_it_was() {
        let part = |text: &str| [&(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat();
        let of = |parts: &[&str]| parts.iter().flat_map(|text| part(text)).collect::<Vec<_>>();
        for key in [
            of(&["g", "http", "h", "/path", ""]),
            of(&["g", "http", "h", "/path", "?a=1"]),
            of(&["g", "http", "h", "/path", "", "h", "x"]),
            of(&["g", "http"]),
            b"no key".to_vec(),
            Vec::new(),
        ] {
            let (first, tail) = KeyTail::split(&key);
            let mut again = first.to_vec();
            tail.write(&mut again);
            assert_eq!(again, key);
            assert!(tail.is(&key[first.len()..]) && !tail.is(b"another"), "{key:?}");
        }
        let key = of(&["g", "http", "h", "/path", ""]);
        let (_, tail) = KeyTail::split(&key);
        assert!(!tail.is(&of(&["/patx", ""])) && !tail.is(&of(&["/path", "?"])) && !tail.is(&of(&["/path"])));
    }
}
