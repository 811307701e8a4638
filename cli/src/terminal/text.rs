//! What others wrote, cut to what a screen can use; and text in columns.

use crate::text::escaped;
use unicode_width::UnicodeWidthChar;

/// The longest text that is kept of one field, characters.
const LONGEST: usize = 1000;

/// Returns a text that moves no cursor ([`escaped`]), and is not longer than a screen can use.
pub(crate) fn shown(text: &str) -> String {
    shown_within(text, LONGEST)
}

/// The same with another limit, characters.
pub(crate) fn shown_within(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        None => escaped(text),
        Some((end, _)) => escaped(text.get(..end).unwrap_or_default()) + "…",
    }
}

/// The columns that a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

fn char_width(char: char) -> usize {
    char.width().unwrap_or(0)
}

/// Returns the beginning of a text that fits, with `…` where something is missing.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut taken = 0;
    let fits = |char: &char| {
        taken += char_width(*char);
        taken < columns
    };
    let mut cut: String = text.chars().take_while(fits).collect();
    if columns > 0 {
        cut.push('…');
    }
    cut
}

/// Returns a text of exactly so many columns, at their left.
pub(crate) fn left(text: &str, columns: usize) -> String {
    let mut text = cut(text, columns);
    text.extend(std::iter::repeat_n(' ', columns.saturating_sub(width(&text))));
    text
}

/// Returns a text of at least so many columns, at their right. A figure is never cut.
pub(crate) fn right(text: &str, columns: usize) -> String {
    let mut right = " ".repeat(columns.saturating_sub(width(text)));
    right.push_str(text);
    right
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_a_megabyte_is_not_kept() {
        assert_eq!(shown(&"a".repeat(1 << 20)).chars().count(), LONGEST + 1);
    }

    #[test]
    fn wide_characters_take_two_columns() {
        assert_eq!((width("日本"), width("e\u{301}")), (4, 1));
        assert_eq!((cut("日本語", 5), cut("日本語", 4)), ("日本…".to_owned(), "日…".to_owned()));
        assert_eq!((left("日", 3), right("日", 3)), ("日 ".to_owned(), " 日".to_owned()));
    }

    #[test]
    fn a_text_that_does_not_fit_says_so() {
        assert_eq!((cut("abcdef", 6), cut("abcdef", 5)), ("abcdef".to_owned(), "abcd…".to_owned()));
        assert_eq!((cut("abc", 1), cut("abc", 0)), ("…".to_owned(), String::new()));
    }
}
