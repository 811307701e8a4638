//! The methods `PURGE` and `PURGEKEYS`, as users of Varnish, nginx and Fastly write them.

use crate::purge::request::{InvalidPurge, PurgeRequest, host, is_tag, is_url};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use meshcache_protocol::{groups, purge::Scope};

/// The headers with tags, and whether their name says that entries are to be removed, or to be made stale.
const TAGS: [(&str, Fate); 4] = [
    ("surrogate-key", Fate::AsSaid),
    ("xkey", Fate::AsSaid),
    ("xkey-purge", Fate::Removed),
    ("xkey-softpurge", Fate::Stale),
];
/// The headers that make a purge a soft one: that of Fastly, and ours.
const SOFT: [&str; 2] = ["fastly-soft-purge", "meshcache-soft-purge"];
const DRY_RUN: [&str; 1] = ["meshcache-dry-run"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    AsSaid,
    Removed,
    Stale,
}

/// Whether a request is a purge by its method, whatever its path.
pub fn is_purge_method(method: &Method) -> bool {
    matches!(method.as_str(), "PURGE" | "PURGEKEYS")
}

impl PurgeRequest {
    /// Reads a purge by its method: of the tags in its headers, else of its URL.
    ///
    /// # Errors
    /// What is not understood, and what to write.
    pub fn by_method<B>(request: &Request<B>) -> Result<Self, InvalidPurge> {
        let headers = request.headers();
        let has_body = headers.get(header::CONTENT_LENGTH).is_some_and(|length| length.as_bytes() != b"0")
            || headers.contains_key(header::TRANSFER_ENCODING);
        if has_body {
            return bad(format!("{} has no body: write POST /purge for JSON", request.method()));
        }
        let (mut soft, dry_run) = (flag(headers, &SOFT)?, flag(headers, &DRY_RUN)?);
        let (mut tags, mut is_removed) = (Vec::new(), false);
        for (name, fate) in TAGS {
            let words = words(headers, name)?;
            soft |= fate == Fate::Stale && !words.is_empty();
            is_removed |= fate == Fate::Removed && !words.is_empty();
            tags.extend(words);
        }
        if soft && is_removed {
            return bad("xkey-purge removes, and a soft purge does not: send one of them".into());
        }
        let scope = if !tags.is_empty() {
            // As there, a tag is one of everything that is cached. No older coordinator takes this for nothing.
            Scope { hosts: vec![groups::Host::any()], tags, ..Scope::default() }
        } else if request.method() == "PURGE" {
            of_url(request)?
        } else {
            return bad("PURGEKEYS names no tag: send `xkey-purge: a b` or `xkey-softpurge: a b`".into());
        };
        Ok(Self { scope, soft, dry_run })
    }
}

/// The URL of a request; as `/a/*`, all URLs of its host that begin so, as ngx_cache_purge has it.
fn of_url<B>(request: &Request<B>) -> Result<Scope, InvalidPurge> {
    let uri = request.uri();
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let authority = match (uri.authority(), hosts.next(), hosts.next()) {
        (Some(authority), ..) => authority.as_str(),
        (None, Some(host), None) => host.to_str().unwrap_or_default(),
        _ => return bad("Host: a PURGE of a URL needs one, that of the URL".into()),
    };
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    // A path alone does not say by which scheme the response was asked for.
    let schemes = uri.scheme_str().map_or(vec!["http", "https"], |scheme| vec![scheme]);
    let urls: Vec<String> = schemes.iter().map(|scheme| format!("{scheme}://{authority}{target}")).collect();
    if !target.starts_with('/') || !urls.iter().all(|url| is_url(url)) {
        return bad(format!("`{authority}{target}` is not a URL: write `PURGE /path?query` with its Host"));
    }
    match (target.strip_suffix('*'), host(authority)) {
        (Some(prefix), Ok(host)) => {
            Ok(Scope { hosts: vec![host], prefixes: vec![prefix.to_owned()], ..Scope::default() })
        }
        _ => Ok(Scope { urls, ..Scope::default() }),
    }
}

/// The words of a header. One that is there and has none is an error.
fn words(headers: &HeaderMap, name: &str) -> Result<Vec<String>, InvalidPurge> {
    let lines: Vec<&str> = headers.get_all(name).iter().map(text).collect();
    let words = lines.iter().flat_map(|line| line.split([' ', '\t', ','])).filter(|word| !word.is_empty());
    let words: Vec<String> = words.map(str::to_owned).collect();
    if lines.is_empty() || (!words.is_empty() && words.iter().all(|word| is_tag(word))) {
        Ok(words)
    } else {
        bad(format!("{name}: `{}` has no tags: write words, as `{name}: a b`", lines.join(" ")))
    }
}

/// Whether one of these headers is 1.
fn flag(headers: &HeaderMap, names: &[&str]) -> Result<bool, InvalidPurge> {
    let mut is_set = false;
    for (name, value) in names.iter().flat_map(|name| headers.get_all(*name).iter().map(move |value| (name, value))) {
        match text(value) {
            "1" => is_set = true,
            "0" => {}
            other => return bad(format!("{name}: `{other}` is not understood: write 1, or leave it out")),
        }
    }
    Ok(is_set)
}

