//! What `top` knows, and what keys change of it.

use crate::{
    failed::NoAnswer,
    terminal::{
        Key,
        screen::{Model, Step},
        text::shown,
    },
};
use meshcache_admin::{Saved, Top, TopBy, TopRow};
use std::time::Duration;

/// The most rows that are kept, whatever a server says.
const MOST: usize = 200;
/// The longest filter, characters.
const LONGEST_FILTER: usize = 100;

/// The views, in the order of their tabs.
pub(super) const VIEWS: [TopBy; 4] = [TopBy::Keys, TopBy::Groups, TopBy::Reasons, TopBy::Origins];

/// What rows are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Rate,
    Hits,
    Took,
    Bytes,
    Name,
}

/// What both questions brought.
pub(super) struct Answer {
    /// The view that was asked for.
    pub(super) by: TopBy,
    /// The table, or why there is none: one line.
    pub(super) top: Result<Top, NoAnswer>,
    /// What the mesh saved so far; none: not known.
    pub(super) saved: Option<Saved>,
}

/// The state of the screen.
#[derive(Default)]
pub(super) struct State {
    pub(super) by: TopBy,
    /// The column, and whether it is turned around; none: as the server sorts.
    pub(super) sort: Option<(Column, bool)>,
    /// What a row's name or group has to contain.
    pub(super) filter: String,
    pub(super) is_typing: bool,
    pub(super) is_paused: bool,
    pub(super) has_help: bool,
    /// Rows that are above the screen.
    pub(super) above: usize,
    pub(super) top: Option<Top>,
    pub(super) saved: Option<Saved>,
    /// Requests a second and the share of them that was saved, from two answers.
    pub(super) rates: Option<(f64, f64)>,
    /// Why the last question brought nothing.
    pub(super) problem: Option<String>,
    before: Option<(Saved, Duration)>,
}

impl State {
    pub(super) fn of(by: TopBy) -> Self {
        Self { by, ..Self::default() }
    }

    /// The rows that fit the filter, sorted.
    pub(super) fn rows(&self) -> Vec<&TopRow> {
        let fits = |text: &str| text.to_lowercase().contains(&self.filter.to_lowercase());
        let all = self.top.iter().flat_map(|top| &top.rows);
        let mut rows: Vec<&TopRow> =
            all.filter(|row| fits(&row.name) || row.group.as_deref().is_some_and(fits)).collect();
        if let Some((column, is_turned)) = self.sort {
            rows.sort_by(|a, b| {
                let order = match column {
                    Column::Rate => b.rate.total_cmp(&a.rate),
                    Column::Hits => b.hits.total_cmp(&a.hits),
                    Column::Took => b.took.total_cmp(&a.took),
                    Column::Bytes => b.bytes.total_cmp(&a.bytes),
                    Column::Name => a.name.cmp(&b.name),
                };
                if is_turned { order.reverse() } else { order }
            });
        }
        rows
    }

    fn view(&mut self, by: TopBy) -> Step {
        if by == self.by {
            return Step::Stay;
        }
        (self.by, self.top, self.above, self.is_paused) = (by, None, 0, false);
        Step::Ask
    }

    fn neighbour(&self, by: usize) -> TopBy {
        let at = VIEWS.iter().position(|view| *view == self.by).unwrap_or_default();
        VIEWS.get((at + by) % VIEWS.len()).copied().unwrap_or_default()
    }

    fn sort(&mut self, column: Column) -> Step {
        let is_turned = self.sort.is_some_and(|(sorted, is_turned)| sorted == column && !is_turned);
        (self.sort, self.above) = (Some((column, is_turned)), 0);
        Step::Stay
    }

    fn scroll(&mut self, to: usize) -> Step {
        self.above = to.min(self.rows().len().saturating_sub(1));
        Step::Stay
    }

    fn typed(&mut self, key: Key) -> Step {
        match key {
            Key::Char(char) if self.filter.chars().count() < LONGEST_FILTER => self.filter.push(char),
            Key::Backspace => drop(self.filter.pop()),
            Key::Enter => self.is_typing = false,
            Key::Escape => (self.is_typing, self.filter) = (false, String::new()),
            _ => {}
        }
        self.above = 0;
        Step::Stay
    }
}

impl Model for State {
    type Answer = Answer;

    fn press(&mut self, key: Key) -> Step {
        match key {
            Key::Interrupt => return Step::Quit,
            _ if self.is_typing => return self.typed(key),
            // Any key but the one that ends closes the help.
            _ if self.has_help && key != Key::Char('q') => self.has_help = false,
            Key::Char('q') => return Step::Quit,
            Key::Char('?') => self.has_help = true,
            Key::Char(' ') => self.is_paused = !self.is_paused,
            Key::Char('/') => self.is_typing = true,
            Key::Escape => (self.filter, self.sort, self.above) = (String::new(), None, 0),
            Key::Tab => return self.view(self.neighbour(1)),
            Key::BackTab => return self.view(self.neighbour(VIEWS.len() - 1)),
            Key::Char(digit @ '1'..='4') => {
                let view = VIEWS.get(digit as usize - '1' as usize).copied();
                return self.view(view.unwrap_or_default());
            }
            Key::Char('r') => return self.sort(Column::Rate),
            Key::Char('h') => return self.sort(Column::Hits),
            Key::Char('t') => return self.sort(Column::Took),
            Key::Char('b') => return self.sort(Column::Bytes),
            Key::Char('n') => return self.sort(Column::Name),
            Key::Up | Key::Char('k') => return self.scroll(self.above.saturating_sub(1)),
            Key::Down | Key::Char('j') => return self.scroll(self.above.saturating_add(1)),
            Key::PageUp => return self.scroll(self.above.saturating_sub(10)),
            Key::PageDown => return self.scroll(self.above.saturating_add(10)),
            Key::Home => return self.scroll(0),
            Key::End => return self.scroll(usize::MAX),
            _ => {}
        }
        Step::Stay
    }

    fn take(&mut self, answer: Answer, at: Duration) {
        if let Some(saved) = answer.saved {
            self.rates = self.before.and_then(|(before, then)| rates(before, saved, at.saturating_sub(then)));
            (self.saved, self.before) = (Some(saved), Some((saved, at)));
        }
        match answer.top {
            // What was pressed in the meantime is answered later.
            Ok(_) if answer.by != self.by => {}
            Ok(top) => (self.top, self.problem) = (Some(bounded(top)), None),
            Err(problem) => self.problem = Some(shown(&problem.to_string())),
        }
        self.scroll(self.above);
    }

    fn is_paused(&self) -> bool {
        self.is_paused
    }
}

/// A coordinator that came, went or started anew makes sums smaller: then there is no rate.
fn rates(before: Saved, now: Saved, passed: Duration) -> Option<(f64, f64)> {
    let requests = now.requests.checked_sub(before.requests)? as f64;
    let saved = now.saved.saturating_sub(before.saved) as f64;
    let seconds = passed.as_secs_f64();
    (seconds > 0.0)
        .then(|| (requests / seconds, if requests > 0.0 { (saved / requests).clamp(0.0, 1.0) } else { f64::NAN }))
}

/// Returns what is kept of an answer.
pub(super) fn bounded(mut top: Top) -> Top {
    top.rows.truncate(MOST);
    for row in &mut top.rows {
        row.name = shown(&row.name);
        row.group = row.group.as_deref().map(shown);
    }
    top.unreached.truncate(MOST);
    top.unreached.iter_mut().for_each(|name| *name = shown(name));
    top
}
