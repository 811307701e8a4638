//! Tokens: who may purge, and which calls come from a peer. Compared in constant time.

use arc_swap::ArcSwap;
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, header::AUTHORIZATION};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use subtle::ConstantTimeEq;

/// The tokens of one port: none configured, or those of a file that may change.
pub struct Tokens {
    file: Option<PathBuf>,
    list: ArcSwap<Vec<String>>,
}

impl Tokens {
    /// Reads the file, if there is one. The error is one line that names it.
    pub fn open(file: Option<PathBuf>) -> Result<Arc<Self>, String> {
        let list = file.as_deref().map_or(Ok(Vec::new()), read)?;
        Ok(Arc::new(Self { file, list: ArcSwap::from_pointee(list) }))
    }

    /// Reads the file again: whether it brought others. An error leaves those that are there.
    pub fn reload(&self) -> Result<bool, String> {
        let Some(file) = &self.file else { return Ok(false) };
        let list = read(file)?;
        let changed = list != **self.list.load();
        if changed {
            self.list.store(Arc::new(list));
        }
        Ok(changed)
    }

    /// Whether there is any token: without one nothing is admitted.
    pub fn is_configured(&self) -> bool {
        self.file.is_some()
    }

    /// The one to send.
    pub fn first(&self) -> Option<String> {
        self.list.load().first().cloned()
    }

    /// Whether `Authorization: Bearer` has one of them.
    pub fn admit_bearer(&self, headers: &HeaderMap) -> bool {
        credentials(headers, "bearer").is_some_and(|token| self.admit(token.as_bytes()))
    }

    /// Whether `Authorization` has one of them, as Bearer or as the password of Basic.
    pub fn admit_browser(&self, headers: &HeaderMap) -> bool {
        let password = || {
            let pair = STANDARD.decode(credentials(headers, "basic")?).ok()?;
            let colon = pair.iter().position(|b| *b == b':')?;
            pair.get(colon.saturating_add(1)..).map(<[u8]>::to_vec)
        };
        self.admit_bearer(headers) || password().is_some_and(|password| self.admit(&password))
    }

    fn admit(&self, given: &[u8]) -> bool {
        // All are compared, so that the time tells neither which one fits nor how much of it.
        self.list.load().iter().fold(false, |fits, token| fits | bool::from(token.as_bytes().ct_eq(given)))
    }
}

fn read(file: &Path) -> Result<Vec<String>, String> {
    let wrong = |what: String| format!("{}: {what}", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let list: Vec<String> = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if let Some(n) = text.lines().position(|line| !line.trim().bytes().all(|b| b.is_ascii_graphic())) {
        return Err(wrong(format!("line {}: a token is visible ASCII without spaces", n.saturating_add(1))));
    }
    if list.is_empty() { Err(wrong("has no token".into())) } else { Ok(list) }
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
    fn every_token_of_the_file_is_admitted_and_nothing_else() {
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
            (basic("anybody:old-token"), false, true),
            (basic(":new-token"), false, true),
            (basic("new-token:"), false, false),
            (basic("new-token"), false, false),
            ("Basic !".to_owned(), false, false),
        ] {
            assert_eq!((tokens.admit_bearer(&authorization(&value)), tokens.admit_browser(&authorization(&value))), (bearer, browser), "{value}");
        }
        assert!(!tokens.admit_browser(&HeaderMap::new()));
    }

    #[test]
    fn a_changed_file_counts_and_a_broken_one_does_not() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "one").unwrap();
        let tokens = Tokens::open(Some(file.path().into())).unwrap();
        assert_eq!(tokens.reload(), Ok(false));
        std::fs::write(file.path(), "two").unwrap();
        assert_eq!(tokens.reload(), Ok(true));
        assert!(tokens.admit_bearer(&authorization("Bearer two")) && !tokens.admit_bearer(&authorization("Bearer one")));
        for broken in ["", "a b", "\u{e9}"] {
            std::fs::write(file.path(), broken).unwrap();
            assert!(tokens.reload().is_err(), "{broken}");
        }
        assert!(tokens.admit_bearer(&authorization("Bearer two")));
    }

    #[test]
    fn without_a_file_nobody_is_admitted() {
        let tokens = Tokens::open(None).unwrap();
        assert!(!tokens.is_configured() && !tokens.admit_bearer(&authorization("Bearer ")) && tokens.first().is_none());
        assert!(Tokens::open(Some("/no/such/file".into())).is_err_and(|error| error.starts_with("/no/such/file: ")));
    }
}
