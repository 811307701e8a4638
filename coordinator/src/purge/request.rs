//! The body of `POST /purge`: one way to name what is purged, no unknown field, no empty list.

use http::StatusCode;
use meshcache_protocol::{
    Groups,
    groups::{Host, InvalidValue, OriginUrl},
    purge::{Regexes, Scope},
    request::split_port,
};
use serde::Deserialize;

/// The most hosts of a purge: each key is compared with each of them.
const MAX_HOSTS: usize = 256;

/// A valid purge.
#[derive(Clone, Debug, PartialEq)]
pub struct PurgeRequest {
    /// The entries to purge.
    pub scope: Scope,
    /// Makes entries stale instead of removing them.
    pub soft: bool,
    /// Counts entries, and removes none.
    pub dry_run: bool,
}

/// Why a body is no valid purge: 400 or 404, and a line for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidPurge(pub StatusCode, pub String);

/// The body as JSON.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Body {
    urls: Option<Vec<String>>,
    group: Option<String>,
    host: Option<String>,
    hosts: Option<Vec<String>>,
    paths: Option<Vec<String>>,
    prefixes: Option<Vec<String>>,
    regex: Option<Vec<String>>,
    tags: Option<Vec<String>>,
    all: bool,
    soft: bool,
    dry_run: bool,
}

impl PurgeRequest {
    /// Parses a request's body.
    pub fn parse(body: &[u8], groups: &Groups) -> Result<Self, InvalidPurge> {
        let bad = |why: String| Err(InvalidPurge(StatusCode::BAD_REQUEST, why));
        // serde would read a list as the fields in their order.
        if body.trim_ascii_start().first().is_some_and(|b| *b != b'{') {
            return bad("expected a JSON object".into());
        }
        let body: Body = match serde_json::from_slice(body) {
            Ok(body) => body,
            Err(error) => return bad(error.to_string()),
        };
        let lists = [
            ("urls", &body.urls),
            ("hosts", &body.hosts),
            ("paths", &body.paths),
            ("prefixes", &body.prefixes),
            ("regex", &body.regex),
            ("tags", &body.tags),
        ];
        if let Some((name, _)) = lists.iter().find(|(_, list)| list.as_ref().is_some_and(Vec::is_empty)) {
            return bad(format!("{name}: is empty"));
        }
        let is_limited = body.group.is_some() || body.host.is_some() || body.hosts.is_some();
        let within = [&body.paths, &body.prefixes, &body.regex, &body.tags].into_iter().flatten().count();
        match (body.urls.is_some(), is_limited, body.all) {
            (true, false, false) if within == 0 => {}
            (false, true, false) if within <= 1 => {}
            (false, false, true) if within == 0 => {}
            _ => {
                return bad(
                    "name what is purged in one way: urls, or all, or group or hosts or both, alone or with paths, prefixes, regex or tags"
                        .into(),
                );
            }
        }
        if let Some(url) = body.urls.iter().flatten().find(|url| !is_url(url)) {
            return bad(format!("urls: `{url}` is not an absolute URL (http://host/path?query)"));
        }
        for (name, list) in [("paths", &body.paths), ("prefixes", &body.prefixes)] {
            if let Some(path) = list.iter().flatten().find(|path| !is_path(path)) {
                return bad(format!("{name}: `{path}` is not a path (it begins with /)"));
            }
        }
        if let Some(Err(why)) = body.regex.as_deref().map(Regexes::new) {
            return bad(format!("regex: {why}"));
        }
        let hosts: Vec<String> = body.host.into_iter().chain(body.hosts.into_iter().flatten()).collect();
        if hosts.len() > MAX_HOSTS {
            return bad(format!("hosts: {} are too many for one purge: write at most {MAX_HOSTS}", hosts.len()));
        }
        let hosts = match hosts.iter().map(|text| host(text)).collect() {
            Ok(hosts) => hosts,
            Err(why) => return bad(format!("hosts: {why}")),
        };
        if let Some(tag) = body.tags.iter().flatten().find(|tag| !is_tag(tag)) {
            return bad(format!("tags: `{tag}` is not one word of a header"));
        }
        if let Some(group) = body.group.iter().find(|group| groups.named(group).is_none()) {
            return Err(InvalidPurge(StatusCode::NOT_FOUND, format!("group: there is no group `{group}`")));
        }
        let scope = Scope {
            urls: body.urls.unwrap_or_default(),
            group: body.group,
            hosts,
            paths: body.paths.unwrap_or_default(),
            prefixes: body.prefixes.unwrap_or_default(),
            regex: body.regex.unwrap_or_default(),
            tags: body.tags.unwrap_or_default(),
            all: body.all,
        };
        Ok(Self { scope, soft: body.soft, dry_run: body.dry_run })
    }
}

/// Reads a host as in `match.hosts`; `example.com.` is `example.com`, as in keys.
pub(super) fn host(text: &str) -> Result<Host, InvalidValue> {
    let (name, port) = split_port(text);
    match name.strip_suffix('.') {
        Some(name) => port.map_or_else(|| name.to_owned(), |port| format!("{name}:{port}")).parse(),
        None => text.parse(),
    }
}

pub(super) fn is_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    // A host is valid where it is one of an origin: without user, path and query.
    format!("{}://{authority}", scheme.to_ascii_lowercase()).parse::<OriginUrl>().is_ok()
        && is_path(&format!("/{path}"))
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') && !text.contains('#') && text.bytes().all(|b| b.is_ascii_graphic())
}

