//! Plots as SVG, drawn by hand: bars with the range of their rounds, and a line.

use std::fmt::Write;

use crate::{figure::median, memory::Course, rounds::Cost};

const WIDTH: f64 = 640.0;
const LABELS: f64 = 230.0;
const ROW: f64 = 30.0;
const TOP: f64 = 40.0;
const MIB: f64 = 1024.0 * 1024.0;
const COLOURS: [&str; 4] = ["#2f6fde", "#8aa4cf", "#b9c4d6", "#d7dde7"];

/// A bar for each side: the median, with a whisker from the least to the largest round.
pub(crate) fn bars(title: &str, costs: &[Cost]) -> String {
    let largest = costs.iter().flat_map(|cost| &cost.micros).copied().fold(0.0, f64::max);
    let scale = (WIDTH - LABELS - 70.0) / largest.max(f64::MIN_POSITIVE);
    let mut body = String::new();
    for (i, cost) in costs.iter().enumerate() {
        let (y, value) = (TOP + i as f64 * ROW, median(&cost.micros));
        let (least, most) =
            (cost.micros.iter().copied().fold(f64::MAX, f64::min), cost.micros.iter().copied().fold(0.0, f64::max));
        let (middle, colour) = (y + ROW / 2.0 - 4.0, COLOURS[i.min(COLOURS.len() - 1)]);
        text(&mut body, LABELS - 8.0, middle + 4.0, "end", &cost.name);
        let _ = write!(
            body,
            r#"<rect x="{LABELS}" y="{y}" width="{:.1}" height="{}" fill="{colour}"/>"#,
            value * scale,
            ROW - 8.0
        );
        let (from, to) = (LABELS + least * scale, LABELS + most * scale);
        let _ = write!(body, r##"<path d="M{from:.1} {middle}H{to:.1}" stroke="#222" stroke-width="1.5"/>"##);
        text(&mut body, to + 8.0, middle + 4.0, "start", &format!("{value:.1}"));
    }
    frame(title, TOP + costs.len() as f64 * ROW + 8.0, &body)
}

/// Bytes over seconds.
pub(crate) fn line(title: &str, course: &Course) -> String {
    let (left, height) = (50.0, 200.0);
    let largest = course.iter().map(|point| point.1).fold(1.0, f64::max);
    let length = course.last().map_or(1.0, |point| point.0).max(f64::MIN_POSITIVE);
    let at = |(seconds, bytes): &(f64, f64)| {
        (left + seconds / length * (WIDTH - left - 20.0), TOP + height * (1.0 - bytes / largest))
    };
    let mut body = String::new();
    let path: Vec<String> = course.iter().map(at).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = write!(
        body,
        r#"<polyline points="{}" fill="none" stroke="{}" stroke-width="1.5"/>"#,
        path.join(" "),
        COLOURS[0]
    );
    let _ = write!(body, r##"<path d="M{left} {TOP}V{}H{}" fill="none" stroke="#222"/>"##, TOP + height, WIDTH - 20.0);
    text(&mut body, left - 6.0, TOP + 5.0, "end", &format!("{:.0}", largest / MIB));
    text(&mut body, left - 6.0, TOP + height, "end", "0");
    text(&mut body, WIDTH - 20.0, TOP + height + 18.0, "end", &format!("{length:.0} s"));
    frame(title, TOP + height + 28.0, &body)
}

fn text(body: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let _ = write!(body, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#);
}

fn frame(title: &str, height: f64, body: &str) -> String {
    let mut heading = String::new();
    text(&mut heading, 10.0, 22.0, "start", title);
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13" fill="#222"><rect width="{WIDTH}" height="{height}" fill="#fff"/>{heading}{body}</svg>
"##
    )
}
