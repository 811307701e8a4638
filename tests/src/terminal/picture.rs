//! A terminal's cells as SVG: text in the reader's own monospaced font, dark as terminals are.

use std::fmt::Write;

use vt100::{Cell, Color, Screen};

/// A cell's width at this size of letters, and its height.
const WIDTH: f64 = 8.4;
const HEIGHT: u32 = 18;
const FOREGROUND: &str = "#d8dee9";
const BACKGROUND: &str = "#1b1f27";

/// How a cell looks.
#[derive(Clone, Copy, PartialEq)]
struct Look {
    colour: Color,
    is_bold: bool,
    is_dim: bool,
    is_inverse: bool,
}

impl Look {
    fn of(cell: &Cell) -> Look {
        Look { colour: cell.fgcolor(), is_bold: cell.bold(), is_dim: cell.dim(), is_inverse: cell.inverse() }
    }
}

/// Draws the rows to the last one that has something.
pub(super) fn svg(screen: &Screen) -> String {
    let (rows, columns) = (screen.size().0.get(), screen.size().1.get());
    let has_something = |row: &u16| (0..columns).filter_map(|column| screen.cell(*row, column)).any(Cell::has_contents);
    let rows = (0..rows).rfind(has_something).map_or(0, |last| last + 1);
    let (width, height) = ((f64::from(columns) * WIDTH).ceil() as u32 + 20, u32::from(rows) * HEIGHT + 20);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace\" font-size=\"14\" fill=\"{FOREGROUND}\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{BACKGROUND}\"/>\n"
    );
    for row in 0..rows {
        let mut column = 0;
        while column < columns {
            let Some(look) = screen.cell(row, column).map(Look::of) else { break };
            let is_same = |column: &u16| screen.cell(row, *column).is_some_and(|cell| Look::of(cell) == look);
            let end = (column..columns).take_while(is_same).last().map_or(columns, |last| last + 1);
            let cell = |column| screen.cell(row, column).filter(|cell| !cell.is_wide_continuation());
            let text: String = (column..end)
                .filter_map(cell)
                .map(|cell| if cell.has_contents() { cell.contents() } else { " " })
                .collect();
            run(&mut svg, row, column, end, &text, look);
            column = end;
        }
    }
    svg + "</svg>\n"
}

/// Cells that look alike.
fn run(svg: &mut String, row: u16, from: u16, to: u16, text: &str, look: Look) {
    let (x, y) = (10.0 + f64::from(from) * WIDTH, 10 + u32::from(row) * HEIGHT);
    let width = f64::from(to - from) * WIDTH;
    if look.is_inverse {
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"{HEIGHT}\" fill=\"{FOREGROUND}\"/>"
        );
    }
    let Some(indent) = text.find(|char| char != ' ') else { return };
    let trimmed = text.trim();
    let x = x + indent as f64 * WIDTH;
    let mut style = String::new();
    match (look.is_inverse, look.colour) {
        (true, _) => style.push_str(&format!(" fill=\"{BACKGROUND}\"")),
        (false, Color::Idx(colour)) => style.extend(named(colour).map(|colour| format!(" fill=\"{colour}\""))),
        (false, _) => {}
    }
    if look.is_bold {
        style.push_str(" font-weight=\"bold\"");
    }
    if look.is_dim {
        style.push_str(" opacity=\"0.6\"");
    }
    let escaped = trimmed.replace('&', "&amp;").replace('<', "&lt;");
    let length = trimmed.chars().count() as f64 * WIDTH;
    // The length keeps columns straight whatever font the reader has.
    let _ = writeln!(
        svg,
        "<text xml:space=\"preserve\" x=\"{x:.1}\" y=\"{}\" textLength=\"{length:.1}\" lengthAdjust=\"spacingAndGlyphs\"{style}>{escaped}</text>",
        y + 14
    );
}

fn named(colour: u8) -> Option<&'static str> {
    Some(match colour {
        1 => "#ff6b6b",
        2 => "#8fd16f",
        3 => "#f0c05a",
        6 => "#6cc7d9",
        _ => return None,
    })
}
