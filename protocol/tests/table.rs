//! docs/http.md names tests: each of them is there.
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

#[test]
fn each_test_that_the_table_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = BTreeSet::new();
    ["protocol", "filter", "coordinator", "tests"].iter().for_each(|part| functions(&root.join(part), &mut found));
    let page = fs::read_to_string(root.join("docs/http.md")).unwrap();
    let words = page.split('`').skip(1).step_by(2);
    // Names of tests are sentences: no header, directive or option has four underscores or is that long.
    let named: BTreeSet<_> = words
        .filter(|word| word.len() > 16 && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') && word.matches('_').count() > 2)
        .collect();
    let missing: Vec<_> = named.iter().filter(|name| !found.contains(**name)).collect();
    assert!(named.len() > 100 && missing.is_empty(), "{} named, not there: {missing:#?}", named.len());
}

#[test]
fn each_test_of_freshness_is_in_the_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = fs::read_to_string(root.join("docs/http.md")).unwrap();
    let mut tests = Vec::new();
    for entry in fs::read_dir(root.join("protocol/src/freshness")).unwrap().flatten() {
        let text = fs::read_to_string(entry.path()).unwrap();
        tests.extend(text.split("#[test]\n").skip(1).filter_map(|rest| rest.trim_start().strip_prefix("fn ")?.split('(').next().map(str::to_owned)));
    }
    let missing: Vec<_> = tests.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "not in docs/http.md: {missing:#?}");
}
