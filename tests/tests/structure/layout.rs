//! What README and docs/architecture.md say about folders and files.

/// The lines below a heading, up to the next one of the same depth.
pub(crate) fn section<'a>(text: &'a str, heading: &str) -> Vec<&'a str> {
    let depth = heading.bytes().take_while(|c| *c == b'#').count();
    let is_end = |line: &&str| {
        let hashes = line.bytes().take_while(|c| *c == b'#').count();
        !(1..=depth).contains(&hashes)
    };
    text.lines().skip_while(|line| *line != heading).skip(1).take_while(is_end).collect()
}

/// Paths in the lines' code spans that lead nowhere. A path is looked for from the repository on, in the `src/`
/// folders, and below the first path of its line.
pub(crate) fn missing(lines: &[&str], sources: &[String], exists: &dyn Fn(&str) -> bool) -> Vec<String> {
    let mut missing = Vec::new();
    for line in lines {
        let paths = paths(line);
        let first = paths.first().map_or("", |path| path.trim_end_matches('/'));
        for path in &paths {
            let mut places = vec![path.to_string(), format!("{first}/{path}"), format!("{first}/src/{path}")];
            places.extend(sources.iter().map(|source| format!("{source}/{path}")));
            places.extend(sources.iter().map(|source| format!("{source}/{first}/{path}")));
            if !places.iter().any(|place| exists(place)) {
                missing.push(format!("`{path}` is not there: {line}"));
            }
        }
    }
    missing
}

/// Code spans that are paths: folders with a slash at the end, files with an extension that the repository has.
pub(crate) fn paths(line: &str) -> Vec<&str> {
    let is_path = |span: &&str| {
        let is_plain =
            span.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c)) && !span.starts_with(['/', '.']);
        let is_file = [".rs", ".md", ".toml", ".yaml", ".json", ".mjs"].iter().any(|end| span.ends_with(end));
        is_plain && (is_file || span.ends_with('/'))
    };
    line.split('`').skip(1).step_by(2).filter(is_path).collect()
}

/// Folders and root files of a crate's `src/` that the page does not name, by its path there or from the repository on.
pub(crate) fn unnamed(page: &str, source: &str, entries: &[String]) -> Vec<String> {
    let named: Vec<&str> = page.lines().flat_map(paths).collect();
    let is_named = |entry: &&String| {
        named.iter().any(|path| *path == *entry || path.strip_prefix(source) == Some(&format!("/{entry}")))
    };
    entries.iter().filter(|entry| !is_named(entry)).map(|entry| format!("{source}/{entry} is not named")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str =
        "# A\n| `x/` | `y.rs` tells, `make demo` runs |\n## B\n`z.md` and `wire::Verdict`\n# C\n`other.rs`";

    #[test]
    fn a_section_ends_with_the_next_heading_of_its_depth() {
        assert_eq!(section(PAGE, "# A").len(), 3);
        assert_eq!(section(PAGE, "## B"), ["`z.md` and `wire::Verdict`"]);
        assert!(section(PAGE, "# D").is_empty());
    }

    #[test]
    fn a_path_that_is_not_there_is_told() {
        let there = ["x/", "x/src/y.rs", "z.md"];
        let lines = section(PAGE, "# A");
        assert!(missing(&lines, &[], &|path| there.contains(&path)).is_empty());
        let problems = missing(&lines, &[], &|path| there[..2].contains(&path));
        assert_eq!(problems, ["`z.md` is not there: `z.md` and `wire::Verdict`"]);
        assert!(
            missing(&lines, &["c/src".to_owned()], &|path| ["x/", "c/src/y.rs", "c/src/z.md"].contains(&path))
                .is_empty()
        );
    }

    #[test]
    fn what_the_page_leaves_out_is_told() {
        let entries = ["x/", "y.rs"].map(str::to_owned);
        assert!(unnamed(PAGE, "c/src", &entries).is_empty());
        assert!(unnamed("`c/src/x/` and `c/src/y.rs`", "c/src", &entries).is_empty());
        assert_eq!(unnamed("`x/`", "c/src", &entries), ["c/src/y.rs is not named"]);
    }
}
