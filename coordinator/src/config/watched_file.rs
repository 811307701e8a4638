//! Values from files that may change while they are in use: secrets, certificates, keys.
//!
//! A value is read once when it is opened, and again where its files have changed ([`WatchedFiles::check`], each
//! second, in `reload.rs`). What cannot be read keeps the last good value in use.

use crate::config::regular_file;
use arc_swap::ArcSwap;
use meshcache_protocol::Hash;
use parking_lot::Mutex;
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
};
use tokio::sync::watch;

/// The longest file, bytes: all authorities of a system are a quarter of it.
const LONGEST: u64 = 1 << 20;

type Parse<T> = Box<dyn Fn(&[Vec<u8>]) -> Result<T, String> + Send + Sync>;

/// A value made of one file or of several that belong together, such as a certificate and its key.
pub struct Watched<T> {
    files: Vec<PathBuf>,
    parse: Parse<T>,
    current: ArcSwap<T>,
    seen: Mutex<Seen>,
    changes: watch::Sender<()>,
}

/// What the files were like the last time.
struct Seen {
    /// The digest of the content in use.
    good: Hash,
    /// The last error, while there is one.
    error: Option<String>,
}

impl<T> Watched<T> {
    /// Returns the last good value.
    pub fn current(&self) -> Arc<T> {
        self.current.load_full()
    }

    /// Returns what tells of each change of the value, from now on.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Reads all files. The error is one line that names the file.
    fn read(files: &[PathBuf]) -> Result<Vec<Vec<u8>>, String> {
        files.iter().map(|file| read(file).map_err(|error| format!("{}: {error}", file.display()))).collect()
    }
}

impl<T> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watched({}: ***)", names(&self.files))
    }
}

