//! Text for people: escaping, tables, units. Pure.

use std::fmt::Write;

/// Escapes what a terminal would act on or show otherwise than it stands: control characters, and those that change the
/// direction of text.
pub fn escaped(text: &str) -> String {
    let mut made = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmful(c) {
            let _ = write!(made, "\\u{{{:x}}}", u32::from(c));
        } else {
            made.push(c);
        }
    }
    made
}

/// Escapes the same characters in JSON that has been written, but for the ends of lines.
pub(crate) fn escaped_json(json: &str) -> String {
    let mut made = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && is_harmful(c) {
            let _ = write!(made, "\\u{:04x}", u32::from(c));
        } else {
            made.push(c);
        }
    }
    made
}

/// All of them are in the plane that four digits can name.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Where a column's text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Writes a table: a line of headings, and rows of cells. Cells are escaped here.
pub fn table(columns: &[(&str, Align)], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = columns.iter().map(|(name, _)| name.chars().count()).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| escaped(cell)).collect()).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut made = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for ((cell, width), (_, align)) in cells.zip(&widths).zip(columns) {
            let _ = match align {
                Align::Left => write!(text, "{cell:<width$}  "),
                Align::Right => write!(text, "{cell:>width$}  "),
            };
        }
        made.push_str(text.trim_end());
        made.push('\n');
    };
    line(&mut columns.iter().map(|(name, _)| *name));
    rows.iter().for_each(|row| line(&mut row.iter().map(String::as_str)));
    made
}

/// Writes a number with commas: 6,543.
pub fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut made = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            made.push(',');
        }
        made.push(digit);
    }
    made
}

/// Writes bytes: 512 B, 3.4 KiB.
pub fn bytes(n: u64) -> String {
    let mut size = n as f64;
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if size < 1024.0 {
            break;
        }
        (size, unit) = (size / 1024.0, larger);
    }
    if unit == "B" { format!("{n} B") } else { format!("{size:.1} {unit}") }
}

/// Writes seconds in one or two units: 42s, 3m20s, 5h10m, 2d3h.
pub fn seconds(n: u64) -> String {
    let two = |large: u64, name: &str, small: u64, of: &str| {
        if small == 0 { format!("{large}{name}") } else { format!("{large}{name}{small}{of}") }
    };
    match n {
        0..60 => format!("{n}s"),
        60..3600 => two(n / 60, "m", n % 60, "s"),
        3600..86_400 => two(n / 3600, "h", n % 3600 / 60, "m"),
        _ => two(n / 86_400, "d", n % 86_400 / 3600, "h"),
    }
}

/// Writes milliseconds before now.
pub fn ago(milliseconds: u64) -> String {
    format!("{} ago", seconds(milliseconds / 1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_acts_on_gets_through() {
        assert_eq!(escaped("a\u{1b}[2Jb\r\n\u{9b}é\u{202e}"), "a\\u{1b}[2Jb\\u{d}\\u{a}\\u{9b}é\\u{202e}");
        let json = serde_json::to_string(&["\u{9b}\u{202e}\u{7f}\n"]).unwrap();
        let made = escaped_json(&json);
        assert!(made.is_ascii(), "{made}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&made).unwrap(), ["\u{9b}\u{202e}\u{7f}\n"]);
    }

    #[test]
    fn a_table_has_words_left_and_numbers_right() {
        let made = table(
            &[("NAME", Align::Left), ("N", Align::Right)],
            &[vec!["a".into(), "1,000".into()], vec!["longer".into(), "2".into()]],
        );
        assert_eq!(made, "NAME        N\na       1,000\nlonger      2\n");
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!([number(0), number(999), number(1000), number(1_234_567)], ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([bytes(0), bytes(1023), bytes(1536), bytes(5 << 30)], ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]);
        assert_eq!([seconds(59), seconds(60), seconds(200), seconds(90_000)], ["59s", "1m", "3m20s", "1d1h"]);
        assert_eq!(ago(1999), "1s ago");
    }
}
