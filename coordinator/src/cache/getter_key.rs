//! The keys of a getter's group as paths: each its own, and none that two readers may understand differently.

use meshcache_protocol::{Key, key::frame};

/// Makes the first parts of the keys of a getter's group. Its requests have its name as their host, too.
pub(crate) fn prefix(group: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    [group, "http", group].iter().for_each(|part| frame(&mut bytes, &[part.as_bytes()]));
    bytes
}

/// Makes the key of a path in a getter's group.
pub(crate) fn of_path(group: &str, path: &str) -> Key {
    let mut bytes = prefix(group);
    frame(&mut bytes, &[path.as_bytes()]);
    // No query.
    frame(&mut bytes, &[]);
    Key::from_bytes(bytes)
}

/// The longest key, bytes. As a path it is three times that at most, which every port takes.
pub(crate) const MAX_KEY: usize = 8 * 1024;

/// Stands before the two digits of a byte that is not written as it is. A percent sign would be decoded on the way, and
/// `%2f` means that a path is not cached.
const ESCAPE: u8 = b'~';

/// Whether a byte is written as it is.
const PLAIN: [bool; 256] = {
    let (mut plain, mut byte) = ([false; 256], 0);
    while byte < 128 {
        let b = byte as u8;
        plain[byte] = b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        byte += 1;
    }
    plain
};

/// Appends a key's path.
pub(crate) fn write(key: &str, path: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let is_plain = |byte: u8| PLAIN.get(usize::from(byte)).is_some_and(|plain| *plain);
    path.push(b'/');
    // A dot at the beginning might make a dot segment.
    if !key.starts_with('.') && key.bytes().all(is_plain) {
        path.extend_from_slice(key.as_bytes());
        return;
    }
    for (at, byte) in key.bytes().enumerate() {
        if is_plain(byte) && (byte != b'.' || at > 0) {
            path.push(byte);
        } else {
            path.push(ESCAPE);
            path.extend([byte >> 4, byte & 15].map(|digit| DIGITS.get(usize::from(digit)).copied().unwrap_or(b'0')));
        }
    }
}

/// Reads the key of a path. `None`: [`write`] made no such path.
pub(crate) fn read(path: &str) -> Option<String> {
    let mut bytes = path.strip_prefix('/')?.bytes();
    let mut key = Vec::with_capacity(path.len());
    while let Some(byte) = bytes.next() {
        key.push(if byte == ESCAPE { (digit(bytes.next()?)? << 4) | digit(bytes.next()?)? } else { byte });
    }
    String::from_utf8(key).ok()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_a_path_of_its_own_that_is_read_back() {
        for (key, expected) in [
            ("", "/"),
            ("cat.jpg", "/cat.jpg"),
            (".", "/~2E"),
            ("..", "/~2E."),
            ("a/../b", "/a~2F..~2Fb"),
            ("~2F", "/~7E2F"),
            ("%2f?q=1#f", "/~252f~3Fq~3D1~23f"),
            ("ü \0\n", "/~C3~BC~20~00~0A"),
            ("a\\b;c", "/a~5Cb~3Bc"),
        ] {
            let mut path = Vec::new();
            write(key, &mut path);
            let path = String::from_utf8(path).unwrap();
            assert_eq!((path.as_str(), read(&path).as_deref()), (expected, Some(key)));
        }
        for bad in ["", "x", "/~", "/~2", "/~zz", "/~FF"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
