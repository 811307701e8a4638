//! The README: what it tells people to type exists.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;

use meshcache_tests::{Coordinator, artifact};

fn text(file: &str) -> String {
    std::fs::read_to_string(artifact::file(file)).unwrap()
}

/// The words that follow `before` wherever it stands in code.
fn words_after(text: &str, before: &str) -> BTreeSet<String> {
    let word =
        |rest: &str| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect::<String>();
    text.split(before).skip(1).map(word).filter(|word| !word.is_empty()).collect()
}

#[test]
fn every_make_command_in_the_readme_is_a_target() {
    let makefile = text("Makefile");
    let targets: BTreeSet<&str> =
        makefile.lines().filter_map(|line| line.split_once(':')).map(|(target, _)| target).collect();
    let readme = text("README.md");
    let commands: BTreeSet<String> =
        ["`make ", "$ make "].iter().flat_map(|before| words_after(&readme, before)).collect();
    assert!(commands.contains("demo") && commands.contains("test"), "{commands:?}");
    let missing: Vec<_> = commands.iter().filter(|command| !targets.contains(command.as_str())).collect();
    assert!(missing.is_empty(), "the Makefile has no {missing:?}");
}

#[test]
fn every_metric_in_what_people_read_is_in_the_list_that_is_held_against_a_coordinator() {
    let names = |file: &str| {
        ["`meshcache_", "`groupcache_", "`kubegroup_"]
            .iter()
            .flat_map(|before| words_after(&text(file), before))
            .collect::<BTreeSet<String>>()
    };
    let list = names("docs/metrics.md");
    for (file, least) in [
        ("README.md", 10),
        ("docs/kubernetes.md", 10),
        ("docs/istio.md", 3),
        ("docs/overload.md", 1),
        ("docs/purge.md", 1),
        ("docs/discovery.md", 2),
        ("docs/tls.md", 1),
        ("docs/origins.md", 2),
        ("docs/logs.md", 3),
        ("docs/traces.md", 1),
        ("docs/why.md", 2),
        ("docs/envoy.md", 1),
    ] {
        let told = names(file);
        assert!(told.len() >= least, "{file}: {told:?}");
        // Those of `meshcache_filter_` are on each Envoy's own page.
        let missing: Vec<_> = told.difference(&list).filter(|name| !name.starts_with("filter_")).collect();
        assert!(missing.is_empty(), "docs/metrics.md has no {missing:?}, which {file} names");
    }
}

#[tokio::test]
async fn every_flag_in_the_readme_is_in_the_help() {
    let mut known = BTreeSet::new();
    for command in ["serve", "why", "top", "tail", "stat", "check"] {
        let (status, help) = Coordinator::run(&[command, "--help"]).await;
        assert!(status.success(), "{help}");
        known.extend(words_after(&help, "--"));
    }
    let readme = text("README.md");
    let flags: BTreeSet<String> = readme
        .lines()
        .filter(|line| ["$ meshcache", "`meshcache ", "| `--"].iter().any(|before| line.contains(before)))
        .flat_map(|line| words_after(line, "--"))
        .collect();
    let missing: Vec<_> =
        flags.iter().filter(|flag| flag.chars().any(char::is_alphabetic) && !known.contains(*flag)).collect();
    assert!(missing.is_empty(), "--help has no {missing:?}");
}

#[tokio::test]
async fn every_flag_has_a_variable_of_its_name() {
    let (_, help) = Coordinator::run(&["--help"]).await;
    let flags: Vec<&str> = help.split("\n      --").skip(1).collect();
    assert!(flags.len() > 40, "{help}");
    for text in flags {
        let flag = text.split_whitespace().next().unwrap();
        let variable = format!("[env: MESHCACHE_{}=]", flag.to_uppercase().replace('-', "_"));
        assert!(text.contains(&variable), "--{flag} has no {variable}");
    }
}

#[tokio::test]
async fn every_change_that_the_page_of_cases_shows_is_accepted() {
    let page = text("docs/why.md");
    let diffs: Vec<&str> = page.split("```diff\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(diffs.len() > 5, "{}", diffs.len());
    let folder = tempfile::tempdir().unwrap();
    for diff in diffs {
        let changed: Vec<&str> = diff.lines().filter(|line| !line.starts_with('-')).map(|line| &line[1..]).collect();
        let mut file =
            format!("version: 1\ngroups:\n{}\n    match: {{hosts: [shop.example.com]}}\n", changed.join("\n"));
        if !file.contains("origin:") {
            file.push_str("    origin: {url: \"http://shop:8080\"}\n");
        }
        let path = folder.path().join("groups.yaml");
        std::fs::write(&path, &file).unwrap();
        let (status, said) =
            Coordinator::run(&["check", "--identity", "xfcc", "--config", path.to_str().unwrap()]).await;
        assert!(status.success(), "{said}\n{file}");
    }
}
