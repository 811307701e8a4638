//! What a proxy sends that was granted a load: the grant, then head and body of the service's response as they come.

use crate::request::Field;
use std::fmt;

/// The largest head of a response that is filled, bytes.
pub const LARGEST_FILLED_HEAD: usize = 64 << 10;
/// The bytes of the length before a head.
pub const LENGTH: usize = 4;

/// A load that a proxy was granted. Nobody can guess it: it is the right to fill, together with the proxy's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GrantId(u128);

impl GrantId {
    /// A grant of this number, which has to be random.
    pub const fn new(random: u128) -> Self {
        Self(random)
    }

    /// Reads a grant. `None`: the text is not the 32 digits of one.
    pub fn read(text: &str) -> Option<Self> {
        let is_one = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        u128::from_str_radix(text, 16).ok().filter(|_| is_one).map(Self)
    }
}

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Returns what stands before a piece of a body of this length. A piece without bytes is the end of a body that is whole:
/// what comes after that, such as a reset of the stream, does not matter.
pub fn piece_head(length: usize) -> [u8; LENGTH] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

/// The head of a response, as it stands before its body: its length in four bytes, the status, and the fields, a line
/// each. The pieces of the body follow, each behind its [`piece_head`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilledHead<'a> {
    /// The status code.
    pub status: u16,
    /// The fields, in their order.
    pub fields: Vec<Field<'a>>,
}

impl<'a> FilledHead<'a> {
    /// Writes it. `None`: it is too large, or has a value that no field has.
    pub fn write(&self) -> Option<Vec<u8>> {
        let is_clean = |bytes: &[u8]| !bytes.contains(&b'\n');
        if !self.fields.iter().all(|(name, value)| is_clean(name) && is_clean(value) && !name.contains(&b':')) {
            return None;
        }
        let mut all = vec![0; LENGTH];
        all.extend_from_slice(self.status.to_string().as_bytes());
        for (name, value) in &self.fields {
            [b"\n", *name, b":", value].into_iter().for_each(|part| all.extend_from_slice(part));
        }
        let length = all.len().checked_sub(LENGTH).filter(|length| *length <= LARGEST_FILLED_HEAD)?;
        all.get_mut(..LENGTH)?.copy_from_slice(&u32::try_from(length).ok()?.to_be_bytes());
        Some(all)
    }

    /// Returns where the head ends in what has come so far. `Ok(None)`: its length is not here yet. `Err`: it is too large.
    pub fn end(received: &[u8]) -> Result<Option<usize>, TooLarge> {
        let Some(length) = received.get(..LENGTH).and_then(|bytes| <[u8; LENGTH]>::try_from(bytes).ok()) else {
            return Ok(None);
        };
        match usize::try_from(u32::from_be_bytes(length)) {
            Ok(length) if length <= LARGEST_FILLED_HEAD => Ok(LENGTH.checked_add(length)),
            _ => Err(TooLarge),
        }
    }

    /// Reads the bytes up to [`FilledHead::end`]. `None`: they are no head.
    pub fn read(head: &'a [u8]) -> Option<Self> {
        let mut lines = head.get(LENGTH..)?.split(|b| *b == b'\n');
        let status = std::str::from_utf8(lines.next()?).ok()?.parse().ok()?;
        let fields = lines.map(|line| {
            let (name, value) = line.split_at_checked(line.iter().position(|b| *b == b':')?)?;
            Some((name, value.get(1..)?))
        });
        Some(Self { status, fields: fields.collect::<Option<_>>()? })
    }
}

/// A head is larger than [`LARGEST_FILLED_HEAD`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_read_as_it_was_written() {
        let grant = GrantId::new(u128::MAX / 3);
        assert_eq!(GrantId::read(&grant.to_string()), Some(grant));
        for bad in ["", "1", "+0000000000000000000000000000001", &"0".repeat(33), &"g".repeat(32)] {
            assert_eq!(GrantId::read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_head_is_read_as_it_was_written() {
        let head = FilledHead { status: 200, fields: vec![(b"a", b"b: c"), (b"a", b""), (b"\xff", b"\xfe")] };
        let written = head.write().unwrap();
        assert_eq!(FilledHead::end(&written), Ok(Some(written.len())));
        assert_eq!(FilledHead::end(&[&written[..], b"body"].concat()), Ok(Some(written.len())));
        assert_eq!(FilledHead::read(&written), Some(head));
        assert_eq!(FilledHead::end(&written[..3]), Ok(None));
        let bare = FilledHead { status: 204, fields: Vec::new() };
        assert_eq!(FilledHead::read(&bare.write().unwrap()), Some(bare));
    }

    #[test]
    fn what_is_no_head_is_not_taken_for_one() {
        assert_eq!(FilledHead { status: 200, fields: vec![(b"a", b"b\nc")] }.write(), None);
        assert_eq!(FilledHead { status: 200, fields: vec![(b"a:b", b"c")] }.write(), None);
        assert_eq!(FilledHead { status: 200, fields: vec![(b"a", &[b'x'; 70_000])] }.write(), None);
        assert_eq!(FilledHead::end(b"\xff\xff\xff\xff200"), Err(TooLarge));
        for bad in [&b""[..], b"\0\0\0\x03two", b"\0\0\0\x05200\nx", b"\0\0\0\0"] {
            assert_eq!(FilledHead::read(bad), None, "{bad:?}");
        }
    }
}
