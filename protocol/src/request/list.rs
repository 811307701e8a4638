//! Comma-separated lists in header fields (RFC 9110 section 5.6.1).

/// The members of a field line: trimmed, without empty ones. In a line with a quote that is never closed, quotes hide
/// no commas.
#[derive(Clone, Debug)]
pub(crate) struct Members<'a> {
    rest: Option<&'a [u8]>,
    escapes: bool,
    quotes: bool,
}

/// Splits a line whose quoted strings may contain `\"`.
pub(crate) fn members(line: &[u8]) -> Members<'_> {
    Members { rest: Some(line), escapes: true, quotes: closes(line, true) }
}

/// Splits a list of entity tags, where a backslash is an ordinary character (RFC 9110 section 8.8.3).
pub(crate) fn entity_tags(line: &[u8]) -> Members<'_> {
    Members { rest: Some(line), escapes: false, quotes: closes(line, false) }
}

/// Splits a line at all commas, also those in quotes.
pub(crate) fn pieces(line: &[u8]) -> Members<'_> {
    Members { rest: Some(line), escapes: true, quotes: false }
}

impl<'a> Iterator for Members<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let rest = self.rest?;
            let (member, after) = match self.comma(rest) {
                Some(at) => (rest.get(..at)?, rest.get(at.saturating_add(1)..)),
                None => (rest, None),
            };
            self.rest = after;
            let member = member.trim_ascii();
            if !member.is_empty() {
                return Some(member);
            }
        }
    }
}

impl Members<'_> {
    fn comma(&self, text: &[u8]) -> Option<usize> {
        let mut at: usize = 0;
        while let Some(b) = text.get(at) {
            match b {
                b',' => return Some(at),
                b'"' if self.quotes => at = closing(text, at, self.escapes).unwrap_or(at),
                _ => {}
            }
            at = at.saturating_add(1);
        }
        None
    }
}

/// Whether every quoted string of a line is closed.
fn closes(line: &[u8], escapes: bool) -> bool {
    let mut rest = line;
    while let Some(open) = rest.iter().position(|b| *b == b'"') {
        let Some(end) = closing(rest, open, escapes) else { return false };
        rest = rest.get(end.saturating_add(1)..).unwrap_or_default();
    }
    true
}

/// Returns the end of the quoted string that begins at `open`.
pub(crate) fn closing(text: &[u8], open: usize, escapes: bool) -> Option<usize> {
    let mut at = open.saturating_add(1);
    loop {
        match text.get(at)? {
            b'"' => return Some(at),
            b'\\' if escapes => at = at.saturating_add(2),
            _ => at = at.saturating_add(1),
        }
    }
}

/// Whether these bytes are a token (RFC 9110 section 5.6.2).
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|b| is_token_byte(*b))
}

/// Whether a byte may stand in a token.
pub(crate) fn is_token_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric()
        || matches!(
            b,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Vec<&str> {
        members(line.as_bytes()).map(|m| std::str::from_utf8(m).unwrap()).collect()
    }

    #[test]
    fn a_list_is_split_at_commas_outside_of_quotes() {
        assert_eq!(split("a, b=\"x, y\" ,c"), ["a", "b=\"x, y\"", "c"]);
        assert_eq!(split(r#"a="\",", b"#), [r#"a="\",""#, "b"]);
        assert_eq!(split(", ,a,,"), ["a"]);
        assert_eq!(split(""), [""; 0]);
    }

    #[test]
    fn a_quote_that_is_never_closed_hides_nothing() {
        assert_eq!(split(r#"a="b, no-store"#), [r#"a="b"#, "no-store"]);
        assert_eq!(split(r#"x="a, y", a="b, no-store"#), [r#"x="a"#, r#"y""#, r#"a="b"#, "no-store"]);
        assert_eq!(split(r#"a="b\", no-store"#), [r#"a="b\""#, "no-store"]);
    }

    #[test]
    fn a_backslash_is_part_of_an_entity_tag() {
        let tags: Vec<_> = entity_tags(br#""a\", "b,c""#).collect();
        assert_eq!(tags, [&br#""a\""#[..], br#""b,c""#]);
    }
}
