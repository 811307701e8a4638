//! `top` as lines.

use crate::{
    terminal::{
        figures,
        paint::{BAD, FAINT, GOOD, HEAD, NAME, PLAIN, STRONG, WARN, piece},
        text::{cut, left, right, width},
    },
    top::state::{Column, State, VIEWS},
};
use meshcache_admin::{TopBy, TopRow};
use ratatui_core::{
    style::{Modifier, Style},
    text::Line,
};

/// From so many columns on, a key's group has a column.
const WIDE: usize = 100;
const GROUP: usize = 20;

/// How a view is called.
pub(super) fn word(by: TopBy) -> &'static str {
    match by {
        TopBy::Keys => "keys",
        TopBy::Groups => "groups",
        TopBy::Reasons => "reasons",
        TopBy::Origins => "origins",
    }
}

/// Draws the whole screen.
pub(super) fn screen(state: &State, columns: usize, height: usize) -> Vec<Line<'static>> {
    let mut lines = head(state, columns);
    let foot = foot(state, columns);
    let room = height.saturating_sub(lines.len() + 1);
    let body = if state.has_help { help() } else { table(state, columns, state.above, room, true) };
    lines.extend(body.into_iter().take(room));
    lines.resize(height.saturating_sub(1), Line::default());
    lines.push(foot);
    lines
}

/// Draws one table, for a pipe.
pub(super) fn plain(state: &State) -> Vec<Line<'static>> {
    let mut lines = summary(state, usize::MAX);
    lines.extend(table(state, WIDE, 0, usize::MAX, false));
    lines
}

fn head(state: &State, columns: usize) -> Vec<Line<'static>> {
    let mut title = vec![piece("meshcache top ", STRONG)];
    for (number, view) in VIEWS.iter().enumerate() {
        let style = if *view == state.by { HEAD } else { FAINT };
        title.extend([piece(" ", PLAIN), piece(format!(" {} {} ", number + 1, word(*view)), style)]);
    }
    if state.is_paused {
        title.push(piece("  paused", WARN));
    }
    let mut lines = vec![Line::from(title)];
    lines.extend(summary(state, columns));
    lines.push(Line::default());
    lines
}

/// The one true number, the rates, and who gave no answer.
fn summary(state: &State, columns: usize) -> Vec<Line<'static>> {
    let line = |text: String, style| Line::from(piece(cut(&text, columns), style));
    let mut lines = Vec::new();
    if let Some(saved) = state.saved {
        lines.push(line(saved.to_string(), STRONG));
    }
    if let Some((rate, saved)) = state.rates {
        lines.push(line(format!("{} requests/s, {} of them saved", figures::rate(rate), figures::share(saved)), PLAIN));
    }
    if let Some(problem) = &state.problem {
        lines.push(line(format!("no answer: {problem}"), BAD));
    }
    if let Some(top) = state.top.as_ref().filter(|top| !top.unreached.is_empty()) {
        lines.push(line(format!("without {}: no answer", top.unreached.join(", ")), BAD));
    }
    lines
}

fn table(state: &State, columns: usize, above: usize, room: usize, is_cut: bool) -> Vec<Line<'static>> {
    let has_groups = state.by == TopBy::Keys && columns >= WIDE;
    let what = match state.by {
        TopBy::Keys => "KEY",
        TopBy::Groups => "GROUP",
        TopBy::Reasons => "GROUP, REASON",
        TopBy::Origins => "ORIGIN",
    };
    let title = |column: Column, text: &str| match state.sort {
        Some((sorted, is_turned)) if sorted == column => format!("{text}{}", if is_turned { '▲' } else { '▼' }),
        _ => text.to_owned(),
    };
    let mut names = format!(
        " {} {} {} {}  ",
        right(&title(Column::Rate, "REQ/S"), 9),
        right(&title(Column::Hits, "HIT"), 7),
        right(&title(Column::Took, "MEAN"), 9),
        right(&title(Column::Bytes, "BYTES/S"), 10)
    );
    if has_groups {
        names.push_str(&left("GROUP", GROUP + 2));
    }
    names.push_str(&title(Column::Name, what));
    let names = if is_cut { left(&names, columns) } else { names };
    let mut lines = vec![Line::from(piece(names, HEAD))];
    let rows = state.rows();
    let faint = if state.problem.is_some() { FAINT } else { PLAIN };
    let shown = rows.iter().skip(above).take(room.saturating_sub(1));
    lines.extend(shown.map(|row| self::row(row, columns, has_groups, is_cut).style(faint)));
    if rows.is_empty() {
        lines.push(Line::from(piece(format!(" {}", nothing(state)), FAINT)));
    }
    lines
}

