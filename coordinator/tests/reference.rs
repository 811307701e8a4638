//! The references that a coordinator gives: docs/cli.md is what the flags say of themselves, docs/metrics.md what a
//! running one exports. `UPDATE=1 cargo test -p meshcache-coordinator --test reference` writes them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, unreachable_pub)]
#[path = "../../tests/src/certificates.rs"]
mod certificates;
mod support;

use clap::{Arg, Command, CommandFactory};
use meshcache_coordinator::program::{Name, Program};
use std::{collections::BTreeMap, fmt::Write, path::Path};
use support::{Origin, Running, file, get, send};

fn page(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs").join(name)
}

/// Holds a page to what it should be, or writes it.
fn hold(name: &str, made: &str) {
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(page(name), made).unwrap();
    }
    assert!(
        std::fs::read_to_string(page(name)).unwrap() == made,
        "docs/{name} is not what the sources say: UPDATE=1 cargo test -p meshcache-coordinator --test reference writes it"
    );
}

fn shown(command: &Command) -> Vec<&Arg> {
    command
        .get_arguments()
        .filter(|arg| !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str()))
        .collect()
}

fn text(arg: &Arg) -> String {
    let text = arg.get_long_help().or_else(|| arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let paragraphs = text.split("\n\n").map(|one| one.split_whitespace().collect::<Vec<_>>().join(" "));
    paragraphs.map(|one| format!("{}.", one.trim_end_matches('.'))).collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn row(page: &mut String, arg: &Arg) {
    let value = arg.get_value_names().and_then(|names| names.first()).filter(|_| arg.get_action().takes_values());
    let name = match (arg.get_long(), value) {
        (Some(long), Some(value)) => format!("--{long} {value}"),
        (Some(long), None) => format!("--{long}"),
        (None, value) => value.map_or_else(|| arg.get_id().to_string(), ToString::to_string),
    };
    let variable = arg.get_env().map_or_else(String::new, |name| format!("`{}`", name.display()));
    let default: Vec<String> = arg.get_default_values().iter().map(|one| format!("`{}`", one.display())).collect();
    let required = if arg.is_required_set() { "required".to_owned() } else { default.join(", ") };
    writeln!(page, "| `{}` | {variable} | {required} | {} |", name.replace('|', "\\|"), text(arg)).unwrap();
}

const HEAD: &str = "| flag | variable | default | what it is |\n| --- | --- | --- | --- |\n";

#[test]
fn the_page_of_the_command_line_is_what_the_flags_say() {
    let program = Program::command();
    let serve = program.find_subcommand("serve").unwrap();
    let found = std::fs::read_to_string(page("cli.md")).unwrap();
    let (intro, _) = found.split_once("\n## Serve\n").expect("the page has its introduction by hand");
    let mut made = format!("{intro}\n## Serve\n");
    let mut sections: Vec<&str> = Vec::new();
    for arg in shown(serve) {
        let heading = arg.get_help_heading().expect("each flag is in a section of the help");
        if !sections.contains(&heading) {
            sections.push(heading);
        }
    }
    for section in sections {
        write!(made, "\n### {section}\n\n{HEAD}").unwrap();
        let of_section = |arg: &&&Arg| arg.get_help_heading() == Some(section);
        shown(serve).iter().filter(of_section).for_each(|arg| row(&mut made, arg));
    }
    for command in program.get_subcommands().filter(|command| !["help", "serve"].contains(&command.get_name())) {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        write!(made, "\n## `meshcache {}`\n\n{}.\n", command.get_name(), about.trim_end_matches('.')).unwrap();
        let flags = shown(command);
        if !flags.is_empty() {
            write!(made, "\n{HEAD}").unwrap();
            flags.iter().for_each(|arg| row(&mut made, arg));
        }
    }
    hold("cli.md", &made);
}

fn help_of(name: Name) -> (String, String) {
    let mut program = Program::of_name(name);
    (program.render_help().to_string(), program.render_long_help().to_string())
}

#[test]
fn help_fits_eighty_columns_and_the_short_one_a_line_or_two_for_each_flag() {
    let program = Program::of_name(Name::Meshcache);
    let mut helps =
        vec![("meshcache".to_owned(), help_of(Name::Meshcache)), ("kubectl".to_owned(), help_of(Name::Kubectl))];
    for command in program.get_subcommands() {
        let mut command = command.clone().term_width(80);
        let name = command.get_name().to_owned();
        helps.push((name, (command.render_help().to_string(), command.render_long_help().to_string())));
    }
    for (name, (short, long)) in &helps {
        // The usage is one line by itself, however long.
        for line in short.lines().chain(long.lines()).filter(|line| !line.starts_with("Usage: ")) {
            assert!(line.chars().count() <= 80, "{name}: {line}");
        }
        let hidden = program.find_subcommand(name).is_some_and(clap::Command::is_hide_set);
        if !hidden && name != "kubecache" {
            assert!(short.contains("Examples:"), "{name}: {short}");
        }
    }
    let (short, long) = &helps.iter().find(|(name, _)| name == "serve").unwrap().1;
    assert!(4 * short.len() < 3 * long.len());
    assert!(short.contains("Ports:"), "{short}");
}

#[test]
fn the_help_lists_each_command_that_is_not_hidden_and_says_how_the_program_was_called() {
    let (meshcache, _) = help_of(Name::Meshcache);
    let (plugin, _) = help_of(Name::Kubectl);
    for command in Program::command().get_subcommands().filter(|command| !command.is_hide_set()) {
        assert!(meshcache.contains(&format!("\n  {:<12} ", command.get_name())), "{}: {meshcache}", command.get_name());
    }
    assert!(plugin.contains("Usage: kubectl meshcache "), "{plugin}");
}

/// Metrics whose series begin with the first thing that they count: src/origin/tests/addresses.rs, window.rs and fill.rs
/// see them.
const BEGIN_LATER: [&str; 3] =
    ["meshcache_origin_address_failures_total", "meshcache_continued_total", "meshcache_fills_total"];

/// What a coordinator exports that has used all that it has.
async fn exported() -> String {
    let origin = Origin::start().await;
    let (folder, authority) = (tempfile::tempdir().unwrap(), certificates::Authority::new());
    let (cert, key) = authority.issue(&["me"]).write(folder.path(), "me");
    certificates::replace(&folder.path().join("ca.pem"), &authority.pem());
    let [cert, key, ca] = [cert, key, folder.path().join("ca.pem")].map(|path| path.to_str().unwrap().to_owned());
    let tls = ["--peer-cert", &cert, "--peer-key", &key, "--peer-ca", &ca];
    let arguments = ["--origin", &origin.url, "--request-metrics", "kubecache"];
    let running = Running::start(&[&arguments[..], &tls].concat()).await;
    for path in ["/a", "/a", "/private"] {
        assert_eq!(get(running.ports.data, path).await.status, 200, "{path}");
    }
    let question = r#"{"wire": 1, "proxy": "p", "filter_version": "0.1.0", "requests": {"default": {"hot": 3}}}"#;
    send(running.ports.data, "POST", "/.meshcache/feed", &[], question).await;
    // Metrics of what few groups have.
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&secret, "secret").unwrap();
    let oauth2 =
        serde_json::json!({"tokenUrl": "http://127.0.0.1:9", "clientId": "me", "clientSecretFile": secret.path()});
    let group = serde_json::json!({"name": "a", "match": {"hosts": ["h"]}, "callers": ["*"], "origin": {"url": origin.url, "auth": {"oauth2": oauth2}}});
    let (_folder, path) = file(&serde_json::json!({"version": 1, "groups": [group]}).to_string());
    let with_tokens = Running::start(&["--config", &path]).await;
    running.metrics().await + &with_tokens.metrics().await
}

/// Name with labels, kind and help of each metric of a page of Prometheus.
fn metrics(page: &str) -> BTreeMap<&str, [String; 3]> {
    let mut all = BTreeMap::new();
    for line in page.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            all.entry(name).or_insert_with(|| [String::new(), String::new(), help.to_owned()]);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            all.entry(name).or_default()[1] = kind.to_owned();
        } else if let Some(series) = line.split_once(' ').map(|(series, _)| series) {
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let name =
                ["_bucket", "_sum", "_count"].iter().fold(name, |name, end| name.strip_suffix(end).unwrap_or(name));
            let names = labels.split("\",").filter_map(|label| label.split('=').next());
            let names: Vec<&str> = names.filter(|name| !["", "}", "le"].contains(name)).collect();
            let shown = if names.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", names.join(",")) };
            all.entry(name).or_default()[0] = shown;
        }
    }
    all
}

