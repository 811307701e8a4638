//! Standard output and standard error. A reader that has left is no failure.

use crate::coordinator::CoordinatorError;
use std::io::{self, ErrorKind, Write};

/// Writes a line. Whether somebody reads it changes nothing.
pub(super) fn tell(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Writes a line of what is wrong to standard error. Whether somebody reads it changes nothing.
pub(super) fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Writes bytes as they are.
pub(super) fn write(bytes: &[u8]) -> Result<(), CoordinatorError> {
    match io::stdout().lock().write_all(bytes) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(CoordinatorError::System(error.to_string())),
        _ => Ok(()),
    }
}
