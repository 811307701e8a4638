//! Rust source as words: comments, strings and what is compiled for tests only are left out.

/// A word or a sign, and the line that it stands in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// The tokens of a file outside comments, strings and `#[cfg(test)]` items.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    without_tests(split(&blanked(source)))
}

/// `source` with blanks in the place of comments, strings and characters; lines stay where they are.
fn blanked(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let end = skipped(&chars, at);
        if end > at {
            out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        } else {
            out.push(chars[at]);
            at += 1;
        }
    }
    out
}

/// Where the comment, string or character that begins at `at` ends; `at` where none begins.
fn skipped(chars: &[char], at: usize) -> usize {
    let is = |at: usize, c: char| chars.get(at) == Some(&c);
    let until = |from: usize, found: &dyn Fn(usize) -> bool| (from..chars.len()).find(|at| found(*at));
    let in_word = at > 0 && is_word(chars[at - 1]);
    match chars[at] {
        '/' if is(at + 1, '/') => until(at, &|at| is(at, '\n')).unwrap_or(chars.len()),
        '/' if is(at + 1, '*') => {
            let (mut depth, mut at) = (1, at + 2);
            while depth > 0 && at < chars.len() {
                match (chars[at], chars.get(at + 1)) {
                    ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
                    ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
                    _ => at += 1,
                }
            }
            at.min(chars.len())
        }
        // r"..", r#".."#, and with b or c before.
        'r' if !in_word || matches!(chars[at - 1], 'b' | 'c') && (at < 2 || !is_word(chars[at - 2])) => {
            let quote = until(at + 1, &|at| !is(at, '#')).unwrap_or(chars.len());
            if !is(quote, '"') {
                return at;
            }
            let hashes = quote - at - 1;
            let closes = |end: usize| is(end, '"') && (1..=hashes).all(|n| is(end + n, '#'));
            until(quote + 1, &closes).map_or(chars.len(), |end| end + hashes + 1)
        }
        '"' => {
            let mut end = at + 1;
            while end < chars.len() && chars[end] != '"' {
                end += if chars[end] == '\\' { 2 } else { 1 };
            }
            (end + 1).min(chars.len())
        }
        // A character; a lifetime has no quote behind it.
        '\'' if is(at + 1, '\\') => until(at + 3, &|at| is(at, '\'')).map_or(chars.len(), |end| end + 1),
        '\'' if is(at + 2, '\'') => at + 3,
        _ => at,
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn split(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (line, text) in text.lines().enumerate() {
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let len = match first {
                c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
                ':' if rest.starts_with("::") => 2,
                c => c.len_utf8(),
            };
            tokens.push(Token { text: rest[..len].to_owned(), line: line + 1 });
            rest = rest[len..].trim_start();
        }
    }
    tokens
}

/// Leaves out each item that stands below `#[cfg(test)]` or a condition that needs it.
fn without_tests(tokens: Vec<Token>) -> Vec<Token> {
    let mut kept = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        match attribute(&tokens, at) {
            Some(end) if is_for_tests(&tokens[at..end]) => at = item_end(&tokens, end),
            Some(end) => {
                kept.extend_from_slice(&tokens[at..end]);
                at = end;
            }
            None => {
                kept.push(tokens[at].clone());
                at += 1;
            }
        }
    }
    kept
}

/// The end of the attribute `#[..]` that begins at `at`.
fn attribute(tokens: &[Token], at: usize) -> Option<usize> {
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|token| token.text == text);
    (is(at, "#") && is(at + 1, "[")).then(|| closed(tokens, at + 1))
}

fn is_for_tests(attribute: &[Token]) -> bool {
    let words: Vec<&str> = attribute.iter().map(|token| token.text.as_str()).collect();
    words.starts_with(&["#", "[", "cfg", "(", "test", ")"])
        || words.starts_with(&["#", "[", "cfg", "(", "all", "(", "test", ","])
}

/// The token behind the bracket that closes the one at `at`.
fn closed(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0;
    for (n, token) in tokens.iter().enumerate().skip(at) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return n + 1;
        }
    }
    tokens.len()
}

/// The token behind the item that begins at `at`: behind its `;`, or behind its braces.
fn item_end(tokens: &[Token], mut at: usize) -> usize {
    while let Some(end) = attribute(tokens, at) {
        at = end;
    }
    let first = tokens[at..].iter().find(|token| !matches!(token.text.as_str(), "pub" | "(" | "crate" | "super" | ")"));
    let ends_with_semicolon = first.is_some_and(|token| token.text == "use");
    while at < tokens.len() {
        match tokens[at].text.as_str() {
            ";" | "," => return at + 1,
            "{" if !ends_with_semicolon => return closed(tokens, at),
            "(" | "[" | "{" => at = closed(tokens, at),
            // The end of the braces around it: a field or a variant without a comma.
            "}" => return at,
            _ => at += 1,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> String {
        tokens(source).iter().map(|token| token.text.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_strings_and_characters_are_left_out() {
        let source = r##"a // b::c
            /* d /* e */ f */ g "h \" i" r#"j " k"# 'l' '\'' b"m" n::<'o>"##;
        assert_eq!(words(source), "a g b n :: < ' o >");
    }

    #[test]
    fn lines_are_counted_through_what_is_left_out() {
        let lines: Vec<usize> = tokens("a\n/* b\n */\n\"c\nd\" e\nf").iter().map(|token| token.line).collect();
        assert_eq!(lines, [1, 5, 6]);
    }

    #[test]
    fn what_is_for_tests_only_is_left_out() {
        assert_eq!(words("#[cfg(test)]\nmod tests { use a::b; }\nc"), "c");
        assert_eq!(words("#[cfg(test)]\n#[path = \"x\"]\npub(crate) mod tests;\nc"), "c");
        assert_eq!(words("#[cfg(test)] use a::{b, c}; d"), "d");
        assert_eq!(words("#[cfg(all(test, unix))] fn a(b: [u8; 2]) -> C { d } e"), "e");
        assert_eq!(words("#[cfg(not(test))] fn a() {}"), "# [ cfg ( not ( test ) ) ] fn a ( ) { }");
    }
}
