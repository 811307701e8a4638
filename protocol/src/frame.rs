//! Frames: stored responses between coordinators, in responses to peeks and in pushes.
//!
//! A message is the version (1 byte), the sender's purge position with its length before it (4 bytes, little-endian),
//! and frames up to its end. A frame is the length of what follows, and then, each with its length before it: the
//! metadata as JSON, the key, the header fields (their number, then names and values), the body. Nothing follows the
//! body.

use crate::{
    freshness::{Selecting, Stored},
    purge::Position,
    request::Field,
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The version of messages that this code writes and reads.
pub const VERSION: u8 = 1;
/// The longest frame, bytes. Larger responses are not sent.
pub const MAX_FRAME: usize = 64 << 20;
/// The most header fields of a frame.
const MAX_FIELDS: usize = 4096;

/// A stored response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The key's bytes.
    pub key: &'a [u8],
    /// The values that decisions about it need.
    pub metadata: Metadata,
    /// Its header fields, with purge tags.
    pub fields: Vec<Field<'a>>,
    /// The whole body.
    pub body: &'a [u8],
}

/// The values that decisions about a stored response need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Its freshness.
    pub stored: Stored,
    /// The selecting fields of the requests that it answers.
    pub selecting: Selecting,
    /// How long it has been in stores, milliseconds. So its age needs no clock of another host.
    pub resident: u64,
    /// The time since the last request for its key, milliseconds.
    pub idle: u64,
    /// Whether its key has been requested more than once.
    pub warm: bool,
    /// The digest of the group's rules under which it was stored.
    pub rules: String,
    /// Whether it was set: it replaces what is stored under its key, and what is being loaded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub set: bool,
}

/// Why bytes are not a message of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadFrame {
    /// The version is not [`VERSION`].
    Version(u8),
    /// The purge position cannot be read.
    Position,
    /// A frame is longer than [`MAX_FRAME`].
    TooLong,
    /// A frame ends too early, or a part is longer than its frame.
    Cut,
    /// Bytes follow a body.
    Trailing,
    /// The metadata cannot be read.
    Metadata,
    /// A frame has too many header fields.
    Fields,
}

impl fmt::Display for BadFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(f, "version {version} of frames is not the one spoken here ({VERSION})"),
            Self::Position => f.write_str("the purge position before the frames cannot be read"),
            Self::TooLong => write!(f, "a frame is longer than {MAX_FRAME} bytes"),
            Self::Cut => f.write_str("a frame is cut"),
            Self::Trailing => f.write_str("bytes follow a frame's body"),
            Self::Metadata => f.write_str("a frame's metadata cannot be read"),
            Self::Fields => write!(f, "a frame has more than {MAX_FIELDS} header fields"),
        }
    }
}

impl std::error::Error for BadFrame {}

/// Creates a message without frames. `position`: the sender's purge position before it reads what it sends, so that all
/// of it is at least as new.
pub fn new_message(position: &Position) -> Vec<u8> {
    let mut out = vec![VERSION];
    part(&mut out, position.to_string().as_bytes());
    out
}

/// Reads a message: the sender's purge position and all frames.
///
/// # Errors
/// The first fault of a message.
pub fn read(bytes: &[u8]) -> Result<(Position, Vec<Frame<'_>>), BadFrame> {
    let (version, rest) = bytes.split_first().ok_or(BadFrame::Cut)?;
    if *version != VERSION {
        return Err(BadFrame::Version(*version));
    }
    let mut rest = Rest(rest);
    let position = std::str::from_utf8(rest.part()?).ok().and_then(Position::parse).ok_or(BadFrame::Position)?;
    let mut frames = Vec::new();
    while !rest.0.is_empty() {
        frames.push(rest.frame()?);
    }
    Ok((position, frames))
}

impl<'a> Frame<'a> {
    /// Appends the frame to a message.
    ///
    /// # Errors
    /// Nothing is appended where the frame is too long ([`BadFrame::TooLong`], [`BadFrame::Fields`]).
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), BadFrame> {
        let metadata = serde_json::to_vec(&self.metadata).map_err(|_| BadFrame::Metadata)?;
        let of = |part: &[u8]| part.len().saturating_add(4);
        let fields = self
            .fields
            .iter()
            .fold(4_usize, |sum, (name, value)| sum.saturating_add(of(name)).saturating_add(of(value)));
        let length =
            [of(&metadata), of(self.key), fields, of(self.body)].into_iter().fold(0_usize, usize::saturating_add);
        if length > MAX_FRAME {
            return Err(BadFrame::TooLong);
        }
        if self.fields.len() > MAX_FIELDS {
            return Err(BadFrame::Fields);
        }
        out.reserve(length.saturating_add(4));
        number(out, length);
        part(out, &metadata);
        part(out, self.key);
        number(out, self.fields.len());
        for (name, value) in &self.fields {
            part(out, name);
            part(out, value);
        }
        part(out, self.body);
        Ok(())
    }
}

