//! The reference of the command line is what the flags say of themselves: `UPDATE=1 cargo test -p meshcache-coordinator
//! --test reference` writes docs/cli.md.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use clap::{Arg, Command, CommandFactory};
use meshcache_coordinator::program::{Name, Program};
use std::{fmt::Write, path::Path};

fn page() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/cli.md")
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
    let found = std::fs::read_to_string(page()).unwrap();
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
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(page(), &made).unwrap();
    }
    assert!(
        std::fs::read_to_string(page()).unwrap() == made,
        "docs/cli.md is not what the flags say: UPDATE=1 cargo test -p meshcache-coordinator --test reference writes it"
    );
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
