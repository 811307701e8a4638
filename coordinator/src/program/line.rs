//! The command line as a whole: which command it has, by which name the program was called, and its help.

use crate::config::{Command, Flags};
use clap::{CommandFactory, FromArgMatches, Parser};
use std::{ffi::OsString, fmt::Write, path::Path};

/// One shared HTTP cache for a mesh: serve it, ask it, and see what it does
#[derive(Clone, Debug, Parser)]
#[command(name = "meshcache", version, term_width = 80, after_help = NOTES)]
pub struct Program {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The flags of serving alone.
#[derive(Clone, Debug, Parser)]
#[command(name = "meshcache")]
pub(super) struct Serve {
    /// How to serve.
    #[command(flatten)]
    pub(super) flags: Flags,
}

const NOTES: &str = "\
Examples:
  meshcache serve --origin http://localhost:9000
  meshcache why http://config-server.platform/develop
  meshcache -n meshcache purge --group config-server

Without a command it serves: `meshcache --origin URL`.
Status: 0 done, 1 failed or no answer, 2 a flag or the configuration is wrong,
3 done but for some coordinators that gave no answer. `why`: 0 from the cache,
1 not from it, 3 no server.";

/// The commands in the sections of the help. Those of hooks are in none.
const SECTIONS: [(&str, &[&str]); 4] = [
    ("Serve", &["serve", "check", "kubecache"]),
    ("See", &["why", "top", "tail", "stat", "groups", "keys", "ring"]),
    ("Change", &["purge"]),
    ("Shell", &["completions", "man", "help"]),
];

/// The names by which the program is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// `meshcache`.
    Meshcache,
    /// `meshcache-coordinator`, the first name: its help is that of serving.
    Coordinator,
    /// `kubectl-meshcache`: kubectl runs it for `kubectl meshcache`.
    Kubectl,
}

impl Name {
    /// Reads it from the program's path.
    pub fn of(program: &Path) -> Self {
        match program.file_name().and_then(|name| name.to_str()) {
            Some("meshcache-coordinator") => Self::Coordinator,
            Some("kubectl-meshcache") => Self::Kubectl,
            _ => Self::Meshcache,
        }
    }

    /// What people type.
    pub fn typed(self) -> &'static str {
        match self {
            Self::Meshcache => "meshcache",
            Self::Coordinator => "meshcache-coordinator",
            Self::Kubectl => "kubectl meshcache",
        }
    }
}

impl Program {
    /// Reads the command line. `is_told`: variables say what to serve.
    pub fn read(arguments: Vec<OsString>, is_told: bool) -> Result<Self, clap::Error> {
        let name = arguments.first().map_or(Name::Meshcache, |program| Name::of(Path::new(program)));
        let matches = Self::of_name(name).try_get_matches_from(in_order(arguments, name, is_told))?;
        Self::from_arg_matches(&matches)
    }

    /// Returns the grammar, with the help.
    pub fn of_name(name: Name) -> clap::Command {
        let program = Self::command().bin_name(name.typed()).display_name(name.typed());
        let mut list = String::new();
        for (section, commands) in SECTIONS {
            let _ = writeln!(list, "{section}:");
            for command in commands {
                let about = program.find_subcommand(command).and_then(clap::Command::get_about);
                let about = about.map_or_else(|| "Print the help of a command".to_owned(), ToString::to_string);
                let _ = writeln!(list, "  {command:<12} {}", about.split(". ").next().unwrap_or_default());
            }
            list.push('\n');
        }
        program.help_template(format!(
            "{{about}}\n\nUsage: {} [-n NAMESPACE | --admin HOST:PORT] COMMAND [FLAGS]\n\n{list}Flags:\n{{options}}\n\n{{after-help}}\n",
            name.typed()
        ))
    }
}

/// Flags of a server with a value: they may stand before the command, as for kubectl.
const BEFORE: [&str; 9] =
    ["-n", "--namespace", "--context", "--kubeconfig", "--release", "--admin", "--admin-token-file", "--ca", "-o"];

/// Those of them that serving has as well.
const OF_SERVING: [&str; 2] = ["--admin", "--admin-token-file"];

