//! The groups, from a file, a directory or `--origin`. Errors have file, line and field.

use crate::{
    config::{all_errors, regular_file, yaml_positions::YamlPositions},
    settings::Identity,
};
use meshcache_protocol::{
    Groups, Hash,
    groups::{
        CallerPattern, Config, Errors, GroupConfig, OriginUrl,
        check::{self, Problem},
    },
    units::Span,
};
use serde_saphyr::UserMessageFormatter;
use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Where the groups come from.
#[derive(Clone, Debug, PartialEq)]
pub enum GroupSource {
    /// A YAML file, or a directory of them.
    Path(PathBuf),
    /// A file's text that no file has.
    Text {
        /// What stands for the file's name in errors.
        name: String,
        /// The YAML.
        text: String,
    },
    /// One group for everything, from this origin.
    Origin {
        /// The origin's URL.
        url: OriginUrl,
        /// Which of its errors and of responses to one client may be stored.
        rules: Errors,
        /// The time limit of a load.
        timeout: Span,
        /// The time limit of a request that passes the cache; 0s: as long as its client waits.
        pass_timeout: Span,
    },
}

/// An error in the groups: `FILE:LINE: FIELD: what`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// The file, by the name that was given.
    pub file: String,
    /// Its line, from 1.
    pub line: u64,
    /// The field, as `groups[0].origin.url`.
    pub field: String,
    /// The problem.
    pub what: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.file, self.line, self.field, self.what)
    }
}

/// Valid groups, with their places in the files.
#[derive(Clone, Debug)]
pub struct LoadedGroups {
    /// The configuration, of all files together.
    pub config: Config,
    /// Its groups, ready to match requests.
    pub groups: Arc<Groups>,
    /// Likely mistakes.
    pub warnings: Vec<ConfigError>,
    /// Each group's file, its number there, and the positions of the file's fields.
    origins: Vec<(String, usize, Arc<YamlPositions>)>,
}

/// The files of a source, as they were read.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupFiles(Vec<(String, Result<Vec<u8>, String>)>);

impl GroupSource {
    /// Reads the files, whatever is in them. Cheap enough for once a second.
    pub fn read(&self) -> GroupFiles {
        self.read_by(|path| std::fs::read(path))
    }

    /// Reads the files while they are in use, but only regular ones: reading a FIFO would block.
    pub fn reread(&self) -> GroupFiles {
        self.read_by(regular_file::read)
    }

    fn read_by(&self, read: fn(&Path) -> io::Result<Vec<u8>>) -> GroupFiles {
        match self {
            Self::Path(path) => GroupFiles(files(path, read)),
            Self::Text { name, text } => GroupFiles(vec![(name.clone(), Ok(text.clone().into_bytes()))]),
            Self::Origin { .. } => GroupFiles(Vec::new()),
        }
    }

    /// Returns all that is wrong with the files, at most 50 lines: for people who mend them.
    pub fn problems(&self, files: &GroupFiles, identity: Identity) -> Vec<ConfigError> {
        match self {
            Self::Path(_) | Self::Text { .. } => all_errors::of(&files.0, identity),
            Self::Origin { .. } => self.load(files, identity).err().into_iter().collect(),
        }
    }

    /// Makes groups of the files. The error is the first one.
    pub fn load(&self, files: &GroupFiles, identity: Identity) -> Result<LoadedGroups, ConfigError> {
        match self {
            Self::Path(_) | Self::Text { .. } => files.load(identity),
            Self::Origin { url, rules, timeout, pass_timeout } => default_group(url, *rules, *timeout, *pass_timeout)
                .map_err(|what| ConfigError { file: "--origin".into(), line: 1, field: "default".into(), what }),
        }
    }
}

impl GroupFiles {
    /// Returns a digest, which differs where anything has changed.
    pub fn digest(&self) -> Hash {
        let mut all = Vec::new();
        for (name, content) in &self.0 {
            let bytes = match content {
                Ok(bytes) => bytes.as_slice(),
                Err(error) => error.as_bytes(),
            };
            for part in [name.as_bytes(), bytes] {
                all.extend_from_slice(&part.len().to_le_bytes());
                all.extend_from_slice(part);
            }
        }
        Hash::of(&all)
    }

