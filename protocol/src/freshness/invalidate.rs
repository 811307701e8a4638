//! What a successful unsafe request invalidates (RFC 9111 section 4.4).

use crate::{
    groups::{GroupMatch, Groups},
    request::{
        Field, METHOD_OVERRIDES, REROUTING, Request, Response, default_port, normal_form::normalize, split_host,
    },
};

/// Whether a method may change the resource: every one that is not known to be safe (RFC 9110 section 9.2.1 and the
/// IANA registry).
pub fn is_unsafe(method: &[u8]) -> bool {
    !matches!(
        method,
        b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PRI" | b"PROPFIND" | b"QUERY" | b"REPORT" | b"SEARCH"
    )
}

/// Returns the targets (path and query) on the request's origin that this response invalidates: the request's own
/// first, then those of Location and Content-Location, also on another host with which the request's shares responses.
/// Empty for a safe method or an error. `namespace`: the caller's.
pub fn invalidates(
    groups: &Groups,
    namespace: Option<&str>,
    request: &Request<'_>,
    response: &Response<'_>,
) -> Vec<String> {
    if !is_unsafe(request.method) || !(200..400).contains(&response.status) {
        return Vec::new();
    }
    let mut targets = vec![own(request)];
    for value in response.values("location").chain(response.values("content-location")) {
        let other = std::str::from_utf8(value).ok().and_then(|reference| resolve(request, reference.trim()));
        if let Some(Reference { authority, target }) = other
            && authority.is_none_or(|host| share_response(groups, namespace, request, host, &target))
        {
            let target = normal_target(&target);
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
    }
    targets
}

/// Whether this target has one response on the request's host and on another one.
fn share_response(groups: &Groups, namespace: Option<&str>, request: &Request<'_>, host: &str, target: &str) -> bool {
    let group = |authority: &str| {
        let (scheme, authority) = (request.scheme.as_bytes(), authority.as_bytes());
        let there = Request::read(b"GET", scheme, authority, target.as_bytes(), &[]).ok()?;
        match groups.find(&there, namespace) {
            GroupMatch::Group(group) if group.shares_hosts() => Some(group.name()),
            _ => None,
        }
    };
    group(host).is_some_and(|name| group(request.authority) == Some(name))
}

/// Returns the lists of fields with which the resource of an unsafe request may be keyed: without any field that can
/// reroute, and, where the request has some, with them (a gateway may add them to all requests) except those that
/// change the method.
pub fn possible_key_fields<'a>(request: &Request<'a>) -> Vec<Vec<Field<'a>>> {
    let but = |left_out: &dyn Fn(&[u8]) -> bool| {
        request.fields.iter().filter(|(name, _)| !left_out(name)).copied().collect::<Vec<_>>()
    };
    let plain = but(&|name| REROUTING.contains(&name));
    let routed = but(&|name| METHOD_OVERRIDES.contains(&name));
    if routed == plain { vec![plain] } else { vec![routed, plain] }
}

/// Whether the response to a POST is also that of a GET of the same target: its Content-Location is that target.
pub(super) fn answers_get(request: &Request<'_>, response: &Response<'_>) -> bool {
    let own = own(request);
    let mut said = response.values("content-location");
    let is_own = |value: &[u8]| {
        std::str::from_utf8(value)
            .ok()
            .and_then(|text| resolve(request, text.trim()))
            .is_some_and(|other| other.authority.is_none() && normal_target(&other.target) == own)
    };
    request.method == b"POST"
        && (200..300).contains(&response.status)
        && said.next().is_some_and(is_own)
        && said.next().is_none()
}

/// Returns a request's target in its normal form.
fn own(request: &Request<'_>) -> String {
    target(&request.normal_path(), request.normal_query().as_deref())
}

fn normal_target(text: &str) -> String {
    let (path, query) = apart(text);
    target(&normalize(path), query.map(normalize).as_deref())
}

fn target(path: &str, query: Option<&str>) -> String {
    query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"))
}

/// What a reference leads to.
struct Reference<'a> {
    /// Another host than the request's.
    authority: Option<&'a str>,
    /// Path and query.
    target: String,
}

/// Resolves a reference against a request (RFC 3986 section 5.2). `None`: another scheme, or not HTTP.
fn resolve<'a>(request: &Request<'_>, reference: &'a str) -> Option<Reference<'a>> {
    let reference = reference.split('#').next()?;
    if !reference.bytes().all(|b| (0x21..=0x7e).contains(&b)) {
        return None;
    }
    let end = reference.find(['/', '?']).unwrap_or(reference.len());
    let (scheme, rest) = match reference.split_at_checked(end)?.0.find(':') {
        Some(colon) => (Some(reference.get(..colon)?), reference.get(colon.saturating_add(1)..)?),
        None => (None, reference),
    };
    if scheme.is_some_and(|scheme| !scheme.eq_ignore_ascii_case(request.scheme)) {
        return None;
    }
    let mut other = None;
    let (path, query) = match rest.strip_prefix("//") {
        Some(rest) => {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let (authority, rest) = rest.split_at_checked(end)?;
            other = (!same_authority(request, authority)).then_some(authority);
            apart(rest)
        }
        None if scheme.is_some() => return None,
        None => apart(rest),
    };
    let target = match path {
        "" if rest.starts_with("//") => target("/", query),
        "" => target(request.path, query.or(request.query)),
        _ if path.starts_with('/') => target(&without_dots(path), query),
        _ => {
            let folder = request.path.rfind('/').and_then(|slash| request.path.get(..=slash)).unwrap_or("/");
            target(&without_dots(&format!("{folder}{path}")), query)
        }
    };
    Some(Reference { authority: other, target })
}

