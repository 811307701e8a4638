//! `stat` as lines.

use crate::{
    stat::{
        state::{Figures, One, State},
        tally::{OUTCOMES, Rates},
    },
    terminal::{
        figures,
        paint::{BAD, FAINT, GOOD, HEAD, NAME, PLAIN, STRONG, WARN, piece},
        text::{cut, left, right},
    },
    text,
};
use meshcache_admin::Latency;
use ratatui_core::{
    style::Style,
    text::{Line, Span},
};

/// Counters that are no outcome.
const OTHERS: [&str; 7] = ["requests", "saved", "loads", "load failures", "herds", "herd loads", "evictions"];
/// The most rows of outcomes.
const MOST_OUTCOMES: usize = 10;

/// Draws the whole screen.
pub(super) fn screen(state: &State, columns: usize, height: usize) -> Vec<Line<'static>> {
    let mut lines = head(state, columns);
    if let Some(figures) = &state.figures {
        let faint = if state.problem.is_some() { FAINT } else { PLAIN };
        lines.extend(body(figures, state.above, columns).into_iter().map(|line| line.style(faint)));
    }
    lines.truncate(height.saturating_sub(1));
    lines.resize(height.saturating_sub(1), Line::default());
    lines.push(Line::from(piece(cut("q quit  space pause  arrows scroll coordinators", columns), FAINT)));
    lines
}

/// Draws one block, for a pipe.
pub(super) fn plain(figures: &Figures) -> Vec<Line<'static>> {
    let mut lines = vec![Line::from(piece(figures.sentence.clone(), STRONG))];
    lines.extend(body(figures, 0, usize::MAX));
    lines
}

fn head(state: &State, columns: usize) -> Vec<Line<'static>> {
    let mut title = vec![piece("meshcache stat", STRONG)];
    if let Some(figures) = &state.figures {
        let coordinators = figures::of(figures.coordinators.len() as u64, "coordinator", "coordinators");
        let proxies = figures::of(figures.proxies, "proxy", "proxies");
        title.push(piece(format!("  {coordinators}, {proxies}"), FAINT));
        title.extend(figures.group.as_ref().map(|group| piece(format!("  group {group}"), NAME)));
    }
    if state.is_paused {
        title.push(piece("  paused", WARN));
    }
    let mut lines = vec![Line::from(title)];
    if let Some(figures) = &state.figures {
        lines.push(Line::from(piece(cut(&figures.sentence, columns), STRONG)));
    }
    match &state.problem {
        Some(problem) => lines.push(Line::from(piece(cut(&format!("no answer: {problem}"), columns), BAD))),
        None if state.figures.is_none() => lines.push(Line::from(piece("asking…", FAINT))),
        None => {}
    }
    lines
}

fn body(figures: &Figures, above: usize, columns: usize) -> Vec<Line<'static>> {
    let wide = columns.min(80);
    let mut lines =
        vec![headed(&format!("{}{}", left("PER SECOND", 20), titles(["NOW", "10 S", "1 MIN", "TOTAL"])), wide)];
    let mut row = |label: &str, counter: &str, style: Style| lines.push(counted(figures, label, counter, style));
    row("requests", "requests", STRONG);
    let is_outcome = |name: &&str| !OTHERS.contains(name) && !OUTCOMES.contains(name);
    let more = figures.counts.keys().map(String::as_str).filter(is_outcome).take(MOST_OUTCOMES - OUTCOMES.len());
    for outcome in OUTCOMES.into_iter().chain(more) {
        row(&format!("  {outcome}"), outcome, PLAIN);
    }
    row("loads", "loads", PLAIN);
    let failures = if has(figures, "load failures") { BAD } else { PLAIN };
    row("  failed", "load failures", failures);
    row("herds", "herds", PLAIN);
    row("evictions", "evictions", PLAIN);
    lines.insert(2, saved(figures));
    lines.push(Line::default());
    lines.push(Line::from(vec![
        piece(left("hit", 6), FAINT),
        piece(left(&latency(figures.hits), 34), PLAIN),
        piece(left("miss", 6), FAINT),
        piece(latency(figures.misses), PLAIN),
    ]));
    lines.push(store(figures));
    lines.push(Line::default());
    lines.push(headed(&coordinator_cells(["COORDINATOR", "VERSION", "UP", "LEASE", "GROUPS", "STORE"]), wide));
    let digest = agreed(figures);
    for one in figures.coordinators.iter().skip(above) {
        lines.extend(coordinator(one, digest, columns));
    }
    lines
}

fn headed(text: &str, columns: usize) -> Line<'static> {
    Line::from(piece(left(text, columns), HEAD))
}

fn titles(titles: [&str; 4]) -> String {
    titles.iter().map(|title| right(title, 12)).collect()
}

fn has(figures: &Figures, counter: &str) -> bool {
    figures.counts.get(counter).is_some_and(|count| *count > 0.0)
}