    fn load(&self, identity: Identity) -> Result<LoadedGroups, ConfigError> {
        let (mut all, mut origins) = (Config::default(), Vec::new());
        for (file, content) in &self.0 {
            let (config, positions) = parse(file, content)?;
            if let Some(what) = config.debuggers.iter().find_map(|pattern| unknowable(pattern, identity)) {
                return Err(ConfigError {
                    file: file.clone(),
                    line: positions.line_of("debuggers"),
                    field: "debuggers".into(),
                    what,
                });
            }
            let positions = Arc::new(positions);
            origins.extend((0..config.groups.len()).map(|n| (file.clone(), n, positions.clone())));
            all.debuggers.extend(config.debuggers);
            all.groups.extend(config.groups);
        }
        let mut loaded = LoadedGroups { config: all.clone(), groups: Arc::default(), warnings: Vec::new(), origins };
        match Groups::new(all) {
            Ok(groups) => loaded.groups = Arc::new(groups),
            Err(problem) => return Err(loaded.locate(problem)),
        }
        if let Some(problem) = unknowable_callers(&loaded.config, identity).into_iter().next() {
            return Err(loaded.locate(problem));
        }
        loaded.warnings = check::warnings(&loaded.config).into_iter().map(|problem| loaded.locate(problem)).collect();
        Ok(loaded)
    }
}

/// Returns the fields of groups that name callers whom nobody can be.
pub(super) fn unknowable_callers(config: &Config, identity: Identity) -> Vec<Problem> {
    let of = |n: usize, field: &str, patterns: &[CallerPattern]| {
        let what = patterns.iter().find_map(|pattern| unknowable(pattern, identity))?;
        Some(Problem { group: Some(n), field: field.to_owned(), what })
    };
    let is_guarded = |group: &GroupConfig| !group.callers.iter().any(CallerPattern::is_everybody);
    let callers = |(n, group): (usize, &GroupConfig)| of(n, "callers", &group.callers).filter(|_| is_guarded(group));
    let all = || config.groups.iter().enumerate();
    all().filter_map(callers).chain(all().filter_map(|(n, group)| of(n, "fillers", &group.fillers))).collect()
}

/// Returns why no caller can match a pattern, if so.
pub(super) fn unknowable(pattern: &CallerPattern, identity: Identity) -> Option<String> {
    let what = match identity {
        _ if pattern.is_everybody() => return None,
        Identity::None => "xfcc or tls: without it no caller has an identity, and only `*` matches",
        Identity::Xfcc if pattern.is_dns() => "tls: DNS names are read from certificates alone",
        Identity::Xfcc | Identity::Tls => return None,
    };
    Some(format!("`{pattern}` needs --identity {what}"))
}

impl LoadedGroups {
    /// Adds its place to a problem.
    pub fn locate(&self, problem: Problem) -> ConfigError {
        let Some((file, n, positions)) = problem.group.and_then(|n| self.origins.get(n)) else {
            let file = self.origins.first().map_or_else(|| "--origin".to_owned(), |(file, _, _)| file.clone());
            return ConfigError { file, line: 1, field: problem.field, what: problem.what };
        };
        let field = format!("groups[{n}].{}", problem.field);
        ConfigError { file: file.clone(), line: positions.line_of(&field), field, what: problem.what }
    }
}

/// Returns the group that `--origin` stands for: a cache as RFC 9111 describes it, for every host and path.
fn default_group(url: &OriginUrl, errors: Errors, timeout: Span, pass_timeout: Span) -> Result<LoadedGroups, String> {
    let config: Config = serde_json::from_value(serde_json::json!({"version": 1, "groups": [{
        "name": "default",
        "match": {"hosts": ["*"]},
        "origin": {"url": url, "timeout": timeout, "passTimeout": pass_timeout},
        // A plain reverse proxy, also where callers have an identity.
        "passThrough": {"methods": ["*"], "otherPaths": true},
        "freshness": {"heuristic": true, "errors": errors, "requestDirectives": "obey", "targets": ["MeshCache-Control", "CDN-Cache-Control"]},
    }]}))
    .map_err(|error| error.to_string())?;
    let groups = Groups::new(config.clone()).map_err(|problem| problem.to_string())?;
    Ok(LoadedGroups { config, groups: Arc::new(groups), warnings: Vec::new(), origins: Vec::new() })
}

/// Reads a file, or a directory's *.yaml files in the order of their names. Hidden ones (a ConfigMap's `..data`) are
/// skipped.
fn files(path: &Path, read: fn(&Path) -> io::Result<Vec<u8>>) -> Vec<(String, Result<Vec<u8>, String>)> {
    let name = path.display().to_string();
    let cannot = |error: &io::Error| format!("cannot be read: {error}");
    let listed = match std::fs::metadata(path) {
        Ok(meta) if meta.is_dir() => std::fs::read_dir(path)
            .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()),
        Ok(_) => Ok(vec![path.to_owned()]),
        Err(error) => Err(error),
    };
    let mut listed = match listed {
        Ok(listed) => listed,
        Err(error) => return vec![(name, Err(cannot(&error)))],
    };
    if listed != [path] {
        let hidden = |path: &Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        listed.retain(|path| {
            path.extension().is_some_and(|end| end == "yaml" || end == "yml") && !hidden(path) && path.is_file()
        });
        listed.sort();
    }
    if listed.is_empty() {
        return vec![(name, Err("has no *.yaml file".into()))];
    }
    listed.into_iter().map(|path| (path.display().to_string(), read(&path).map_err(|error| cannot(&error)))).collect()
}

