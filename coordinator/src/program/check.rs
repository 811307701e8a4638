//! `meshcache check`: all that is wrong with a configuration, in one run.

use crate::{
    config::{
        CheckFlags,
        all_errors::{MAX_ERRORS, problems},
        groups_file::GroupSource,
    },
    coordinator::{self, CoordinatorError},
    program::out::{complain, tell},
};
use meshcache_cli::text::escaped;
use std::{
    io::{self, Read},
    path::PathBuf,
    process::ExitCode,
};

/// The status of a configuration that is not good.
const BAD: u8 = 2;

/// Checks, and tells what is wrong: a line each.
pub(super) fn run(CheckFlags { path, config, identity }: CheckFlags) -> Result<ExitCode, CoordinatorError> {
    let path = path.or(config).unwrap_or_else(|| PathBuf::from("-"));
    let name = if path.as_os_str() == "-" { "stdin".to_owned() } else { path.display().to_string() };
    let source = if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        let read = io::stdin().lock().read_to_end(&mut bytes).map_err(|error| error.to_string());
        let text = read.and_then(|_| String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned()));
        let text = text.map_err(|why| CoordinatorError::Config(format!("{name}:1: file: {why}")))?;
        GroupSource::Text { name: name.clone(), text }
    } else {
        GroupSource::Path(path)
    };
    // Once: a pipe has nothing for a second reader.
    let files = source.read();
    match coordinator::check(&source, &files, identity) {
        Ok(loaded) => {
            loaded.warnings.iter().for_each(|warning| tell(&escaped(&format!("{warning} (warning)"))));
            tell(&format!("{name}: good, {} groups", loaded.groups.iter().count()));
            Ok(ExitCode::SUCCESS)
        }
        Err(first) => {
            let all = problems(&source, &files, identity);
            if all.is_empty() {
                return Err(first);
            }
            all.iter().for_each(|problem| complain(&escaped(&problem.to_string())));
            if all.len() > 1 {
                let least = if all.len() < MAX_ERRORS { "" } else { "at least " };
                complain(&format!("{name}: {least}{} errors", all.len()));
            }
            Ok(ExitCode::from(BAD))
        }
    }
}
