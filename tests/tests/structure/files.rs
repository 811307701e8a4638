//! How long files are, and one way to lay out a module with children.

use std::collections::BTreeSet;

/// Above this a file says in its head why it is long: a `//!` line among the first five that contains `Long:`.
const MOST_LINES: usize = 350;
/// No file of a crate's `src/` is longer, whatever its head says.
const MOST_LINES_IN_SRC: usize = 450;
/// Half of the files of the crates' `src/` are not longer.
const MEDIAN_LINES_IN_SRC: usize = 130;

/// A file by its path from the repository on.
pub(crate) struct SourceFile {
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) is_in_src: bool,
}

/// Files that are too long, and a median that is.
pub(crate) fn too_long(files: &[SourceFile]) -> Vec<String> {
    let mut problems = Vec::new();
    for file in files {
        let lines = file.text.lines().count();
        let says_why = file.text.lines().take(5).any(|line| line.starts_with("//!") && line.contains("Long:"));
        if file.is_in_src && lines > MOST_LINES_IN_SRC {
            problems.push(format!("{}: {lines} lines, in src/ at most {MOST_LINES_IN_SRC}", file.path));
        } else if lines > MOST_LINES && !says_why {
            problems.push(format!("{}: {lines} lines, and no `//! Long: ...` says why", file.path));
        }
    }
    let mut lengths: Vec<usize> =
        files.iter().filter(|file| file.is_in_src).map(|file| file.text.lines().count()).collect();
    lengths.sort_unstable();
    match lengths.get(lengths.len() / 2) {
        Some(median) if *median > MEDIAN_LINES_IN_SRC => {
            problems.push(format!("the median file in src/ has {median} lines, at most {MEDIAN_LINES_IN_SRC}"));
        }
        _ => {}
    }
    problems
}

/// Modules as `x.rs` beside `x/`, where the tree has `x/mod.rs`.
pub(crate) fn beside_their_folders(files: &[SourceFile]) -> Vec<String> {
    let folders: BTreeSet<&str> =
        files.iter().filter_map(|file| file.path.rsplit_once('/')).map(|(folder, _)| folder).collect();
    let has_folder =
        |path: &str| folders.iter().any(|folder| *folder == path || folder.starts_with(&format!("{path}/")));
    files
        .iter()
        .filter(|file| file.path.strip_suffix(".rs").is_some_and(has_folder))
        .map(|file| {
            format!("{0}: its children lie in {1}/, so it is {1}/mod.rs", file.path, file.path.trim_end_matches(".rs"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, head: &str, lines: usize) -> SourceFile {
        SourceFile {
            path: path.to_owned(),
            text: format!("{head}\n{}", "\n".repeat(lines - 1)),
            is_in_src: path.contains("/src/"),
        }
    }

    #[test]
    fn a_long_file_says_why_and_no_reason_is_good_enough_for_a_very_long_one() {
        let why = "//! A table. Long: one row for each reason.";
        assert!(too_long(&[file("a/src/b.rs", "", 130), file("a/tests/c.rs", why, 900)]).is_empty());
        let problems = too_long(&[
            file("a/src/short.rs", "", 10),
            file("a/src/short_too.rs", "", 10),
            file("a/src/with.rs", why, 450),
            file("a/src/very.rs", why, 451),
            file("a/tests/without.rs", "", 351),
        ]);
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems[0].starts_with("a/src/very.rs: 451 lines, in src/"), "{problems:?}");
        assert!(problems[1].starts_with("a/tests/without.rs: 351 lines, and no"), "{problems:?}");
        assert!(problems[2].starts_with("the median file in src/ has 450 lines"), "{problems:?}");
    }

    #[test]
    fn a_module_lies_in_the_folder_of_its_children() {
        let files = |own| [file(own, "", 1), file("a/src/b/c/d.rs", "", 1), file("a/src/bc.rs", "", 1)];
        assert!(beside_their_folders(&files("a/src/b/mod.rs")).is_empty());
        assert_eq!(
            beside_their_folders(&files("a/src/b.rs")),
            ["a/src/b.rs: its children lie in a/src/b/, so it is a/src/b/mod.rs"]
        );
    }
}