fn parse(file: &str, content: &Result<Vec<u8>, String>) -> Result<(Config, YamlPositions), ConfigError> {
    let text = text(file, content)?;
    let positions = YamlPositions::of(text);
    let config = config(file, text, &positions)?;
    match bad_version(file, &config, &positions) {
        Some(bad) => Err(bad),
        None => Ok((config, positions)),
    }
}

/// Returns a file's text, if it has one.
pub(super) fn text<'t>(file: &str, content: &'t Result<Vec<u8>, String>) -> Result<&'t str, ConfigError> {
    let wrong = |line, what: String| ConfigError { file: file.to_owned(), line, field: "file".into(), what };
    let bytes = content.as_ref().map_err(|error| wrong(1, error.clone()))?;
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        wrong(1 + before.iter().filter(|b| **b == b'\n').count() as u64, "is not UTF-8".into())
    })?;
    if text.trim().is_empty() { Err(wrong(1, "is empty".into())) } else { Ok(text) }
}

/// Reads a text. `positions`: of the text, or of the one of which it is a part.
pub(super) fn config(file: &str, text: &str, positions: &YamlPositions) -> Result<Config, ConfigError> {
    let wrong =
        |line, field: &str, what: String| ConfigError { file: file.to_owned(), line, field: field.to_owned(), what };
    serde_saphyr::from_str(text).map_err(|error| {
        let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
        let what = plain_message(&error, line, column);
        // A field that is missing at the end is reported after the last line.
        let line = line.clamp(1, text.lines().count().max(1) as u64);
        match positions.field_at(line, column) {
            // A missing field has no position, and the parser reports that of a field beside it: the one around both is
            // meant.
            Some(beside) if what.starts_with("missing field") => {
                let around = beside.rsplit_once('.').map_or("file", |(around, _)| around);
                wrong(positions.line_of(around), around, what)
            }
            Some(field) => wrong(line, field, what),
            None => wrong(line, "file", what),
        }
    })
}

/// Refuses a version of a later format.
pub(super) fn bad_version(file: &str, config: &Config, positions: &YamlPositions) -> Option<ConfigError> {
    let what = || format!("{} is not a version of this format (1)", config.version);
    let (file, line, field) = (file.to_owned(), positions.line_of("version"), "version".to_owned());
    (config.version != 1).then(|| ConfigError { file, line, field, what: what() })
}

/// Returns the parser's message on one line, without its position and without Rust's names of types.
fn plain_message(error: &serde_saphyr::Error, line: u64, column: u64) -> String {
    let message = error.without_snippet().render_with_formatter(&UserMessageFormatter);
    let message = message.lines().collect::<Vec<_>>().join(" ");
    let message = message.strip_suffix(&format!(" at line {line}, column {column}")).unwrap_or(&message);
    if let Some(suggested) = did_you_mean(message) {
        return suggested;
    }
    match message {
        "expected mapping start" => "expected fields (name: value)".into(),
        "expected sequence start" => "expected a list ([..])".into(),
        "invalid boolean" => "expected true or false".into(),
        "invalid u8" | "invalid u16" | "invalid u32" | "invalid u64" => "expected a whole number, 0 or more".into(),
        "unexpected end of file" => "there is nothing in it".into(),
        other => other.to_owned(),
    }
}

/// How alike two words are of which one is taken for the other, as clap has it for flags.
const ALIKE: f64 = 0.7;

/// Adds the field or the word that was probably meant: ``unknown field `a` (did you mean `b`?), expected one of b, c``.
fn did_you_mean(message: &str) -> Option<String> {
    let (unknown, known) = message.split_once("`, expected ")?;
    let word = unknown.strip_prefix("unknown field `").or_else(|| unknown.strip_prefix("unknown variant `"))?;
    let words = known.trim_start_matches("one of ").split([',', ' ', '`']).filter(|known| !known.is_empty());
    let alike = |known: &str| strsim::jaro(&word.to_lowercase(), &known.to_lowercase());
    let (meant, how) = words.map(|known| (known, alike(known))).max_by(|a, b| a.1.total_cmp(&b.1))?;
    (how > ALIKE).then(|| format!("{unknown}` (did you mean `{meant}`?), expected {known}"))
}
