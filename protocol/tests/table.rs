//! Pages name tests: each of them is there.
#![cfg(not(target_family = "wasm"))]
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, fs, path::Path};

/// The names of all functions below a folder.
fn functions(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && entry.file_name() != "target" {
            functions(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path).unwrap_or_default();
            found.extend(text.split("fn ").skip(1).filter_map(|rest| rest.split('(').next()).map(str::to_owned));
        }
    }
}

/// The names of tests in a text.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split('`').skip(1).step_by(2);
    // They are sentences: no header, directive or option has four underscores or is that long.
    words
        .filter(|word| {
            word.len() > 16
                && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
                && word.matches('_').count() > 2
        })
        .collect()
}

#[test]
fn each_test_that_a_page_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = BTreeSet::new();
    ["protocol", "proxy", "filter", "coordinator", "tests"]
        .iter()
        .for_each(|part| functions(&root.join(part), &mut found));
    let pages =
        [("docs/http.md", 100), ("docs/compatibility.md", 13), ("docs/architecture.md", 20), ("CONTRIBUTING.md", 10)];
    for (page, least) in pages {
        let text = fs::read_to_string(root.join(page)).unwrap();
        let named = named(&text);
        let missing: Vec<_> = named.iter().filter(|name| !found.contains(**name)).collect();
        assert!(named.len() > least && missing.is_empty(), "{page}: {} named, not there: {missing:#?}", named.len());
    }
}

#[test]
fn each_row_of_what_other_parts_do_names_a_test() {
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/compatibility.md"))
            .unwrap();
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| ")).skip(2).collect();
    assert_eq!(rows.len(), 14);
    for row in rows {
        let held_by = row.trim_end_matches(" |").rsplit(" | ").next().unwrap_or_default();
        assert!(row.split(" | ").count() == 5 && !named(held_by).is_empty(), "{row}");
    }
}

#[test]
fn each_test_of_freshness_is_in_the_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = fs::read_to_string(root.join("docs/http.md")).unwrap();
    let (mut tests, mut folders) = (Vec::new(), vec![root.join("protocol/src/freshness")]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
                continue;
            }
            let text = fs::read_to_string(entry.path()).unwrap();
            tests.extend(
                text.split("#[test]\n")
                    .skip(1)
                    .filter_map(|rest| rest.trim_start().strip_prefix("fn ")?.split('(').next().map(str::to_owned)),
            );
        }
    }
    assert!(tests.len() > 100, "{}", tests.len());
    let missing: Vec<_> = tests.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "not in docs/http.md: {missing:#?}");
}
