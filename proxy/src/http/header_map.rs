//! Header maps in the format of Proxy-Wasm: a count, all lengths, then all names and values.

use meshcache_protocol::Field;

/// Iterates over the fields of a header map in place.
#[derive(Clone, Debug, Default)]
pub struct HeaderMap<'a> {
    sizes: &'a [u8],
    data: &'a [u8],
}

impl<'a> HeaderMap<'a> {
    /// Reads a map. Returns `None` for bytes that are no map.
    pub fn parse(map: &'a [u8]) -> Option<Self> {
        if map.is_empty() {
            return Some(Self::default());
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

    /// Returns the number of fields that are left.
    pub fn len(&self) -> usize {
        self.sizes.len() / 8
    }

    /// Returns whether no field is left.
    pub fn is_empty(&self) -> bool {
        self.sizes.is_empty()
    }
}

impl<'a> Iterator for HeaderMap<'a> {
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

/// Writes a header map.
pub fn encode<'a>(fields: impl Iterator<Item = Field<'a>> + Clone) -> Vec<u8> {
    let (mut count, mut length) = (0_usize, 4_usize);
    for (name, value) in fields.clone() {
        count = count.saturating_add(1);
        length = length.saturating_add(encoded_field_len(name, value));
    }
    // One allocation of the exact size.
    let mut bytes = Vec::with_capacity(length);
    bytes.extend_from_slice(&(count as u32).to_le_bytes());
    bytes.resize(count.saturating_mul(8).saturating_add(4), 0);
    for (at, (name, value)) in (4_usize..).step_by(8).zip(fields) {
        for (at, part) in [(at, name), (at.saturating_add(4), value)] {
            patch(&mut bytes, at, part.len() as u32);
            bytes.extend_from_slice(part);
            bytes.push(0);
        }
    }
    bytes
}

/// Returns the length of the map that [`encode`] writes.
pub fn encoded_len<'a>(fields: impl Iterator<Item = Field<'a>>) -> usize {
    fields.fold(4, |sum, (name, value)| sum.saturating_add(encoded_field_len(name, value)))
}

/// The bytes of a field: two lengths, and a zero byte after name and value.
fn encoded_field_len(name: &[u8], value: &[u8]) -> usize {
    name.len().saturating_add(value.len()).saturating_add(10)
}

/// Overwrites the number at this offset.
pub(super) fn patch(bytes: &mut [u8], at: usize, n: u32) {
    if let Some(number) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<4>()) {
        *number = n.to_le_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: [Field<'static>; 3] = [(b":status", b"200"), (b"x", b""), (b"y", b"\xff\x00")];

    #[test]
    fn a_map_is_read_as_it_was_written() {
        let map = encode(FIELDS.into_iter());
        assert_eq!(HeaderMap::parse(&map).unwrap().collect::<Vec<_>>(), FIELDS);
        assert_eq!(map.get(..4), Some(&[3, 0, 0, 0][..]));
        assert_eq!(HeaderMap::parse(&[]).unwrap().count(), 0);
    }

    #[test]
    fn bytes_that_are_no_map_are_refused() {
        let map = encode(FIELDS.into_iter());
        for bad in [
            &map[..map.len() - 1],
            &[1, 0, 0],
            &[255, 255, 255, 255, 0],
            &[1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255],
        ] {
            assert!(HeaderMap::parse(bad).is_none());
        }
    }
}
