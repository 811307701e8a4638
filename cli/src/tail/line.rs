//! A request that has ended, as a line.

use crate::{
    failed::Failed,
    terminal::{
        figures,
        paint::{BAD, FAINT, GOOD, NAME, PLAIN, WARN, piece},
        text::{cut, left, right, shown, width},
    },
    text,
};
use meshcache_admin::EndedRequest;
use ratatui_core::{style::Style, text::Line};
use std::{io, time::Duration};

/// Draws a request, and before it how many were left out. `since` is the time now, from 1970 on; with `columns` the
/// line is cut.
pub(super) fn lines(ended: &EndedRequest, since: Duration, columns: Option<usize>) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if ended.left_out > 0 {
        lines.push(Line::from(piece(format!("… {} left out", text::number(ended.left_out)), WARN)));
    }
    let word = |word: &Option<String>| word.as_deref().map_or_else(|| "-".to_owned(), shown);
    let outcome = word(&ended.outcome);
    let status = ended.status.map_or_else(|| "gone".to_owned(), |status| status.to_string());
    let mut pieces = vec![
        piece(format!("{} ", clock(since.saturating_sub(Duration::from_millis(ended.ago)))), FAINT),
        piece(format!("{} ", left(&status, 4)), of_status(ended.status)),
        piece(format!("{} ", padded(&outcome, 5)), of_outcome(&outcome)),
        piece(format!("{} ", padded(&word(&ended.reason), 14)), if ended.reason.is_some() { WARN } else { FAINT }),
        piece(format!("{} ", right(&figures::millis(ended.took), 8)), PLAIN),
        piece(format!("{} ", right(&text::bytes(ended.bytes), 9)), PLAIN),
        piece(format!("{} ", padded(&shown(&ended.by), 6)), FAINT),
        piece(format!("{} ", padded(&word(&ended.group), 14)), NAME),
    ];
    let request = format!("{} {}{}", shown(&ended.method), shown(&ended.host), shown(&ended.path));
    let taken: usize = pieces.iter().map(|piece| width(&piece.content)).sum();
    match columns {
        // What is left is too little to say anything: the terminal breaks the line.
        Some(columns) if columns >= taken + 20 => pieces.push(piece(cut(&request, columns - taken), PLAIN)),
        _ => pieces.push(piece(request, PLAIN)),
    }
    lines.push(Line::from(pieces));
    lines
}

/// A word in a column that grows with it: words are what programs read.
fn padded(word: &str, columns: usize) -> String {
    left(word, columns.max(width(word)))
}

/// The time of day, UTC.
fn clock(since: Duration) -> String {
    let seconds = since.as_secs();
    format!("{:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}

fn of_status(status: Option<u16>) -> Style {
    match status {
        Some(..400) => PLAIN,
        Some(400..500) => WARN,
        _ => BAD,
    }
}

fn of_outcome(outcome: &str) -> Style {
    match outcome {
        "hit" | "hot" | "stale" | "revalidated" => GOOD,
        "miss" | "loading" | "observed" | "-" => WARN,
        _ => BAD,
    }
}

/// Returns a line of JSON for programs.
pub(super) fn json(ended: &EndedRequest) -> Result<String, Failed> {
    let json = serde_json::to_string(ended).map_err(|error| Failed::Output(io::Error::from(error)))?;
    Ok(text::escaped_json(&json) + "\n")
}