/// Bytes that are no text are nothing that is understood.
fn text(value: &HeaderValue) -> &str {
    value.to_str().unwrap_or("\u{fffd}")
}

fn bad<T>(why: String) -> Result<T, InvalidPurge> {
    Err(InvalidPurge(StatusCode::BAD_REQUEST, why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(method: &str, target: &str, headers: &[(&str, &str)]) -> Result<Value, String> {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let read = PurgeRequest::by_method(&request.body(()).unwrap());
        read.map(|PurgeRequest { scope, soft, dry_run }| {
            let mut json = serde_json::to_value(scope).unwrap();
            for (name, is) in [("soft", soft), ("dryRun", dry_run)] {
                if is {
                    json[name] = json!(true);
                }
            }
            json
        })
        .map_err(|InvalidPurge(status, why)| {
            assert!(status == 400 && !why.contains('\n'), "{why}");
            why
        })
    }

    const HOST: (&str, &str) = ("host", "shop.example");

    #[test]
    fn a_url_is_that_of_the_host_by_either_scheme_or_the_absolute_one() {
        let both = json!({"urls": ["http://shop.example/purge?a=1", "https://shop.example/purge?a=1"]});
        assert_eq!(read("PURGE", "/purge?a=1", &[HOST]), Ok(both));
        let one = json!({"urls": ["http://other.example:8080/a"]});
        assert_eq!(read("PURGE", "http://other.example:8080/a", &[HOST]), Ok(one));
        let soft = read("PURGE", "/a", &[HOST, ("fastly-soft-purge", "1"), ("meshcache-dry-run", "1")]).unwrap();
        assert_eq!((&soft["soft"], &soft["dryRun"]), (&json!(true), &json!(true)));
        let ours = read("PURGE", "/a", &[HOST, ("meshcache-soft-purge", "1"), ("fastly-soft-purge", "0")]).unwrap();
        assert_eq!(ours["soft"], json!(true));
    }

    #[test]
    fn a_star_at_the_end_is_all_that_begins_so() {
        let below = json!({"hosts": ["shop.example:8080"], "prefixes": ["/a/"]});
        assert_eq!(read("PURGE", "/a/*", &[("host", "SHOP.example.:8080")]), Ok(below));
    }

    #[test]
    fn tags_are_those_of_every_group() {
        let tags = |words: &[&str]| json!({"hosts": ["*"], "tags": words});
        assert_eq!(
            read("PURGE", "/", &[HOST, ("surrogate-key", "a b"), ("xkey", "c,d")]),
            Ok(tags(&["a", "b", "c", "d"]))
        );
        assert_eq!(read("PURGEKEYS", "/any", &[("xkey-purge", "a"), ("xkey-purge", "b")]), Ok(tags(&["a", "b"])));
        let soft = read("PURGEKEYS", "/", &[HOST, ("xkey-softpurge", "a")]).unwrap();
        assert_eq!((&soft["tags"], &soft["soft"]), (&json!(["a"]), &json!(true)));
    }

    #[test]
    fn what_is_not_understood_is_refused_with_what_to_write() {
        for (method, target, headers, part) in [
            ("PURGE", "/a", &[][..], "Host: a PURGE of a URL needs one"),
            ("PURGE", "/a", &[HOST, ("host", "b.example")], "Host: "),
            ("PURGE", "/a", &[("host", "a b")], "`a b/a` is not a URL"),
            ("PURGE", "/a*", &[("host", "*.example")], "write `PURGE /path?query` with its Host"),
            ("PURGE", "*", &[HOST], "is not a URL"),
            ("PURGE", "ftp://h/a", &[HOST], "is not a URL"),
            ("PURGE", "/a", &[HOST, ("content-length", "2")], "write POST /purge for JSON"),
            ("PURGE", "/a", &[HOST, ("transfer-encoding", "chunked")], "write POST /purge for JSON"),
            (
                "PURGE",
                "/a",
                &[HOST, ("fastly-soft-purge", "yes")],
                "fastly-soft-purge: `yes` is not understood: write 1",
            ),
            ("PURGE", "/a", &[HOST, ("surrogate-key", " , ")], "surrogate-key: "),
            ("PURGE", "/a", &[HOST, ("xkey", "caf\u{e9}")], "write words, as `xkey: a b`"),
            ("PURGE", "/", &[HOST, ("xkey-purge", "a"), ("xkey-softpurge", "b")], "send one of them"),
            ("PURGE", "/", &[HOST, ("xkey-purge", "a"), ("fastly-soft-purge", "1")], "send one of them"),
            ("PURGEKEYS", "/a", &[HOST], "PURGEKEYS names no tag"),
        ] {
            let why = read(method, target, headers).unwrap_err();
            assert!(why.contains(part), "{method} {target} {headers:?}: {why}");
        }
    }
}
