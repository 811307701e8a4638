//! Tokens for the admin port and the peer port, compared in constant time.

use crate::config::regular_file;
use arc_swap::ArcSwap;
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, header::AUTHORIZATION};
use parking_lot::Mutex;
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use subtle::ConstantTimeEq;

/// The tokens of one port: none configured, or those of a file that may change.
pub struct Tokens {
    file: Option<PathBuf>,
    list: ArcSwap<Vec<String>>,
    /// Since when the file has been without a token.
    without: Mutex<Option<Instant>>,
}

/// The outcome of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadOutcome {
    /// The tokens are unchanged.
    Same,
    /// Other tokens.
    Changed,
    /// The file has had none for too long: no token is accepted.
    Revoked,
}

/// Why a file has no tokens.
enum TokenError {
    /// It is missing or empty.
    Missing(String),
    /// It cannot be read, or is malformed.
    Malformed(String),
}

impl TokenError {
    fn what(self) -> String {
        match self {
            Self::Missing(what) | Self::Malformed(what) => what,
        }
    }
}

impl Tokens {
    /// Reads the file, if one is configured. The error is one line that names it.
    pub fn open(file: Option<PathBuf>) -> Result<Arc<Self>, String> {
        let list = file
            .as_deref()
            .map_or(Ok(Vec::new()), |file| parse(file, std::fs::read(file)).map_err(TokenError::what))?;
        Ok(Arc::new(Self { file, list: ArcSwap::from_pointee(list), without: Mutex::default() }))
    }

    /// These tokens, which never change. None: no call is admitted.
    pub fn fixed(list: Vec<String>) -> Arc<Self> {
        Arc::new(Self { file: None, list: ArcSwap::from_pointee(list), without: Mutex::default() })
    }

    /// Reads the file again. An error keeps the tokens, but a file that is missing or empty for as long as `without`
    /// revokes them.
    pub fn reload(&self, now: Instant, without: Duration) -> Result<ReloadOutcome, String> {
        let Some(file) = &self.file else { return Ok(ReloadOutcome::Same) };
        let mut since = self.without.lock();
        let list = match parse(file, regular_file::read(file)) {
            Ok(list) => list,
            Err(TokenError::Malformed(what)) => {
                *since = None;
                return Err(what);
            }
            Err(TokenError::Missing(_)) if self.list.load().is_empty() => return Ok(ReloadOutcome::Same),
            Err(TokenError::Missing(what)) => {
                if now.saturating_duration_since(*since.get_or_insert(now)) < without {
                    return Err(format!("{what}; after {without:?} of that its tokens are revoked"));
                }
                self.list.store(Arc::default());
                return Ok(ReloadOutcome::Revoked);
            }
        };
        *since = None;
        if list == **self.list.load() {
            return Ok(ReloadOutcome::Same);
        }
        self.list.store(Arc::new(list));
        Ok(ReloadOutcome::Changed)
    }

    /// Returns whether there may be tokens: without a file, and without fixed ones, none is accepted.
    pub fn is_configured(&self) -> bool {
        self.file.is_some() || !self.list.load().is_empty()
    }

    /// Returns the token to send.
    pub fn first(&self) -> Option<String> {
        self.list.load().first().cloned()
    }

    /// Returns all accepted tokens, the one to send first.
    pub fn accepted(&self) -> Arc<Vec<String>> {
        self.list.load_full()
    }

    /// Returns whether `Authorization: Bearer` has an accepted token.
    pub fn accepts_bearer(&self, headers: &HeaderMap) -> bool {
        credentials(headers, "bearer").is_some_and(|token| self.accepts(token.as_bytes()))
    }

    /// Returns whether `Authorization` has an accepted token, as Bearer or as the password of Basic.
    pub fn accepts_browser(&self, headers: &HeaderMap) -> bool {
        let password = || {
            let pair = STANDARD.decode(credentials(headers, "basic")?).ok()?;
            let colon = pair.iter().position(|b| *b == b':')?;
            pair.get(colon.saturating_add(1)..).map(<[u8]>::to_vec)
        };
        self.accepts_bearer(headers) || password().is_some_and(|password| self.accepts(&password))
    }

    fn accepts(&self, given: &[u8]) -> bool {
        // Compares with all, so that the time tells neither which token fits nor how much of it.
        self.list.load().iter().fold(false, |fits, token| fits | bool::from(token.as_bytes().ct_eq(given)))
    }
}

fn parse(file: &Path, content: io::Result<Vec<u8>>) -> Result<Vec<String>, TokenError> {
    let wrong = |what: String| format!("{}: {what}", file.display());
    let content = content.map_err(|error| {
        let what = wrong(format!("cannot be read: {error}"));
        if error.kind() == io::ErrorKind::NotFound { TokenError::Missing(what) } else { TokenError::Malformed(what) }
    })?;
    let text = String::from_utf8_lossy(&content);
    let list: Vec<String> = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if let Some(n) = text.lines().position(|line| !line.trim().bytes().all(|b| b.is_ascii_graphic())) {
        return Err(TokenError::Malformed(wrong(format!(
            "line {}: a token is visible ASCII without spaces",
            n.saturating_add(1)
        ))));
    }
    if list.is_empty() { Err(TokenError::Missing(wrong("has no token".into()))) } else { Ok(list) }
}

