//! Colours, and lines as text: with colours for a terminal, without for everybody else.

use ratatui_core::{
    style::{Color, Modifier, Style},
    text::{Line, Span},
};

/// What is as it should be.
pub(crate) const GOOD: Style = Style::new().fg(Color::Green);
/// What is not.
pub(crate) const BAD: Style = Style::new().fg(Color::Red);
/// What to look at.
pub(crate) const WARN: Style = Style::new().fg(Color::Yellow);
/// What a place or a rule is called.
pub(crate) const NAME: Style = Style::new().fg(Color::Cyan);
/// What matters most.
pub(crate) const STRONG: Style = Style::new().add_modifier(Modifier::BOLD);
/// What matters least.
pub(crate) const FAINT: Style = Style::new().add_modifier(Modifier::DIM);
/// The head of a table.
pub(crate) const HEAD: Style = Style::new().add_modifier(Modifier::REVERSED);
/// No style.
pub(crate) const PLAIN: Style = Style::new();

/// A piece of a line.
pub(crate) fn piece(text: impl Into<String>, style: Style) -> Span<'static> {
    Span::styled(text.into(), style)
}

/// Returns lines as text, with no spaces at their ends.
pub(crate) fn text(lines: &[Line<'_>], has_colours: bool) -> String {
    let mut text = String::new();
    for line in lines {
        let content: String = line.spans.iter().map(|span| &*span.content).collect();
        let mut left = content.trim_end().len();
        for span in &line.spans {
            let content = span.content.get(..left.min(span.content.len())).unwrap_or_default();
            left -= content.len();
            match sequence(line.style.patch(span.style)).filter(|_| has_colours && !content.is_empty()) {
                Some(style) => text.extend([&style, content, "\x1b[0m"]),
                None => text.push_str(content),
            }
        }
        text.push('\n');
    }
    text
}

/// The terminal's sequence for a style; none: it is plain.
fn sequence(style: Style) -> Option<String> {
    let colour = style.fg.and_then(|colour| match colour {
        Color::Red => Some(31),
        Color::Green => Some(32),
        Color::Yellow => Some(33),
        Color::Cyan => Some(36),
        _ => None,
    });
    let modifiers = [(Modifier::BOLD, 1), (Modifier::DIM, 2), (Modifier::REVERSED, 7)];
    let set = modifiers.iter().filter(|(modifier, _)| style.add_modifier.contains(*modifier)).map(|(_, code)| *code);
    let codes: Vec<String> = set.chain(colour).map(|code: u8| code.to_string()).collect();
    (!codes.is_empty()).then(|| format!("\x1b[{}m", codes.join(";")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_alone_and_lines_end_without_spaces() {
        let line = Line::from(vec![piece("hit", GOOD.patch(STRONG)), piece("  12 ", PLAIN), piece("  ", FAINT)]);
        let lines = [line, Line::default()];
        assert_eq!(text(&lines, false), "hit  12\n\n");
        assert_eq!(text(&lines, true), "\x1b[1;32mhit\x1b[0m  12\n\n");
    }
}