fn number(out: &mut Vec<u8>, n: usize) {
    // All are checked to be below MAX_FRAME.
    out.extend_from_slice(&u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes());
}

fn part(out: &mut Vec<u8>, part: &[u8]) {
    number(out, part.len());
    out.extend_from_slice(part);
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn number(&mut self) -> Result<usize, BadFrame> {
        let (n, rest) = self.0.split_first_chunk::<4>().ok_or(BadFrame::Cut)?;
        self.0 = rest;
        usize::try_from(u32::from_le_bytes(*n)).map_err(|_| BadFrame::TooLong)
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], BadFrame> {
        let (part, rest) = self.0.split_at_checked(n).ok_or(BadFrame::Cut)?;
        self.0 = rest;
        Ok(part)
    }

    fn part(&mut self) -> Result<&'a [u8], BadFrame> {
        let n = self.number()?;
        self.take(n)
    }

    fn frame(&mut self) -> Result<Frame<'a>, BadFrame> {
        let length = self.number()?;
        if length > MAX_FRAME {
            return Err(BadFrame::TooLong);
        }
        let mut rest = Rest(self.take(length)?);
        let metadata = serde_json::from_slice(rest.part()?).map_err(|_| BadFrame::Metadata)?;
        let key = rest.part()?;
        let count = rest.number()?;
        if count > MAX_FIELDS {
            return Err(BadFrame::Fields);
        }
        let mut fields = Vec::with_capacity(count);
        for _ in 0..count {
            fields.push((rest.part()?, rest.part()?));
        }
        let body = rest.part()?;
        if rest.0.is_empty() { Ok(Frame { key, metadata, fields, body }) } else { Err(BadFrame::Trailing) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::freshness::LifetimeRule;

    fn frame() -> Frame<'static> {
        let stored = Stored {
            status: 200,
            lifetime: 60_000,
            initial_age: 7,
            while_revalidate: 1,
            if_error: 2,
            always_validate: false,
            must_revalidate: true,
            for_everybody: true,
            validator: true,
            immutable: false,
            disconnected: false,
            why: LifetimeRule::MaxAge,
        };
        let metadata = Metadata {
            stored,
            selecting: Selecting::default(),
            resident: 5,
            idle: 3,
            warm: true,
            rules: "r".into(),
            set: false,
        };
        Frame { key: b"key", metadata, fields: vec![(b"etag", b"\"a\""), (b"x", b"\xff")], body: b"body" }
    }

    fn position() -> Position {
        Position::parse("a.1:7").unwrap()
    }

    fn bytes(frames: usize) -> Vec<u8> {
        let mut bytes = new_message(&position());
        (0..frames).for_each(|_| frame().write(&mut bytes).unwrap());
        bytes
    }

    #[test]
    fn frames_are_read_as_they_were_written_one_after_another() {
        for n in 0..3 {
            assert_eq!(read(&bytes(n)), Ok((position(), vec![frame(); n])));
        }
    }

    #[test]
    fn bytes_that_are_no_message_are_refused_by_name() {
        let (good, start) = (bytes(1), bytes(0).len());
        for n in (0..good.len()).filter(|n| *n != start) {
            assert_eq!(read(&good[..n]), Err(BadFrame::Cut), "{n}");
        }
        let with = |at: usize, byte: u8| {
            let mut bad = good.clone();
            bad[at] = byte;
            bad
        };
        assert_eq!(read(&with(0, 9)), Err(BadFrame::Version(9)));
        assert_eq!(read(&with(5, b' ')), Err(BadFrame::Position));
        assert_eq!(read(&with(start + 3, 0xff)), Err(BadFrame::TooLong));
        assert_eq!(read(&with(start + 8, b'x')), Err(BadFrame::Metadata));
        let longer = with(start, good[start].wrapping_add(1));
        assert_eq!(read(&[&longer[..], b"x"].concat()), Err(BadFrame::Trailing));
        let mut huge = frame();
        let body = vec![0; MAX_FRAME];
        huge.body = &body;
        let mut out = Vec::new();
        assert_eq!((huge.write(&mut out), out.len()), (Err(BadFrame::TooLong), 0));
        huge.body = b"";
        huge.fields = vec![(b"a", b"b"); MAX_FIELDS + 1];
        assert_eq!(huge.write(&mut out), Err(BadFrame::Fields));
    }

    #[test]
    fn any_bytes_are_a_message_or_an_error_and_never_more() {
        let good = bytes(2);
        for at in 0..good.len() {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut bad = good.clone();
                bad[at] = byte;
                let _ = read(&bad);
            }
        }
    }
}
