//! The hops of a probe, one below the other, each where its time lies.

use crate::terminal::{
    figures::millis,
    paint::{FAINT, NAME, PLAIN, STRONG, piece},
    text::{left, right, shown, width},
};
use meshcache_admin::Hop;
use ratatui_core::text::Line;

/// The columns of all the time.
const COLUMNS: usize = 24;

/// Draws the hops. One follows the other.
pub(super) fn lines(hops: &[Hop]) -> Vec<Line<'static>> {
    let took = |hop: &Hop| if hop.took.is_finite() { hop.took.max(0.0) } else { 0.0 };
    let all: f64 = hops.iter().map(took).sum();
    let column = |time: f64| if all > 0.0 { (time / all * COLUMNS as f64).round() as usize } else { 0 };
    let names = hops.iter().map(|hop| width(&shown(&hop.at))).max().unwrap_or_default().min(30);
    let mut lines = vec![Line::from(vec![piece("probe", STRONG), piece(format!("  {}", millis(all)), PLAIN)])];
    let mut passed = 0.0;
    for hop in hops {
        let from = column(passed).min(COLUMNS - 1);
        passed += took(hop);
        let bar = match column(passed).min(COLUMNS).saturating_sub(from) {
            0 => "▏".to_owned(),
            columns => "█".repeat(columns),
        };
        lines.push(Line::from(vec![
            piece(format!("  {} ", left(&shown(&hop.at), names)), NAME),
            piece(format!("{} ", right(&millis(hop.took), 9)), PLAIN),
            piece(left(&format!("{}{bar}", " ".repeat(from)), COLUMNS), FAINT),
            piece(format!(" {}", shown(&hop.what)), PLAIN),
        ]));
    }
    lines
}
