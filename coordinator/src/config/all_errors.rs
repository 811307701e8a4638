//! All that is wrong with files of groups: what is wrong is taken out, and the rest is read again.

use crate::{
    config::{
        blanked::Blanked,
        groups_file::{
            ConfigError, GroupFiles, GroupSource, bad_version, config, text, unknowable, unknowable_callers,
        },
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
pub(crate) const MAX_ERRORS: usize = 50;
/// How often a text is read again. Each time something is taken out of it, but not each time something is told.
const MAX_READS: usize = 200;

/// What is left of a file without what is wrong.
#[derive(Default)]
struct Rest {
    config: Config,
    /// Of each of its groups: its number in the file.
    groups: Vec<usize>,
    /// The fields of groups in which something was taken out.
    lost: BTreeSet<String>,
}

/// A file as it was read, by its name.
type File = (String, Result<Vec<u8>, String>);

/// Returns all that is wrong with a source's files, at most 50 lines: for people who mend them.
pub fn problems(source: &GroupSource, files: &GroupFiles, identity: Identity) -> Vec<ConfigError> {
    match source {
        GroupSource::Path(_) | GroupSource::Text { .. } => of(&files.0, identity),
        GroupSource::Origin { .. } => source.load(files, identity).err().into_iter().collect(),
    }
}

/// Returns all errors, each at its place.
fn of(files: &[File], identity: Identity) -> Vec<ConfigError> {
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
        let Rest { config, groups, lost } = rest(file, text, &positions, &mut errors);
        if let Some(what) = config.debuggers.iter().find_map(|pattern| unknowable(pattern, identity)) {
            let (file, line, field) = (file.clone(), positions.line_of("debuggers"), "debuggers".to_owned());
            errors.push(ConfigError { file, line, field, what });
        }
        all.groups.extend(config.groups);
        places.push((file, positions, groups, lost));
    }
    let place = |Problem { group, field, what }: Problem| {
        let mut n = group?;
        let (file, positions, group, lost) = places.iter().find_map(|(file, positions, groups, lost)| {
            let found = groups.get(n).map(|group| (file, positions, group, lost));
            n = n.saturating_sub(groups.len());
            found
        })?;
        let is_lost = |part: &str| lost.contains(&format!("groups[{group}].{part}"));
        // What was taken out of a field, or of one that the problem names, may be all that it lacks.
        let mut parts = field.split(['.', '[']).take(1).chain(what.split(|c: char| !c.is_alphanumeric()));
        let follows = parts.any(is_lost);
        let field = format!("groups[{group}].{field}");
        (!follows).then(|| ConfigError { file: (*file).clone(), line: positions.line_of(&field), field, what })
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
                let lost = blanked.lost();
                let groups = left(&lost, positions, config.groups.len());
                return Rest { config, groups, lost: lost.into_iter().map(str::to_owned).collect() };
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

/// Returns the numbers of the groups that are left.
fn left(lost: &BTreeSet<&str>, positions: &YamlPositions, count: usize) -> Vec<usize> {
    let number = |field: &str| field.strip_prefix("groups[")?.strip_suffix(']')?.parse().ok();
    let all = positions.all().iter().filter(|one| !lost.contains(one.field.as_str()));
    all.filter_map(|one| number(&one.field)).collect::<BTreeSet<usize>>().into_iter().take(count).collect()
}
