//! A YAML text from which fields are taken out, with all others left where they are.

use crate::config::yaml_positions::YamlPositions;
use std::collections::BTreeSet;

/// A text and what was taken out of it.
pub(super) struct Blanked<'p> {
    text: String,
    /// The positions in the text as it was.
    positions: &'p YamlPositions,
    /// Of each of these: whether it was taken out.
    gone: Vec<bool>,
    /// How many fields are left in the text.
    left: usize,
}

impl<'p> Blanked<'p> {
    pub(super) fn new(text: &str, positions: &'p YamlPositions) -> Self {
        let count = positions.all().len();
        Self { text: text.to_owned(), positions, gone: vec![false; count], left: count }
    }

    /// Returns what is left.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Returns whether something in a field was taken out, or the field itself.
    pub(super) fn has_lost(&self, field: &str) -> bool {
        self.positions.all().iter().zip(&self.gone).any(|(one, gone)| *gone && is_within(&one.field, field))
    }

    /// Returns whether a field itself was taken out.
    pub(super) fn is_without(&self, field: &str) -> bool {
        self.positions.all().iter().zip(&self.gone).any(|(one, gone)| *gone && one.field == field)
    }

    /// Returns the groups that were taken out, and the fields of groups in which something was: `groups[1].origin`.
    pub(super) fn lost(&self) -> BTreeSet<&str> {
        let all = self.positions.all().iter().zip(&self.gone).filter(|(_, gone)| **gone);
        all.map(|(one, _)| {
            let end = one.field.match_indices(['.', '[']).nth(2).map_or(one.field.len(), |(end, _)| end);
            one.field.get(..end).unwrap_or_default()
        })
        .collect()
    }

    /// Takes a field out, or the smallest one around it that has lines of its own. Returns whether there was one.
    pub(super) fn take_out(&mut self, field: &str, line: u64) -> bool {
        let mut field = field;
        while !self.try_to_take_out(field, line) {
            match field.rfind(['.', '[']) {
                Some(end) => field = field.get(..end).unwrap_or_default(),
                None => return false,
            }
        }
        true
    }

    fn try_to_take_out(&mut self, field: &str, line: u64) -> bool {
        let all = self.positions.all();
        let is_it = |n: &usize| all.get(*n).is_some_and(|one| one.field == field) && self.gone.get(*n) == Some(&false);
        let near = (0..all.len()).filter(is_it).find(|n| all.get(*n).is_some_and(|one| one.line == line));
        let Some(begin) = near.or_else(|| (0..all.len()).find(is_it)) else { return false };
        let rest = all.iter().skip(begin);
        let end = begin + rest.take_while(|one| is_within(&one.field, field)).count();
        let Some(first) = all.get(begin) else { return false };
        let lines = first.line..all.get(end).map_or(u64::MAX, |next| next.line);
        if lines.is_empty() {
            return false;
        }
        let made = blank(&self.text, &lines, first.column, field.ends_with(']'));
        // In a list or mapping in one line something else goes with it, or what is left is no YAML. A field that has lost
        // all that was in it has a value again, nothing, which goes with the field.
        let lost = self.gone.get(begin..end).unwrap_or_default().iter().filter(|gone| !**gone).count();
        let (left, expected) = (YamlPositions::of(&made).all().len(), self.left.saturating_sub(lost));
        if lost == 0 || left.abs_diff(expected) > 1 || left == 0 {
            return false;
        }
        (self.text, self.left) = (made, left);
        self.gone.iter_mut().take(end).skip(begin).for_each(|gone| *gone = true);
        true
    }
}

/// Returns whether a field is another one, or in it.
fn is_within(field: &str, around: &str) -> bool {
    field.strip_prefix(around).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Empties lines, the first one from a column on, from 1. `is_item`: the dash before it goes, too.
fn blank(text: &str, lines: &std::ops::Range<u64>, column: u64, is_item: bool) -> String {
    let mut made = String::with_capacity(text.len());
    for (line, n) in text.lines().zip(1..) {
        if n == lines.start {
            let before: String = line.chars().take(usize::try_from(column).unwrap_or(1).saturating_sub(1)).collect();
            let before =
                if is_item { before.rfind('-').and_then(|dash| before.get(..dash)).unwrap_or("") } else { &before };
            made.push_str(before);
        } else if !lines.contains(&n) {
            made.push_str(line);
        }
        made.push('\n');
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "version: 1\ngroups:\n- name: a\n  match: {hosts: [x, y]}\n- name: b\n  origin:\n    url: o\n    timeout: 1s\n";

    fn without(field: &str) -> Option<String> {
        let positions = YamlPositions::of(TEXT);
        let mut blanked = Blanked::new(TEXT, &positions);
        blanked.take_out(field, 0).then(|| blanked.text().to_owned())
    }

    #[test]
    fn a_field_goes_and_every_other_one_stays_where_it_is() {
        assert_eq!(without("groups[1].origin.url").unwrap(), TEXT.replace("    url: o\n", "    \n"));
        assert_eq!(without("groups[0].name").unwrap(), TEXT.replace("name: a", ""));
        assert_eq!(
            without("groups[0]").unwrap(),
            TEXT.replace("- name: a", "").replace("  match: {hosts: [x, y]}", "")
        );
    }

    #[test]
    fn of_a_mapping_in_one_line_all_of_it_goes() {
        assert_eq!(without("groups[0].match.hosts[1]").unwrap(), TEXT.replace("match: {hosts: [x, y]}", ""));
    }

    #[test]
    fn a_field_that_is_not_there_takes_the_one_around_it_along() {
        let positions = YamlPositions::of(TEXT);
        let mut blanked = Blanked::new(TEXT, &positions);
        assert!(blanked.take_out("groups[1].origin.nothing", 0));
        assert!(blanked.has_lost("groups[1]") && blanked.is_without("groups[1].origin.url"));
        assert!(!blanked.is_without("groups[1]") && !blanked.has_lost("groups[0]"));
    }
}
