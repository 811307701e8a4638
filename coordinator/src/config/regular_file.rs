//! Files that are read again and again.

use std::{fs, io, path::Path};

/// What is in a file now. Only in one that is a regular file: who waits for the other end of a FIFO may wait for ever.
pub fn read(file: &Path) -> io::Result<Vec<u8>> {
    if fs::metadata(file)?.is_file() {
        fs::read(file)
    } else {
        Err(io::Error::other("it is no regular file, and is not read again"))
    }
}
