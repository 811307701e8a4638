//! The normal form of paths and queries (RFC 3986 section 6.2.2). Rules match it, keys contain it and loads send it.

use std::borrow::Cow;

/// Decodes the two digits that `rest`, the text after a `%`, begins with.
fn octet(rest: &[u8]) -> Option<u8> {
    let digit = |b: &u8| char::from(*b).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    match rest {
        [high, low, ..] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    }
}

/// Whether a character means the same with and without an encoding (section 2.3).
const fn is_unreserved(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~')
}

/// Whether each `%` has its two digits. Other texts are not normalised: `%%36%31` would become `%61`, and then
/// something else.
fn is_encoded(text: &str) -> bool {
    text.bytes()
        .enumerate()
        .all(|(at, b)| b != b'%' || octet(text.as_bytes().get(at.saturating_add(1)..).unwrap_or_default()).is_some())
}

/// Whether a text is not in its normal form.
pub(crate) fn differs(text: &str) -> bool {
    let is_other =
        |rest: &[u8]| octet(rest).is_some_and(is_unreserved) || rest.iter().take(2).any(u8::is_ascii_lowercase);
    let bytes = text.as_bytes();
    // Nearly every text has none.
    text.contains('%')
        && is_encoded(text)
        && bytes
            .iter()
            .enumerate()
            .any(|(at, b)| *b == b'%' && is_other(bytes.get(at.saturating_add(1)..).unwrap_or_default()))
}

/// Returns the normal form of a path or query: unreserved characters decoded, the digits of other encodings in upper
/// case. Decodes once, and allocates only where something changes.
pub fn normalize(text: &str) -> Cow<'_, str> {
    if !differs(text) {
        return Cow::Borrowed(text);
    }
    let mut made = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        made.push_str(before);
        let (digits, next) = after.split_at_checked(2).unwrap_or((after, ""));
        match octet(digits.as_bytes()) {
            Some(b) if is_unreserved(b) => made.push(char::from(b)),
            _ => {
                made.push('%');
                made.extend(digits.chars().map(|c| c.to_ascii_uppercase()));
            }
        }
        rest = next;
    }
    made.push_str(rest);
    Cow::Owned(made)
}

/// Whether every server reads a path the same way. Not so with dot segments, `//`, `\`, `;` (a parameter for some), any
/// of these encoded, an encoded `/`, `%` (decoded twice) or NUL, and a `%` without digits.
pub fn is_unambiguous(path: &str) -> bool {
    let mut rest = path.as_bytes();
    // The number of dots of the segment, while it has nothing else.
    let mut dots = None;
    loop {
        match rest {
            [] => return !matches!(dots, Some(1 | 2)),
            [b'/', after @ ..] => {
                if matches!(dots, Some(1 | 2)) || after.starts_with(b"/") {
                    return false;
                }
                (dots, rest) = (Some(0_usize), after);
            }
            [b'\\' | b';', ..] => return false,
            [b'.', after @ ..] => (dots, rest) = (dots.map(|dots| dots.saturating_add(1)), after),
            [b'%', after @ ..] => {
                dots = match octet(after) {
                    None | Some(b'/' | b'\\' | b';' | b'%' | 0) => return false,
                    Some(b'.') => dots.map(|dots| dots.saturating_add(1)),
                    Some(_) => None,
                };
                rest = after.get(2..).unwrap_or_default();
            }
            [_, after @ ..] => (dots, rest) = (None, after),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_the_same_has_one_form() {
        for (one, other) in [
            ("/%c3%bc", "/%C3%BC"),
            ("/%7Euser", "/~user"),
            ("/%7euser", "/~user"),
            ("/%70rod/x", "/prod/x"),
            ("/a%2ejson", "/a.json"),
            ("/%41%5a%61%7a%30%39%2D%2E%5F", "/AZaz09-._"),
            ("/a%20b", "/a%20b"),
            ("/a%3ab%2c", "/a%3Ab%2C"),
            ("q=%e2%82%ac&%62=1", "q=%E2%82%AC&b=1"),
        ] {
            assert_eq!(normalize(one), other);
            assert_eq!(normalize(&normalize(one)), other, "once is enough");
        }
    }

    #[test]
    fn what_has_its_form_already_is_not_copied() {
        for text in ["/", "/a/b", "/%C3%BC", "/a%20b", "q=a+b&c"] {
            assert!(matches!(normalize(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    #[test]
    fn what_is_no_encoding_is_left_as_it_is() {
        for text in ["q=100%", "q=%zz&%7e", "%%36%31", "%6", "%\u{e9}%7e"] {
            assert_eq!(normalize(text), text);
        }
    }
}