fn counted(figures: &Figures, label: &str, counter: &str, style: Style) -> Line<'static> {
    let rates = figures.rates.get(counter).copied().unwrap_or_default();
    let count = figures.counts.get(counter).copied().unwrap_or_default();
    let shown = |rate: Option<f64>| rate.map_or_else(|| "-".to_owned(), figures::rate);
    let cells = [shown(rates.now), shown(rates.ten_seconds), shown(rates.minute), text::number(count.max(0.0) as u64)];
    let cells: String = cells.iter().map(|cell| right(cell, 12)).collect();
    Line::from(piece(format!("{}{cells}", left(label, 20)), style))
}

/// The share of requests that the service did not see.
fn saved(figures: &Figures) -> Line<'static> {
    let of = |counter: &str| figures.rates.get(counter).copied().unwrap_or_default();
    let (requests, saved) = (of("requests"), of("saved"));
    let share = |part: fn(&Rates) -> Option<f64>| match (part(&requests), part(&saved)) {
        (Some(requests), Some(saved)) if requests > 0.0 => figures::share((saved / requests).clamp(0.0, 1.0)),
        _ => "-".to_owned(),
    };
    let total = figures.saved.saved as f64 / figures.saved.requests as f64;
    let cells = [share(|rates| rates.now), share(|rates| rates.ten_seconds), share(|rates| rates.minute)];
    let cells: String =
        cells.into_iter().chain([figures::share(total.clamp(0.0, 1.0))]).map(|cell| right(&cell, 12)).collect();
    Line::from(piece(format!("{}{cells}", left("  saved", 20)), GOOD))
}

fn latency(latency: Latency) -> String {
    match latency.count {
        0 => "none yet".to_owned(),
        _ => format!("p50 ≤ {}  p99 ≤ {}", figures::millis(latency.p50), figures::millis(latency.p99)),
    }
}

fn store(figures: &Figures) -> Line<'static> {
    const COLUMNS: usize = 12;
    let share = if figures.store_bytes > 0 { figures.bytes as f64 / figures.store_bytes as f64 } else { 0.0 };
    let full = ((share * COLUMNS as f64).round() as usize).min(COLUMNS);
    let mut text = format!(
        " {} of {}, {} stored",
        text::bytes(figures.bytes),
        text::bytes(figures.store_bytes),
        text::number(figures.entries)
    );
    for (label, shown, is_there) in [
        ("memory", text::bytes(figures.memory_bytes), figures.memory_bytes > 0),
        ("loading", text::number(figures.loading), figures.loading > 0),
        ("waiting", text::number(figures.waiting), figures.waiting > 0),
    ] {
        if is_there {
            text.push_str(&format!(", {label} {shown}"));
        }
    }
    Line::from(vec![
        piece(left("store", 6), FAINT),
        piece("█".repeat(full), PLAIN),
        piece("░".repeat(COLUMNS - full), FAINT),
        piece(text, PLAIN),
    ])
}

/// The digest that most coordinators have.
fn agreed(figures: &Figures) -> &str {
    let digests = || figures.coordinators.iter().filter(|one| one.unreached.is_none()).map(|one| one.digest.as_str());
    digests().max_by_key(|digest| digests().filter(|other| other == digest).count()).unwrap_or_default()
}

fn coordinator_cells([name, version, up, lease, groups, store]: [&str; 6]) -> String {
    let (name, version, up) = (left(name, 22), left(version, 9), left(up, 8));
    format!("{name} {version} {up} {} {} {store}", left(lease, 7), left(groups, 9))
}

fn coordinator(one: &One, agreed: &str, columns: usize) -> Vec<Line<'static>> {
    let line = |label: &str, why: &str| Line::from(piece(cut(&format!("  {label}: {why}"), columns), BAD));
    if let Some(why) = &one.unreached {
        let why = format!(" no answer: {why}");
        return vec![Line::from(vec![
            piece(left(&one.name, 22), NAME),
            piece(cut(&why, columns.saturating_sub(22)), BAD),
        ])];
    }
    let digest = one.digest.chars().take(8).collect::<String>();
    let lease = if one.has_lease { piece("yes", GOOD) } else { piece("none", BAD) };
    let padded = |span: Span<'static>, columns| piece(format!(" {}", left(&span.content, columns)), span.style);
    let mut lines = vec![Line::from(vec![
        piece(left(&one.name, 22), NAME),
        padded(piece(one.version.clone(), PLAIN), 9),
        padded(piece(text::seconds(one.up_seconds), PLAIN), 8),
        padded(lease, 7),
        padded(piece(digest, if one.digest == agreed { PLAIN } else { BAD }), 9),
        piece(format!(" {} of {}", text::bytes(one.bytes), text::bytes(one.store_bytes)), PLAIN),
    ])];
    lines.extend(one.not_ready.iter().map(|why| line("not ready", why)));
    lines.extend(one.refused.iter().map(|why| line("newer groups refused", why)));
    lines
}
