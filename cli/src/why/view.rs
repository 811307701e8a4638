//! An explanation as lines: the answer first, then what it comes from, then what changes it.

use crate::{
    terminal::{
        paint::{BAD, FAINT, GOOD, NAME, PLAIN, STRONG, WARN, piece},
        text::{left, shown, wrapped},
    },
    text,
    why::timeline,
};
use meshcache_admin::{Advice, AtCoordinator, KeyPart, LastReason, StoredResponse, Why};
use ratatui_core::{
    style::Style,
    text::{Line, Span},
};

/// The most of anything that is shown, whatever a server says.
const MOST: usize = 100;
/// The columns of what stands before a value.
const LABEL: usize = 10;
/// The columns of a sentence.
const SENTENCE: usize = 76;

/// Returns whether the cache answers the request: a coordinator has what fits it, and may give it.
pub(super) fn is_answered(why: &Why) -> bool {
    let has =
        |at: &AtCoordinator| at.unreached.is_none() && at.has_lease && at.stored.iter().any(|stored| stored.answers);
    why.request_reason.is_none() && why.at.iter().any(has)
}

/// Draws an explanation.
pub(super) fn lines(why: &Why, method: &str) -> Vec<Line<'static>> {
    let colour = if is_answered(why) { GOOD } else { BAD };
    let mut lines = vec![
        Line::from(piece(shown(&why.summary), STRONG.patch(colour))),
        Line::from(piece(format!("{} {}", shown(method), shown(&why.url)), FAINT)),
        Line::default(),
    ];
    lines.extend(request(why));
    for at in some(&why.at) {
        lines.push(Line::default());
        lines.extend(coordinator(at, why));
    }
    if !why.hops.is_empty() {
        lines.push(Line::default());
        lines.extend(timeline::lines(some(&why.hops)));
    }
    for advice in some(&why.advice) {
        lines.push(Line::default());
        lines.extend(self::advice(advice));
    }
    lines
}

fn some<T>(all: &[T]) -> &[T] {
    all.get(..MOST).unwrap_or(all)
}

/// A label, and what belongs to it.
fn labelled(label: &str, pieces: impl IntoIterator<Item = Span<'static>>) -> Line<'static> {
    let mut line = Line::from(piece(left(label, LABEL), FAINT));
    line.spans.extend(pieces);
    line
}

/// What follows from the request alone.
fn request(why: &Why) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    match &why.group {
        Some(group) => {
            let mut pieces = vec![piece(shown(group), NAME)];
            if let Some(rule) = &why.rule {
                pieces.push(piece(format!("  by {}", shown(rule)), PLAIN));
            }
            lines.push(labelled("group", pieces));
        }
        None => lines.push(labelled("group", [piece("none takes it", WARN)])),
    }
    if let Some(reason) = &why.request_reason {
        lines.push(labelled("request", [piece(shown(reason), BAD), piece(" keeps it from the cache", PLAIN)]));
    }
    for (number, part) in some(&why.key).iter().enumerate() {
        lines.push(labelled(if number == 0 { "key" } else { "" }, key_part(part)));
    }
    if let Some(hash) = &why.key_hash {
        lines.push(labelled(
            if why.key.is_empty() { "key" } else { "" },
            [piece(format!("hash {}", shown(hash)), FAINT)],
        ));
    }
    if let Some(owner) = &why.owner {
        let mut pieces = vec![piece(shown(owner), NAME)];
        if let Some(next) = &why.next {
            pieces.extend([piece(", then ", PLAIN), piece(shown(next), NAME)]);
        }
        lines.push(labelled("owner", pieces));
    }
    lines
}

fn key_part(part: &KeyPart) -> [Span<'static>; 2] {
    [piece(format!("{} ", left(&shown(&part.name), 16)), PLAIN), piece(shown(&part.value), PLAIN)]
}

