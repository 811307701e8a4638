//! All that is wrong with files of groups: what is wrong is taken out, and the rest is read again.

use crate::{
    config::{
        blanked::Blanked,
        groups_file::{ConfigError, bad_version, config, text, unknowable, unknowable_callers},
        yaml_positions::YamlPositions,
    },
    settings::Identity,
};
use meshcache_protocol::groups::{
    Config,
    check::{self, Problem},
};
use std::collections::BTreeSet;

/// The most errors of one run.
const MAX_ERRORS: usize = 50;
/// How often a text is read again. Each time something is taken out of it, but not each time something is told.
const MAX_READS: usize = 200;

/// What is left of a file without what is wrong.
#[derive(Default)]
struct Rest {
    config: Config,
    /// Of each of its groups: its number in the file, and whether it is as it was.
    groups: Vec<(usize, bool)>,
}

/// A file as it was read, by its name.
type File = (String, Result<Vec<u8>, String>);

/// Returns all errors, each at its place.
pub(super) fn of(files: &[File], identity: Identity) -> Vec<ConfigError> {
    let (mut errors, mut all, mut places) = (Vec::new(), Config { version: 1, ..Config::default() }, Vec::new());
    for (file, content) in files {
        let text = match text(file, content) {
            Ok(text) => text,
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        let positions = YamlPositions::of(text);
        let Rest { config, groups } = rest(file, text, &positions, &mut errors);
        if let Some(what) = config.debuggers.iter().find_map(|pattern| unknowable(pattern, identity)) {
            let (file, line, field) = (file.clone(), positions.line_of("debuggers"), "debuggers".to_owned());
            errors.push(ConfigError { file, line, field, what });
        }
        all.groups.extend(config.groups);
        places.push((file, positions, groups));
    }
    let place = |Problem { group, field, what }: Problem| {
        let mut n = group?;
        let (file, positions, group, is_whole) = places.iter().find_map(|(file, positions, groups)| {
            let found = groups.get(n).map(|(group, is_whole)| (file, positions, group, *is_whole));
            n = n.saturating_sub(groups.len());
            found
        })?;
        let field = format!("groups[{group}].{field}");
        // What is missing in the others may be what was wrong.
        is_whole.then(|| ConfigError { file: (*file).clone(), line: positions.line_of(&field), field, what })
    };
    let of_groups = check::problems(&all).into_iter().chain(unknowable_callers(&all, identity));
    errors.extend(of_groups.filter_map(place));
    errors.sort_by_key(|error| (files.iter().position(|(file, _)| *file == error.file), error.line));
    errors.truncate(MAX_ERRORS);
    errors
}

/// Reads a text until nothing is wrong with what is left of it.
fn rest(file: &str, text: &str, positions: &YamlPositions, errors: &mut Vec<ConfigError>) -> Rest {
    let mut blanked = Blanked::new(text, positions);
    for _ in 0..MAX_READS {
        let error = match config(file, blanked.text(), positions) {
            Ok(config) => {
                errors.extend(bad_version(file, &config, positions));
                return Rest { groups: left(&blanked, positions, config.groups.len()), config };
            }
            Err(error) => error,
        };
        let (field, line) = (error.field.clone(), error.line);
        if !is_consequence(&error, &blanked) {
            errors.push(error);
        }
        if errors.len() >= MAX_ERRORS || !blanked.take_out(&field, line) {
            break;
        }
    }
    Rest::default()
}

/// Returns whether an error is only that something is missing which was taken out.
fn is_consequence(error: &ConfigError, blanked: &Blanked<'_>) -> bool {
    match error.what.strip_prefix("missing field `").and_then(|rest| rest.split_once('`')) {
        Some((field, _)) if error.field == "file" => blanked.is_without(field),
        Some((field, _)) => blanked.is_without(&format!("{}.{field}", error.field)),
        None => blanked.has_lost(&error.field),
    }
}

/// Returns the numbers of the groups that are left, and whether nothing was taken out of them.
fn left(blanked: &Blanked<'_>, positions: &YamlPositions, count: usize) -> Vec<(usize, bool)> {
    let number = |field: &str| field.strip_prefix("groups[")?.strip_suffix(']')?.parse().ok();
    let all: BTreeSet<usize> = positions.all().iter().filter_map(|one| number(&one.field)).collect();
    let is_left = |n: &usize| !blanked.is_without(&format!("groups[{n}]"));
    let left = all.into_iter().filter(is_left).map(|n| (n, !blanked.has_lost(&format!("groups[{n}]"))));
    left.take(count).collect()
}