fn apart(text: &str) -> (&str, Option<&str>) {
    text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)))
}

fn same_authority(request: &Request<'_>, authority: &str) -> bool {
    let (host, port) = request.host_port();
    let (other, other_port) = split_host(authority);
    host.eq_ignore_ascii_case(other) && port == other_port.filter(|p| *p != default_port(request.scheme))
}

/// Removes `.` and `..` from a path (RFC 3986 section 5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let segments = path.strip_prefix('/').unwrap_or(path);
    let last = segments.rsplit('/').next().unwrap_or_default();
    for segment in segments.split('/') {
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            _ => kept.push(segment),
        }
    }
    if last == "." || last == ".." {
        kept.push("");
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_changed_is_keyed_with_and_without_what_a_gateway_adds() {
        let with = |fields: &[Field<'_>]| -> Vec<Vec<String>> {
            let request = Request::read(b"POST", b"http", b"h", b"/", fields).unwrap();
            possible_key_fields(&request)
                .iter()
                .map(|fields| fields.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect())
                .collect()
        };
        assert_eq!(with(&[(b"accept", b"*/*")]), [["accept"]]);
        assert_eq!(with(&[(b"accept", b"*/*"), (b"x-http-method-override", b"PUT")]), [["accept"]]);
        assert_eq!(
            with(&[(b"accept", b"*/*"), (b"x-method-override", b"PUT"), (b"x-forwarded-port", b"443")]),
            [&["accept", "x-forwarded-port"][..], &["accept"]]
        );
    }

    fn after(method: &str, status: u16, location: &str) -> Vec<String> {
        let request = Request::read(method.as_bytes(), b"http", b"Example.com", b"/a/b?c=1", &[]).unwrap();
        let fields = [(&b"location"[..], location.as_bytes())];
        let response = Response { status, fields: if location.is_empty() { &[] } else { &fields } };
        invalidates(&Groups::default(), None, &request, &response)
    }

    #[test]
    fn a_successful_unsafe_request_invalidates_its_target() {
        for method in ["POST", "PUT", "DELETE", "PATCH", "M-UNKNOWN", "get"] {
            assert_eq!(after(method, 200, ""), ["/a/b?c=1"], "{method}");
        }
        for status in [201, 204, 299, 302, 399] {
            assert_eq!(after("POST", status, ""), ["/a/b?c=1"], "{status}");
        }
    }

    #[test]
    fn a_safe_method_or_an_error_invalidates_nothing() {
        for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
            assert!(after(method, 200, "/x").is_empty(), "{method}");
        }
        for status in [100, 400, 404, 500] {
            assert!(after("POST", status, "/x").is_empty(), "{status}");
        }
    }

    #[test]
    fn location_and_content_location_on_the_same_origin_are_invalid_too() {
        for (reference, expected) in [
            ("/x?y", "/x?y"),
            ("x", "/a/x"),
            ("../x", "/x"),
            ("./", "/a/"),
            ("?z", "/a/b?z"),
            ("http://example.com/x", "/x"),
            ("HTTP://EXAMPLE.com:80/x#f", "/x"),
            ("//example.com", "/"),
            ("//example.com?q", "/?q"),
            ("/a/../../x", "/x"),
        ] {
            assert_eq!(after("POST", 201, reference), ["/a/b?c=1", expected], "{reference}");
        }
        let fields: [crate::Field; 2] = [(b"location", b"/x"), (b"content-location", b"/y")];
        let request = Request::read(b"PUT", b"http", b"h", b"/z", &[]).unwrap();
        let response = Response { status: 200, fields: &fields };
        assert_eq!(invalidates(&Groups::default(), None, &request, &response), ["/z", "/x", "/y"]);
    }

    #[test]
    fn hosts_that_share_responses_invalidate_each_others_and_no_more() {
        let config = serde_json::json!({"version": 1, "groups": [
            {"name": "own", "match": {"hosts": ["a.h"], "paths": [{"prefix": "/own"}]}, "origin": {"url": "http://o"}},
            {"name": "all", "match": {"hosts": ["*.h"]}, "key": {"host": "none"}, "origin": {"url": "http://o"}},
            {"name": "other", "match": {"hosts": ["other"]}, "key": {"host": "none"}, "origin": {"url": "http://o"}}]});
        let groups = Groups::new(serde_json::from_value(config).unwrap()).unwrap();
        let request = Request::read(b"POST", b"http", b"a.h", b"/z", &[]).unwrap();
        let other = |name: &str, reference: &str| {
            let fields = [(name.as_bytes(), reference.as_bytes())];
            invalidates(&groups, None, &request, &Response { status: 201, fields: &fields }).get(1).cloned()
        };
        for name in ["location", "content-location"] {
            assert_eq!(other(name, "http://B.h:80/x?y"), Some("/x?y".into()), "{name}");
            assert_eq!(other(name, "//b.h:8080/%78"), Some("/x".into()), "{name}: any port, in its normal form");
            assert_eq!(other(name, "//b.h/own"), None, "{name}: that path is the first host's alone");
            assert_eq!(other(name, "http://other/x"), None, "{name}: another group");
            assert_eq!(other(name, "https://b.h/x"), None, "{name}: another scheme");
        }
    }

    #[test]
    fn another_origin_is_never_invalidated() {
        for reference in [
            "http://other.com/x",
            "https://example.com/x",
            "//other.com/x",
            "http://example.com:8080/x",
            "mailto:a@b",
            "http:x",
            "http://user@example.com/x",
            "/a b",
            "/\u{e9}",
        ] {
            assert_eq!(after("POST", 201, reference), ["/a/b?c=1"], "{reference}");
        }
    }
}