fn coordinator(at: &AtCoordinator, why: &Why) -> Vec<Line<'static>> {
    let is = |name: &Option<String>| name.as_deref() == Some(at.name.as_str());
    let role = match () {
        () if is(&why.owner) => "  owner",
        () if is(&why.next) => "  next",
        () => "",
    };
    let mut lines = vec![Line::from(vec![piece(shown(&at.name), NAME.patch(STRONG)), piece(role, FAINT)])];
    let mut tell = |label: &str, pieces: Vec<Span<'static>>| lines.push(labelled(&format!("  {label}"), pieces));
    if let Some(unreached) = &at.unreached {
        tell("", vec![piece(format!("no answer: {}", shown(unreached)), BAD)]);
        return lines;
    }
    if !at.has_lease {
        tell("lease", vec![piece("none: it may not answer from its store now", BAD)]);
    }
    if at.stored.is_empty() {
        let mut pieces = vec![piece("nothing", WARN)];
        pieces.extend(at.stored_ago.map(|ago| piece(format!(", the last one was stored {}", text::ago(ago)), PLAIN)));
        tell("stored", pieces);
    }
    for stored in some(&at.stored) {
        tell("stored", self::stored(stored));
        let selected = selected(stored);
        if !selected.is_empty() {
            tell("", vec![piece(selected, FAINT)]);
        }
    }
    for (number, last) in some(&at.last).iter().enumerate() {
        tell(if number == 0 { "last" } else { "" }, self::last(last));
    }
    if let Some(waiting) = at.loading {
        let wait = if waiting == 1 { "request waits" } else { "requests wait" };
        tell("loading", vec![piece(format!("now, {} {wait} for it", text::number(waiting)), PLAIN)]);
    }
    if let Some(millis) = at.passes_for {
        // A second that has begun counts.
        tell("passes", vec![piece(format!("at once, for {} more", text::seconds(millis.div_ceil(1000))), WARN)]);
    }
    lines
}

fn stored(stored: &StoredResponse) -> Vec<Span<'static>> {
    let (fresh, style): (String, Style) = match stored.ttl {
        0.. => (format!("fresh for {} more", text::seconds(stored.ttl.unsigned_abs())), GOOD),
        _ => (format!("stale for {}", text::seconds(stored.ttl.unsigned_abs())), WARN),
    };
    let by = if stored.lifetime_by.is_empty() { String::new() } else { format!(" by {}", shown(&stored.lifetime_by)) };
    let mut pieces = vec![
        piece(format!("{}, ", stored.status), PLAIN),
        piece(fresh, style),
        piece(format!("{by}, age {}, {}", text::seconds(stored.age), text::bytes(stored.bytes)), PLAIN),
    ];
    if stored.kept_as == "hot" {
        pieces.push(piece(", a hot copy", PLAIN));
    }
    if !stored.answers {
        let why_not = stored.why_not.as_deref().map_or_else(String::new, |why| format!(": {}", shown(why)));
        pieces.push(piece(format!("; does not answer{why_not}"), WARN));
    }
    pieces
}

/// What selects a response, and what purges it.
fn selected(stored: &StoredResponse) -> String {
    let list = |label: &str, names: &[String]| {
        let names: Vec<String> = some(names).iter().map(|name| shown(name)).collect();
        (!names.is_empty()).then(|| format!("{label} {}", names.join(", ")))
    };
    let parts = [list("varies by", &stored.vary), list("tags", &stored.tags)];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn last(last: &LastReason) -> Vec<Span<'static>> {
    let mut said: Vec<String> = last.status.iter().map(ToString::to_string).collect();
    said.extend(some(&last.decided).iter().map(|header| shown(header)));
    let said = if said.is_empty() { String::new() } else { format!(": the origin said {}", said.join(", ")) };
    vec![piece(shown(&last.reason), BAD), piece(format!(", {}{said}", text::ago(last.ago)), PLAIN)]
}

fn advice(advice: &Advice) -> Vec<Line<'static>> {
    let title = if advice.reason.is_empty() {
        vec![piece("what to do", STRONG)]
    } else {
        vec![piece("to change it", STRONG), piece(format!("  {}", shown(&advice.reason)), FAINT)]
    };
    let mut lines = vec![Line::from(title)];
    lines.extend(wrapped(&shown(&advice.text), SENTENCE).map(|line| Line::from(piece(format!("  {line}"), PLAIN))));
    let (what, is_diff) = match (&advice.diff, &advice.yaml) {
        (Some(diff), _) => (diff, true),
        (None, Some(yaml)) => (yaml, false),
        (None, None) => return lines,
    };
    lines.extend(what.lines().take(MOST).map(|line| {
        let style = if is_diff { of_diff(line) } else { PLAIN };
        Line::from(piece(format!("  {}", shown(line)), style))
    }));
    lines
}

fn of_diff(line: &str) -> Style {
    match line.as_bytes() {
        [b'+', b'+', b'+', ..] | [b'-', b'-', b'-', ..] => FAINT,
        [b'@', ..] => NAME,
        [b'+', ..] => GOOD,
        [b'-', ..] => BAD,
        _ => PLAIN,
    }
}
