//! The tree is what README and docs/architecture.md say, its imports go one way, and its files are short.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod files;
mod imports;
mod layout;
mod rooms;
mod source;
mod uses;

use std::path::{Path, PathBuf};

use files::SourceFile;
use imports::Imports;

/// Rules that the tree does not keep yet: what breaks them is printed and does not fail.
const PENDING: &[&str] = &[];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn page(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap_or_default()
}

/// Fails with the problems, unless the rule is pending.
fn hold(rule: &str, problems: &[String]) {
    let listed = problems.join("\n  ");
    if PENDING.contains(&rule) {
        println!("{rule}: {} problems, not held yet\n  {listed}", problems.len());
    } else {
        assert!(problems.is_empty(), "{rule}:\n  {listed}");
    }
}

/// The workspace's crates that ship, as their folders: all members but the tests.
fn crates() -> Vec<String> {
    let manifest = page("Cargo.toml");
    let members = manifest.lines().find_map(|line| line.strip_prefix("members = ")).expect("one line of members");
    let names = members.split('"').skip(1).step_by(2);
    names.filter(|name| !name.starts_with("tests")).map(str::to_owned).collect()
}

fn sources() -> Vec<String> {
    crates().iter().map(|name| format!("{name}/src")).collect()
}

/// All files below a folder whose names end in `.rs`, as paths from the repository on.
fn rust_files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::from(folder)];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(repository().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                found.push(path.to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn imports(name: &str) -> Imports {
    let source = format!("{name}/src/");
    let files: Vec<_> =
        rust_files(&source).iter().map(|path| (path.strip_prefix(&source).unwrap().to_owned(), page(path))).collect();
    Imports::read(&format!("meshcache_{name}"), &files)
}

#[test]
fn no_file_imports_itself_through_others() {
    let mut problems = Vec::new();
    for name in crates() {
        let imports = imports(&name);
        assert!(imports.edges().next().is_some(), "{name}: its imports were not read");
        problems.extend(imports.cycles().into_iter().map(|cycle| format!("{name}/src: {cycle}")));
    }
    hold("cycles", &problems);
}

#[test]
fn rooms_import_what_the_architecture_page_says() {
    let tables = rooms::tables(&page("docs/architecture.md"), &sources());
    let mut problems = Vec::new();
    for name in crates() {
        let source = format!("{name}/src");
        match tables.get(&source) {
            None => problems.push(format!("docs/architecture.md has no table of the rooms of {source}")),
            Some(rooms) => {
                let found = rooms::differences(rooms, imports(&name).edges());
                problems.extend(found.into_iter().map(|problem| format!("{source}: {problem}")));
            }
        }
    }
    hold("rooms", &problems);
}

#[test]
fn the_layout_that_people_read_is_the_one_that_is_there() {
    let (readme, architecture) = (page("README.md"), page("docs/architecture.md"));
    let start = layout::section(&readme, "## Where to start reading");
    assert!(start.iter().flat_map(|line| layout::paths(line)).count() > 5, "README has a layout");
    let exists = |path: &str| repository().join(path).exists();
    let mut problems = layout::missing(&start, &[], &exists);
    problems.extend(layout::missing(&architecture.lines().collect::<Vec<_>>(), &sources(), &exists));
    for source in sources() {
        let mut entries: Vec<String> = rust_files(&source)
            .iter()
            .map(|path| rooms::room(path.strip_prefix(&source).unwrap().trim_start_matches('/')))
            .collect();
        entries.dedup();
        problems.extend(layout::unnamed(&architecture, &source, &entries));
    }
    hold("layout", &problems);
}

fn all_files() -> Vec<SourceFile> {
    let folders: Vec<String> = crates().into_iter().chain(["tests".to_owned(), "fuzz".to_owned()]).collect();
    let paths = folders.iter().flat_map(|folder| rust_files(folder));
    let in_src = |path: &str| sources().iter().any(|source| path.starts_with(&format!("{source}/")));
    paths.map(|path| SourceFile { text: page(&path), is_in_src: in_src(&path), path }).collect()
}

#[test]
fn files_are_short_or_say_why_they_are_not() {
    hold("lengths", &files::too_long(&all_files()));
}

#[test]
fn a_module_with_children_is_the_mod_rs_of_their_folder() {
    hold("module style", &files::beside_their_folders(&all_files()));
}
