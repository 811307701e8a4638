//! Pages name tests, files, headings and each other: each of them is there.
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
    ["protocol", "proxy", "filter", "native", "coordinator", "tests"]
        .iter()
        .for_each(|part| functions(&root.join(part), &mut found));
    let pages = [
        ("docs/http.md", 100),
        ("docs/compatibility.md", 13),
        ("docs/architecture.md", 20),
        ("docs/traces.md", 0),
        ("CONTRIBUTING.md", 10),
    ];
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
    assert_eq!(rows.len(), 20);
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

/// All pages, by their paths from the root, with their texts.
fn pages(root: &Path) -> Vec<(String, String)> {
    let docs =
        fs::read_dir(root.join("docs")).unwrap().map(|entry| format!("docs/{}", entry.unwrap().file_name().display()));
    let all = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "charts/meshcache/README.md"];
    let names = all.into_iter().map(str::to_owned).chain(docs).filter(|name| name.ends_with(".md"));
    names.map(|name| (name.clone(), fs::read_to_string(root.join(&name)).unwrap())).collect()
}

/// The anchor of a heading, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    heading.chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c)).collect::<String>().replace(' ', "-")
}

#[test]
fn each_link_of_a_page_leads_to_a_file_and_a_heading() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let (mut seen, mut wrong) = (0, Vec::new());
    for (page, text) in pages(root) {
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://")) {
            seen += 1;
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let file = if path.is_empty() { root.join(&page) } else { root.join(&page).with_file_name(path) };
            let has = |text: String| text.lines().any(|line| line.starts_with('#') && anchor(line) == heading);
            if !file.exists() || (!heading.is_empty() && !fs::read_to_string(file).is_ok_and(has)) {
                wrong.push(format!("{page}: {link}"));
            }
        }
    }
    assert!(seen > 100 && wrong.is_empty(), "{seen} links, these lead nowhere: {wrong:#?}");
}

#[test]
fn the_index_lists_each_page() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let index = fs::read_to_string(root.join("docs/README.md")).unwrap();
    let all = pages(root);
    let mut named = all.iter().filter_map(|(page, _)| page.strip_prefix("docs/")).filter(|page| *page != "README.md");
    let missing: Vec<_> = named.by_ref().filter(|page| !index.contains(&format!("]({page}"))).collect();
    assert!(missing.is_empty(), "docs/README.md lacks {missing:?}");
}
