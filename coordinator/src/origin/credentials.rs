//! Credentials that an origin gets with each request, and that are not its client's.

use crate::config::{
    secret::without_newline,
    watched_file::{Watched, WatchedFiles},
};
use http::{HeaderName, HeaderValue, Method, Request, header::AUTHORIZATION};
use meshcache_protocol::groups::{HeaderFile, OriginHeaders};
use std::sync::Arc;

/// The credentials of one origin. Groups with the same files share them.
#[derive(Debug, Default)]
pub(crate) struct Credentials {
    headers: Vec<(HeaderName, Arc<Watched<HeaderValue>>)>,
}

impl Credentials {
    /// Reads the files. The error is the field and what is wrong with it.
    pub(super) fn open(headers: &OriginHeaders, files: &WatchedFiles) -> Result<Self, (String, String)> {
        let headers = headers.iter().map(|(name, HeaderFile { file, prefix })| {
            let prefix = prefix.clone();
            let value = files
                .open(vec![file.into()], move |contents| parse(&prefix, contents))
                .map_err(|what| (format!("origin.headers.{name}.file"), what))?;
            let name = HeaderName::try_from(name).map_err(|error| ("origin.headers".to_owned(), error.to_string()))?;
            Ok::<_, (String, String)>((name, value))
        });
        Ok(Self { headers: headers.collect::<Result<_, _>>()? })
    }

    /// Adds them to a request to the origin, in place of fields of these names.
    pub(super) fn add_to<B>(&self, request: &mut Request<B>) {
        if !gets_credentials(request) {
            return;
        }
        for (name, value) in &self.headers {
            request.headers_mut().insert(name, (*value.current()).clone());
        }
    }
}

/// Returns whether a request gets credentials. One with Authorization of its own passes as it is, and TRACE would show
/// them to its client (RFC 9110 section 9.3.8).
pub(super) fn gets_credentials<B>(request: &Request<B>) -> bool {
    !request.headers().contains_key(AUTHORIZATION) && *request.method() != Method::TRACE
}

/// Returns the value of a header, which no debug output shows and no HTTP/2 connection keeps in its table.
fn parse(prefix: &str, contents: &[Vec<u8>]) -> Result<HeaderValue, String> {
    let value = without_newline(contents.first().map_or(&[], Vec::as_slice));
    if value.is_empty() {
        return Err("is empty".into());
    }
    if value.trim_ascii().len() != value.len() {
        return Err("begins or ends with a space or an empty line: a header's value cannot".into());
    }
    let mut value = HeaderValue::from_bytes(&[prefix.as_bytes(), value].concat())
        .map_err(|_| "has a line break or another control character: a header's value cannot".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn headers(folder: &std::path::Path, names: &[&str]) -> OriginHeaders {
        let headers: serde_json::Map<_, _> = names
            .iter()
            .map(|name| ((*name).to_owned(), serde_json::json!({"file": folder.join(name), "prefix": "Key "})))
            .collect();
        serde_json::from_value(headers.into()).unwrap()
    }

    #[test]
    fn a_request_gets_them_unless_it_has_authorization_of_its_own_or_would_show_them() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("x-key"), "secret\n").unwrap();
        fs::write(folder.path().join("authorization"), "token").unwrap();
        let credentials =
            Credentials::open(&headers(folder.path(), &["x-key", "authorization"]), &WatchedFiles::default()).unwrap();
        let sent = |method: Method, own: &[(&'static str, &'static str)]| {
            let mut request = Request::builder().method(method);
            for (name, value) in own {
                request = request.header(*name, *value);
            }
            let mut request = request.body(()).unwrap();
            credentials.add_to(&mut request);
            let of = |name: &str| {
                let values = request.headers().get_all(name).iter();
                values.map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>().join(",")
            };
            (of("x-key"), of("authorization"))
        };
        let both = || ("Key secret".to_owned(), "Key token".to_owned());
        assert_eq!(sent(Method::GET, &[]), both());
        assert_eq!(sent(Method::POST, &[("x-key", "mine"), ("x-key", "too")]), both());
        assert_eq!(sent(Method::GET, &[("authorization", "own")]), (String::new(), "own".into()));
        assert_eq!(sent(Method::TRACE, &[]), (String::new(), String::new()));
        assert!(!format!("{credentials:?}").contains("secret"), "{credentials:?}");
    }

    #[test]
    fn what_cannot_be_sent_is_refused_with_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x-key");
        for (content, what) in [
            ("\n", "is empty"),
            ("a\nb\n", "has a line break or another control character: a header's value cannot"),
            ("a\0", "has a line break or another control character: a header's value cannot"),
            ("a \n", "begins or ends with a space or an empty line: a header's value cannot"),
            ("a\n\n", "begins or ends with a space or an empty line: a header's value cannot"),
        ] {
            fs::write(&file, content).unwrap();
            let error = Credentials::open(&headers(folder.path(), &["x-key"]), &WatchedFiles::default()).unwrap_err();
            assert_eq!(error, ("origin.headers.x-key.file".into(), format!("{}: {what}", file.display())));
        }
    }
}