fn credentials<'h>(headers: &'h HeaderMap, scheme: &str) -> Option<&'h str> {
    let (given, rest) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    given.eq_ignore_ascii_case(scheme).then_some(rest.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authorization(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())])
    }

    #[test]
    fn every_token_of_the_file_is_accepted_and_nothing_else() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "new-token\n\n old-token \n").unwrap();
        let tokens = Tokens::open(Some(file.path().into())).unwrap();
        assert_eq!(tokens.first().as_deref(), Some("new-token"));
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        for (value, bearer, browser) in [
            ("Bearer new-token".to_owned(), true, true),
            ("bearer old-token".to_owned(), true, true),
            ("Bearer new-toke".to_owned(), false, false),
            ("Bearer new-tokenx".to_owned(), false, false),
            ("Bearer ".to_owned(), false, false),
            ("new-token".to_owned(), false, false),
            (basic("name:old-token"), false, true),
            (basic(":new-token"), false, true),
            (basic("new-token:"), false, false),
            (basic("new-token"), false, false),
            ("Basic !".to_owned(), false, false),
        ] {
            assert_eq!(
                (tokens.accepts_bearer(&authorization(&value)), tokens.accepts_browser(&authorization(&value))),
                (bearer, browser),
                "{value}"
            );
        }
        assert!(!tokens.accepts_browser(&HeaderMap::new()));
    }

    const WITHOUT: Duration = Duration::from_secs(10);

    fn opened(text: &str) -> (tempfile::TempDir, PathBuf, Arc<Tokens>) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens");
        std::fs::write(&file, text).unwrap();
        let tokens = Tokens::open(Some(file.clone())).unwrap();
        (folder, file, tokens)
    }

    #[test]
    fn a_changed_file_counts_and_a_broken_one_does_not() {
        let (_folder, file, tokens) = opened("one");
        let now = Instant::now();
        assert_eq!(tokens.reload(now, WITHOUT), Ok(ReloadOutcome::Same));
        std::fs::write(&file, "two").unwrap();
        assert_eq!(tokens.reload(now, WITHOUT), Ok(ReloadOutcome::Changed));
        assert!(
            tokens.accepts_bearer(&authorization("Bearer two")) && !tokens.accepts_bearer(&authorization("Bearer one"))
        );
        for (n, broken) in ["a b", "\u{e9}"].iter().enumerate() {
            std::fs::write(&file, broken).unwrap();
            assert!(tokens.reload(now + WITHOUT * n as u32, WITHOUT).is_err(), "{broken}");
        }
        assert!(tokens.accepts_bearer(&authorization("Bearer two")));
    }

    #[test]
    fn a_file_that_is_gone_or_empty_for_a_while_revokes_its_tokens_and_not_before() {
        for empty in [true, false] {
            let (_folder, file, tokens) = opened("one");
            let (begun, admits) = (Instant::now(), || tokens.accepts_bearer(&authorization("Bearer one")));
            if empty {
                std::fs::write(&file, "\n").unwrap()
            } else {
                std::fs::remove_file(&file).unwrap()
            }
            for after in [Duration::ZERO, WITHOUT - Duration::from_millis(1)] {
                assert!(
                    tokens
                        .reload(begun + after, WITHOUT)
                        .is_err_and(|why| why.ends_with("after 10s of that its tokens are revoked"))
                        && admits()
                );
            }
            assert_eq!((tokens.reload(begun + WITHOUT, WITHOUT), admits()), (Ok(ReloadOutcome::Revoked), false));
            assert!(tokens.is_configured() && tokens.first().is_none(), "no token is accepted, rather than any");
            assert_eq!(tokens.reload(begun + WITHOUT * 2, WITHOUT), Ok(ReloadOutcome::Same), "reported once");
            std::fs::write(&file, "one").unwrap();
            assert_eq!((tokens.reload(begun + WITHOUT * 3, WITHOUT), admits()), (Ok(ReloadOutcome::Changed), true));
        }
    }

    #[test]
    fn a_file_that_an_editor_empties_now_and_then_revokes_nothing() {
        let (_folder, file, tokens) = opened("one");
        let begun = Instant::now();
        for second in 0..30 {
            std::fs::write(&file, if second % 9 == 8 { "one" } else { "" }).unwrap();
            let reloaded = tokens.reload(begun + Duration::from_secs(second), WITHOUT);
            assert!(reloaded.is_err() || reloaded == Ok(ReloadOutcome::Same), "{second}: {reloaded:?}");
        }
        assert!(tokens.accepts_bearer(&authorization("Bearer one")));
    }

    #[test]
    fn a_fifo_in_place_of_the_file_is_not_waited_for() {
        let (_folder, file, tokens) = opened("one");
        std::fs::remove_file(&file).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
        let begun = Instant::now();
        for seconds in [0, 20] {
            assert!(
                tokens
                    .reload(begun + Duration::from_secs(seconds), WITHOUT)
                    .is_err_and(|why| why.contains("not a regular file"))
            );
        }
        assert!(tokens.accepts_bearer(&authorization("Bearer one")));
    }

    #[test]
    fn without_a_file_no_token_is_accepted() {
        let tokens = Tokens::open(None).unwrap();
        assert!(
            !tokens.is_configured() && !tokens.accepts_bearer(&authorization("Bearer ")) && tokens.first().is_none()
        );
        assert!(Tokens::open(Some("/no/such/file".into())).is_err_and(|error| error.starts_with("/no/such/file: ")));
    }
}