pub(super) fn is_tag(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b',')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Result<PurgeRequest, (u16, String)> {
        let groups: Groups = Groups::new(
            serde_json::from_str(r#"{"version": 1, "groups": [{"name": "g", "match": {"hosts": ["*"]}, "origin": {"url": "http://o"}}]}"#).unwrap(),
        )
        .unwrap();
        PurgeRequest::parse(body.as_bytes(), &groups).map_err(|InvalidPurge(status, why)| (status.as_u16(), why))
    }

    #[test]
    fn each_way_to_name_what_is_purged_is_accepted() {
        assert_eq!(parse(r#"{"urls": ["http://h/a?b=1", "https://h:8443"]}"#).unwrap().scope.urls.len(), 2);
        assert_eq!(parse(r#"{"group": "g"}"#).unwrap().scope, Scope { group: Some("g".into()), ..Scope::default() });
        assert_eq!(parse(r#"{"group": "g", "paths": ["/a?b=1"]}"#).unwrap().scope.paths, ["/a?b=1"]);
        assert_eq!(parse(r#"{"group": "g", "prefixes": ["/a/"], "soft": false}"#).unwrap().scope.prefixes, ["/a/"]);
        assert_eq!(parse(r#"{"group": "g", "regex": ["^/a/.*"], "dryRun": true}"#).unwrap().scope.regex, ["^/a/.*"]);
        let hosts = |body: &str| parse(body).unwrap().scope.hosts.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(hosts(r#"{"host": "A.example.:80", "soft": true}"#), ["a.example:80"]);
        assert_eq!(
            hosts(r#"{"hosts": ["*.example", "[::1]:8080"], "group": "g", "tags": ["t"]}"#),
            ["*.example", "[::1]:8080"]
        );
        assert_eq!(parse(r#"{"group": "g", "tags": ["a/1", "b"]}"#).unwrap().scope.tags, ["a/1", "b"]);
        let request = parse(r#"{"all": true, "dryRun": true, "soft": true}"#).unwrap();
        assert!(request.dry_run && request.soft);
    }

    #[test]
    fn everything_else_is_refused_with_its_field() {
        let one_way = "name what is purged in one way";
        for (body, status, part) in [
            ("", 400, "EOF"),
            (r#"[["http://h/a"]]"#, 400, "expected a JSON object"),
            ("{}", 400, one_way),
            (r#"{"all": false}"#, 400, one_way),
            (r#"{"all": "yes"}"#, 400, "expected a boolean"),
            (r#"{"al": true}"#, 400, "unknown field `al`"),
            (r#"{"all": true, "group": "g"}"#, 400, one_way),
            (r#"{"urls": ["http://h/a"], "group": "g"}"#, 400, one_way),
            (r#"{"urls": []}"#, 400, "urls: is empty"),
            (r#"{"urls": "http://h/a"}"#, 400, "expected a sequence"),
            (r#"{"urls": ["/a"]}"#, 400, "urls: `/a`"),
            (r#"{"urls": ["ftp://h/a"]}"#, 400, "urls: `ftp://h/a`"),
            (r#"{"urls": ["http://u:p@h/a"]}"#, 400, "urls: "),
            (r#"{"urls": ["http://h/a b"]}"#, 400, "urls: "),
            (r#"{"urls": ["http://h?a#b"]}"#, 400, "urls: "),
            (r#"{"paths": ["/a"]}"#, 400, one_way),
            (r#"{"group": "g", "paths": ["a"]}"#, 400, "paths: `a`"),
            (r#"{"group": "g", "paths": []}"#, 400, "paths: is empty"),
            (r#"{"group": "g", "paths": ["/a"], "prefixes": ["/b"]}"#, 400, one_way),
            (r#"{"tags": ["t"]}"#, 400, one_way),
            (r#"{"group": "g", "tags": []}"#, 400, "tags: is empty"),
            (r#"{"group": "g", "tags": ["a b"]}"#, 400, "tags: `a b`"),
            (r#"{"group": "g", "tags": [""]}"#, 400, "tags: ``"),
            (r#"{"group": "g", "tags": ["t"], "paths": ["/"]}"#, 400, one_way),
            (r#"{"regex": ["/a"]}"#, 400, one_way),
            (r#"{"group": "g", "regex": ["/a"], "tags": ["t"]}"#, 400, one_way),
            (r#"{"group": "g", "regex": []}"#, 400, "regex: is empty"),
            (r#"{"group": "g", "regex": "/a"}"#, 400, "expected a sequence"),
            (r#"{"group": "g", "regex": ["/a", "("]}"#, 400, "regex: `(` is not a regex: found open group"),
            (r#"{"group": "g", "regex": ["((a{99}){99}){99}"]}"#, 400, "regex: `((a{99}){99}){99}` is not a regex"),
            (r#"{"hosts": []}"#, 400, "hosts: is empty"),
            (r#"{"host": "http://h"}"#, 400, "hosts: `http://h` is not a host (examples: example.com,"),
            (r#"{"host": ""}"#, 400, "hosts: `` is not a host"),
            (r#"{"hosts": ["h", "*h"]}"#, 400, "hosts: `*h` is not a host"),
            (&format!(r#"{{"hosts": ["h"{}]}}"#, r#", "h""#.repeat(256)), 400, "hosts: 257 are too many"),
            (r#"{"host": "h", "urls": ["http://h/a"]}"#, 400, one_way),
            (r#"{"host": "h", "all": true}"#, 400, one_way),
            (r#"{"group": "h"}"#, 404, "there is no group `h`"),
            (r#"{"all": true} x"#, 400, "trailing characters"),
        ] {
            let (got, why) = parse(body).unwrap_err();
            assert!(got == status && why.contains(part), "{body}: {got} {why}");
        }
    }
}
