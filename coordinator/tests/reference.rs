//! The reference of the command line is what the flags say of themselves: `UPDATE=1 cargo test -p meshcache-coordinator
//! --test reference` writes docs/cli.md.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use clap::{Arg, Command, CommandFactory};
use meshcache_coordinator::config::Program;
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
    let found = std::fs::read_to_string(page()).unwrap();
    let (intro, _) = found.split_once("\n## Serve\n").expect("the page has its introduction by hand");
    let mut made = format!("{intro}\n## Serve\n");
    let mut sections: Vec<&str> = Vec::new();
    for arg in shown(&program) {
        let heading = arg.get_help_heading().expect("each flag is in a section of the help");
        if !sections.contains(&heading) {
            sections.push(heading);
        }
    }
    for section in sections {
        write!(made, "\n### {section}\n\n{HEAD}").unwrap();
        let of_section = |arg: &&&Arg| arg.get_help_heading() == Some(section);
        shown(&program).iter().filter(of_section).for_each(|arg| row(&mut made, arg));
    }
    for command in program.get_subcommands().filter(|command| command.get_name() != "help") {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        write!(made, "\n## `meshcache-coordinator {}`\n\n{}.\n", command.get_name(), about.trim_end_matches('.'))
            .unwrap();
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

#[test]
fn help_fits_eighty_columns_and_the_short_one_a_line_or_two_for_each_flag() {
    let mut all = vec![Program::command()];
    all.extend(Program::command().get_subcommands().cloned().map(|command| command.term_width(80)));
    for mut command in all {
        let (short, long) = (command.render_help().to_string(), command.render_long_help().to_string());
        // The usage is one line by itself, however long.
        for line in short.lines().chain(long.lines()).filter(|line| !line.starts_with("Usage: ")) {
            assert!(line.chars().count() <= 80, "{}: {line}", command.get_name());
        }
    }
    let short = Program::command().render_help().to_string();
    assert!(4 * short.len() < 3 * Program::command().render_long_help().to_string().len());
    assert!(short.contains("Examples:") && short.contains("Ports:"), "{short}");
}
