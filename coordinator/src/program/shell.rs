//! What shells and `man` know of the program, made of its own help.

use crate::{
    coordinator::CoordinatorError,
    program::line::{Name, Program},
};
use std::io::{self, ErrorKind, Write};

/// Writes completions for a shell.
pub(super) fn completions(shell: clap_complete::Shell) -> Result<(), CoordinatorError> {
    let mut made = Vec::new();
    clap_complete::generate(shell, &mut Program::of_name(Name::Meshcache), Name::Meshcache.typed(), &mut made);
    write(&made)
}

/// Writes the man page of the program, or of a command.
pub(super) fn man(command: Option<&str>) -> Result<(), CoordinatorError> {
    let mut program = Program::of_name(Name::Meshcache).disable_help_subcommand(true);
    program.build();
    let page = match command {
        None => program,
        Some(name) => {
            let found = program.get_subcommands().find(|one| one.get_name() == name && !one.is_hide_set());
            let found = found.ok_or_else(|| CoordinatorError::Config(format!("man: there is no command `{name}`")))?;
            found.clone().display_name(format!("meshcache-{name}"))
        }
    };
    let mut made = Vec::new();
    clap_mangen::Man::new(page).render(&mut made).map_err(|error| CoordinatorError::System(error.to_string()))?;
    write(&made)
}

fn write(text: &[u8]) -> Result<(), CoordinatorError> {
    match io::stdout().lock().write_all(text) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(CoordinatorError::System(error.to_string())),
        _ => Ok(()),
    }
}