fn names(files: &[PathBuf]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// An error with the files in front that it is about, if there are some.
fn of_files(files: &[PathBuf], error: String) -> String {
    if files.is_empty() { error } else { format!("{}: {error}", names(files)) }
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    let size = std::fs::metadata(file).map_err(|error| format!("cannot be read: {error}"))?.len();
    if size > LONGEST {
        return Err(format!("has {size} bytes, more than {LONGEST}"));
    }
    let content = regular_file::read(file).map_err(|error| format!("cannot be read: {error}"))?;
    if content.is_empty() { Err("is empty".into()) } else { Ok(content) }
}

fn digest(contents: &[Vec<u8>]) -> Hash {
    let mut all = Vec::new();
    for content in contents {
        all.extend_from_slice(&content.len().to_le_bytes());
        all.extend_from_slice(content);
    }
    Hash::of(&all)
}

/// Something that is checked for changes.
trait Check: Send + Sync {
    fn check(&self);
}

impl<T: Send + Sync> Check for Watched<T> {
    fn check(&self) {
        let mut seen = self.seen.lock();
        let value = Self::read(&self.files).and_then(|contents| {
            let digest = digest(&contents);
            if digest == seen.good {
                return Ok(None);
            }
            (self.parse)(&contents).map(|value| Some((digest, value))).map_err(|error| of_files(&self.files, error))
        });
        match value {
            Ok(None) if seen.error.is_none() => return,
            Ok(None) => {}
            Ok(Some((digest, value))) => {
                seen.good = digest;
                self.current.store(Arc::new(value));
                self.changes.send_replace(());
            }
            Err(error) => {
                if seen.error.as_ref() != Some(&error) {
                    tracing::warn!("{error}: the last good value stays");
                    seen.error = Some(error);
                }
                return;
            }
        }
        seen.error = None;
        tracing::info!("{}: read again", names(&self.files));
    }
}

/// The values that are checked together. One that nobody holds any more is forgotten.
#[derive(Default)]
pub struct WatchedFiles(Mutex<Vec<Weak<dyn Check>>>);

impl WatchedFiles {
    /// Reads files and makes a value of their contents, which are in the same order and never empty. The error is one
    /// line that names the file; those of `parse` get the names of all files in front.
    pub fn open<T: Send + Sync + 'static>(
        &self,
        files: Vec<PathBuf>,
        parse: impl Fn(&[Vec<u8>]) -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Arc<Watched<T>>, String> {
        let contents = Watched::<T>::read(&files)?;
        let value = parse(&contents).map_err(|error| of_files(&files, error))?;
        let watched = Arc::new(Watched {
            seen: Mutex::new(Seen { good: digest(&contents), error: None }),
            files,
            parse: Box::new(parse),
            current: ArcSwap::from_pointee(value),
            changes: watch::channel(()).0,
        });
        let weak: Weak<Watched<T>> = Arc::downgrade(&watched);
        self.0.lock().push(weak);
        Ok(watched)
    }

    /// Reads again what has changed. It blocks while it reads.
    pub fn check(&self) {
        let all: Vec<_> = {
            let mut all = self.0.lock();
            all.retain(|one| one.strong_count() > 0);
            all.iter().filter_map(Weak::upgrade).collect()
        };
        all.iter().for_each(|one| one.check());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn number(contents: &[Vec<u8>]) -> Result<u32, String> {
        String::from_utf8_lossy(&contents.concat()).trim().parse().map_err(|_| "is not a number".to_owned())
    }

    #[test]
    fn a_changed_file_counts_and_a_broken_one_leaves_the_last_good_value() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("n");
        fs::write(&file, "1").unwrap();
        let files = WatchedFiles::default();
        let watched = files.open(vec![file.clone()], number).unwrap();
        let changes = watched.changes();
        files.check();
        assert!(*watched.current() == 1 && !changes.has_changed().unwrap());
        fs::write(&file, "2").unwrap();
        files.check();
        assert!(*watched.current() == 2 && changes.has_changed().unwrap());
        let error = || watched.seen.lock().error.clone();
        for (bad, what) in [("x", "is not a number"), ("", "is empty")] {
            fs::write(&file, bad).unwrap();
            files.check();
            assert_eq!((*watched.current(), error()), (2, Some(format!("{}: {what}", file.display()))));
        }
        fs::remove_file(&file).unwrap();
        files.check();
        assert!(*watched.current() == 2 && error().is_some_and(|error| error.contains("cannot be read")));
        fs::write(&file, "2").unwrap();
        files.check();
        assert_eq!((*watched.current(), error()), (2, None), "it is good again");
    }

    #[test]
    fn files_that_belong_together_change_together() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
        let write = |file: &Path, text: &str| fs::write(file, text).unwrap();
        write(&a, "1");
        write(&b, "1");
        let same = |contents: &[Vec<u8>]| match contents {
            [a, b] if a == b => Ok(a.clone()),
            _ => Err("do not fit".to_owned()),
        };
        let files = WatchedFiles::default();
        let watched = files.open(vec![a.clone(), b.clone()], same).unwrap();
        write(&a, "2");
        files.check();
        assert_eq!(*watched.current(), b"1");
        write(&b, "2");
        files.check();
        assert_eq!(*watched.current(), b"2");
    }

    #[test]
    fn what_cannot_be_opened_names_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("n");
        let open = || WatchedFiles::default().open(vec![file.clone()], number).map(|watched| watched.current());
        let error = |what: &str| Err(format!("{}: {what}", file.display()));
        assert_eq!(open(), error("cannot be read: No such file or directory (os error 2)"));
        for (content, what) in [("", "is empty"), ("x", "is not a number")] {
            fs::write(&file, content).unwrap();
            assert_eq!(open(), error(what));
        }
        fs::write(&file, vec![b'1'; LONGEST as usize + 1]).unwrap();
        assert_eq!(open(), error("has 1048577 bytes, more than 1048576"));
    }

    #[test]
    fn a_value_that_nobody_holds_is_not_checked_any_more() {
        let files = WatchedFiles::default();
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "1").unwrap();
        let watched = files.open(vec![file.path().into()], number).unwrap();
        assert!(format!("{watched:?}").ends_with(": ***)"));
        drop(watched);
        files.check();
        assert!(files.0.lock().is_empty());
    }
}