#[tokio::test]
async fn every_metric_is_documented_and_every_documented_one_is_there() {
    let found = std::fs::read_to_string(page("metrics.md")).unwrap();
    let exported = exported().await;
    let mut all = metrics(&exported);
    let mut made = String::new();
    let end_of_table = "\n## In each Envoy\n";
    let (own, filters) = found.split_once(end_of_table).expect("what Envoys have follows");
    for line in own.lines() {
        let name = line.strip_prefix("| `").and_then(|rest| rest.split(['`', '{']).next());
        match name.map(|name| (name, all.remove(name))) {
            Some((_, Some([shown, kind, help]))) => {
                // What is written by hand follows the help.
                let cell = line.splitn(3, " | ").nth(2).unwrap().trim_end_matches(" |");
                let by_hand = cell.split_once("<br>").map_or(cell, |(_, by_hand)| by_hand);
                let by_hand = if by_hand == help { String::new() } else { format!("<br>{by_hand}") };
                writeln!(made, "| `{shown}` | {kind} | {help}{by_hand} |").unwrap();
            }
            Some((name, None)) if !BEGIN_LATER.contains(&name) => {}
            _ => writeln!(made, "{line}").unwrap(),
        }
    }
    for [shown, kind, help] in all.into_values() {
        writeln!(made, "| `{shown}` | {kind} | {help} |").unwrap();
    }
    hold("metrics.md", &format!("{made}{end_of_table}{filters}"));
}
