//! Header maps as Envoy hands them over and takes them: a count, all lengths, then all names and values.

use meshcache_protocol::Field;

/// Reads a header map in place.
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    sizes: &'a [u8],
    data: &'a [u8],
}

impl<'a> Pairs<'a> {
    /// The pairs of a map. `None` for bytes that are no map.
    pub fn of(map: &'a [u8]) -> Option<Self> {
        if map.is_empty() {
            return Some(Self { sizes: &[], data: &[] });
        }
        let (count, rest) = map.split_first_chunk::<4>()?;
        let sizes = usize::try_from(u32::from_le_bytes(*count)).ok()?.checked_mul(8)?;
        let (sizes, data) = rest.split_at_checked(sizes)?;
        let whole = sizes
            .as_chunks::<4>()
            .0
            .iter()
            .try_fold(0usize, |sum, size| sum.checked_add(u32::from_le_bytes(*size) as usize)?.checked_add(1))?;
        (whole == data.len()).then_some(Self { sizes, data })
    }

    /// How many pairs are left.
    pub fn len(&self) -> usize {
        self.sizes.len() / 8
    }

    /// Whether none is left.
    pub fn is_empty(&self) -> bool {
        self.sizes.is_empty()
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let (name, sizes) = self.sizes.split_first_chunk::<4>()?;
        let (value, sizes) = sizes.split_first_chunk::<4>()?;
        let (name, data) = self.data.split_at_checked(u32::from_le_bytes(*name) as usize)?;
        let (_, data) = data.split_first()?;
        let (value, data) = data.split_at_checked(u32::from_le_bytes(*value) as usize)?;
        let (_, data) = data.split_first()?;
        (self.sizes, self.data) = (sizes, data);
        Some((name, value))
    }
}

/// A header map as Envoy takes it.
pub fn write<'a>(fields: impl Iterator<Item = Field<'a>> + Clone) -> Vec<u8> {
    let mut count = 0u32;
    let mut bytes = vec![0; 4];
    for (name, value) in fields.clone() {
        count = count.saturating_add(1);
        bytes.extend_from_slice(&size(name));
        bytes.extend_from_slice(&size(value));
    }
    for part in fields.flat_map(|(name, value)| [name, value]) {
        bytes.extend_from_slice(part);
        bytes.push(0);
    }
    patch(&mut bytes, 0, count);
    bytes
}

/// A response's header map whose last two fields, age and cache-status, are written anew as time goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    bytes: Vec<u8>,
    /// Where the lengths of the two begin.
    sizes: usize,
    /// Where the two begin.
    tail: usize,
}

impl Block {
    /// A map of these fields and the two.
    pub fn new<'a>(fields: impl Iterator<Item = Field<'a>> + Clone) -> Self {
        let last: [Field<'_>; 2] = [(b"age", b""), (b"cache-status", b"")];
        let bytes = write(fields.chain(last));
        let tail = bytes.len().saturating_sub(last.iter().map(|(name, _)| name.len().saturating_add(2)).sum());
        let count = Pairs::of(&bytes).map_or(0, |pairs| pairs.len());
        let sizes = count.saturating_sub(last.len()).saturating_mul(8).saturating_add(4);
        Self { bytes, sizes, tail }
    }

    /// Writes the two: the age in seconds, and what the cache did.
    pub fn end(&mut self, age: u64, cache_status: &str) {
        self.bytes.truncate(self.tail);
        let mut digits = [0; 20];
        let age = decimal(age, &mut digits);
        for part in [b"age", age, b"cache-status", cache_status.as_bytes()] {
            self.bytes.extend_from_slice(part);
            self.bytes.push(0);
        }
        let second = self.sizes.saturating_add(8);
        for (at, value) in [(self.sizes, age), (second, cache_status.as_bytes())] {
            patch(&mut self.bytes, at.saturating_add(4), value.len() as u32);
        }
    }

    /// The whole map.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The whole map, for good.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// All fields but the two.
    pub fn fields(&self) -> impl Iterator<Item = Field<'_>> + Clone {
        let pairs = Pairs::of(&self.bytes).unwrap_or(Pairs { sizes: &[], data: &[] });
        let but_two = pairs.len().saturating_sub(2);
        pairs.take(but_two)
    }

    /// Bytes that it takes in memory.
    pub fn size(&self) -> usize {
        self.bytes.capacity()
    }
}

/// A number's decimal digits.
pub fn decimal(mut n: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit = b'0'.saturating_add((n % 10) as u8);
        n /= 10;
        at = at.saturating_sub(1);
        if n == 0 {
            break;
        }
    }
    digits.get(at..).unwrap_or_default()
}

fn size(part: &[u8]) -> [u8; 4] {
    (part.len() as u32).to_le_bytes()
}

fn patch(bytes: &mut [u8], at: usize, n: u32) {
    if let Some(place) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<4>()) {
        *place = n.to_le_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: [Field<'static>; 3] = [(b":status", b"200"), (b"x", b""), (b"y", b"\xff\x00")];

    #[test]
    fn a_map_is_read_as_it_was_written() {
        let map = write(FIELDS.into_iter());
        assert_eq!(Pairs::of(&map).unwrap().collect::<Vec<_>>(), FIELDS);
        assert_eq!(map.get(..4), Some(&[3, 0, 0, 0][..]));
        assert_eq!(Pairs::of(&[]).unwrap().count(), 0);
    }

    #[test]
    fn bytes_that_are_no_map_are_refused() {
        let map = write(FIELDS.into_iter());
        for bad in [
            &map[..map.len() - 1],
            &[1, 0, 0],
            &[255, 255, 255, 255, 0],
            &[1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255],
        ] {
            assert!(Pairs::of(bad).is_none());
        }
    }

    #[test]
    fn a_block_ends_with_what_was_said_last() {
        let mut block = Block::new(FIELDS.into_iter());
        for (age, status) in [(0, "a"), (12345, "meshcache; hit"), (7, "")] {
            block.end(age, status);
            let all: Vec<_> = Pairs::of(block.as_bytes()).unwrap().collect();
            assert_eq!(all.len(), 5);
            assert_eq!(all[3], (&b"age"[..], age.to_string().as_bytes()));
            assert_eq!(all[4], (&b"cache-status"[..], status.as_bytes()));
            assert_eq!(block.fields().collect::<Vec<_>>(), FIELDS);
        }
        assert_eq!(decimal(u64::MAX, &mut [0; 20]), u64::MAX.to_string().as_bytes());
    }
}