/// Returns whether an argument is a flag with its value: `--admin=h:1`, `-nshop`.
fn has_value(argument: &str, flag: &str) -> bool {
    let after = if flag.starts_with("--") { "=" } else { "" };
    argument.strip_prefix(flag).is_some_and(|rest| !rest.is_empty() && rest.starts_with(after))
}

/// Puts the command first. Without one it is `serve`, as it was before there were others.
fn in_order(mut arguments: Vec<OsString>, name: Name, is_told: bool) -> Vec<OsString> {
    let text = |n: usize| arguments.get(n).map(|one| one.to_string_lossy().into_owned());
    let (mut at, mut may_serve) = (1, true);
    while let Some(flag) = text(at) {
        let is_known = |known: &&&str| flag == **known || has_value(&flag, known);
        let Some(known) = BEFORE.iter().find(is_known) else { break };
        at += if flag == *known { 2 } else { 1 };
        may_serve &= OF_SERVING.contains(known);
    }
    let is_asked = |flag: &str| {
        ["-V", "--version"].contains(&flag) || (["-h", "--help"].contains(&flag) && name != Name::Coordinator)
    };
    match text(at) {
        Some(word) if !word.starts_with('-') => {
            let word = arguments.remove(at);
            arguments.insert(1, word);
        }
        // Before a command's name the program takes these alone.
        Some(flag) if is_asked(&flag) => drop(arguments.drain(1..at)),
        // Whoever types the name alone wants the help.
        None if arguments.len() < 2 && name != Name::Coordinator && !is_told => {}
        // A server is named, and nothing is asked of it: the help, too.
        _ if !may_serve && name != Name::Coordinator => arguments.truncate(1),
        _ if arguments.is_empty() => {}
        _ => arguments.insert(1, "serve".into()),
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(line: &str) -> String {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let name = Name::of(Path::new(&words[0]));
        in_order(words, name, false).iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_flags_of_a_server_may_stand_before_the_command() {
        for (line, read) in [
            ("meshcache -n a why http://h/", "meshcache why -n a http://h/"),
            ("/bin/kubectl-meshcache --context=c -n a top", "/bin/kubectl-meshcache top --context=c -n a"),
            ("meshcache -na why http://h/", "meshcache why -na http://h/"),
            ("meshcache why -n a http://h/", "meshcache why -n a http://h/"),
            ("meshcache --admin h:1 stat -o json", "meshcache stat --admin h:1 -o json"),
            ("meshcache nonsense", "meshcache nonsense"),
            ("meshcache -n x --help", "meshcache --help"),
            ("kubectl-meshcache -n x --context=c -h", "kubectl-meshcache -h"),
            ("meshcache --admin h:1 -V", "meshcache -V"),
            ("meshcache -n x why -h", "meshcache why -n x -h"),
            ("kubectl-meshcache -n x", "kubectl-meshcache"),
            ("meshcache -n", "meshcache"),
            ("meshcache -n x --origin http://o", "meshcache"),
        ] {
            assert_eq!(ordered(line), read);
        }
    }

    #[test]
    fn without_a_command_it_serves_as_it_did_when_it_had_none() {
        for (line, read) in [
            ("meshcache-coordinator --origin http://o", "meshcache-coordinator serve --origin http://o"),
            ("meshcache --admin [::]:1 --origin http://o", "meshcache serve --admin [::]:1 --origin http://o"),
            ("meshcache --name top --origin http://o", "meshcache serve --name top --origin http://o"),
            ("/meshcache-coordinator", "/meshcache-coordinator serve"),
            ("meshcache-coordinator --help", "meshcache-coordinator serve --help"),
            ("meshcache-coordinator -V", "meshcache-coordinator -V"),
            ("meshcache", "meshcache"),
            ("meshcache -h", "meshcache -h"),
            ("kubectl-meshcache", "kubectl-meshcache"),
        ] {
            assert_eq!(ordered(line), read);
        }
        let told = in_order(vec!["meshcache".into()], Name::Meshcache, true);
        assert_eq!(told, ["meshcache", "serve"].map(OsString::from));
    }
}