/// Why there is no row.
fn nothing(state: &State) -> String {
    match &state.top {
        None => "asking…".to_owned(),
        Some(top) if top.rows.is_empty() && top.seconds < 1.0 => "counting has just begun".to_owned(),
        Some(top) if top.rows.is_empty() => format!("no requests in the last {:.0} s", top.seconds),
        Some(top) => format!("none of {} has `{}`", figures::of(top.rows.len() as u64, "row", "rows"), state.filter),
    }
}

fn row(row: &TopRow, columns: usize, has_groups: bool, is_cut: bool) -> Line<'static> {
    // What the sketch may have counted too much is no small part of it.
    let about = if row.rate_error > row.rate * 0.1 { "≤" } else { "" };
    let mut pieces = vec![
        piece(if row.told { "~" } else { " " }, WARN),
        piece(right(&format!("{about}{}", figures::rate(row.rate)), 9), PLAIN),
        piece(format!(" {}", right(&figures::share(row.hits), 7)), hits(row.hits)),
        piece(format!(" {}", right(&figures::millis(row.took), 9)), PLAIN),
        piece(format!(" {}  ", right(&figures::bytes(row.bytes), 10)), PLAIN),
    ];
    if has_groups {
        pieces.push(piece(format!("{}  ", left(row.group.as_deref().unwrap_or("-"), GROUP)), NAME));
    }
    let taken: usize = pieces.iter().map(|piece| width(&piece.content)).sum();
    let name = if is_cut { cut(&row.name, columns.saturating_sub(taken)) } else { row.name.clone() };
    pieces.push(piece(name, Style::new().add_modifier(Modifier::BOLD)));
    Line::from(pieces)
}

fn hits(share: f64) -> Style {
    match share {
        _ if share >= 0.9 => GOOD,
        _ if share >= 0.5 => WARN,
        _ => BAD,
    }
}

fn foot(state: &State, columns: usize) -> Line<'static> {
    if state.is_typing {
        return Line::from(vec![
            piece("filter: ", STRONG),
            piece(cut(&state.filter, columns.saturating_sub(9)), PLAIN),
            piece("▏", PLAIN),
        ]);
    }
    let has_told = state.top.iter().flat_map(|top| &top.rows).any(|row| row.told);
    let mut text = "q quit  tab view  / filter  space pause  ? help".to_owned();
    if has_told {
        text.push_str("   ~ told by proxies");
    }
    if !state.filter.is_empty() {
        text = format!("filter `{}`, esc: all   {text}", cut(&state.filter, 20));
    }
    Line::from(piece(cut(&text, columns), FAINT))
}

fn help() -> Vec<Line<'static>> {
    const HELP: [(&str, &str); 13] = [
        ("tab, 1-4", "keys, groups, reasons, origins"),
        ("r h t b n", "sort by rate, hits, time, bytes, name; again: turn around"),
        ("/", "filter by name or group; enter keeps it, esc drops it"),
        ("esc", "no filter, sorted as the server does"),
        ("space", "pause, and go on"),
        ("arrows", "scroll; also j k, page up, page down, home, end"),
        ("q", "quit; also ctrl-c"),
        ("", ""),
        ("REQ/S", "requests a second, over the last 10 s; ≤: may be much less"),
        ("HIT", "the share of them that the cache answered"),
        ("MEAN", "the mean time to answer"),
        ("~", "told by proxies: what proxies say is anybody's word"),
        ("", "Any key closes this."),
    ];
    HELP.iter()
        .map(|(key, what)| Line::from(vec![piece(format!("  {}", left(key, 12)), NAME), piece(*what, PLAIN)]))
        .collect()
}
