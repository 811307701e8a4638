//! The fields that go to an origin with a request, and to a client with a response.

use crate::{
    http::{
        body::Body,
        head::{CONDITIONAL_FIELDS, RequestHead},
        interim::Interim,
        names,
    },
    origin::exchange::HttpOrigin,
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version,
    header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, VIA},
    uri::PathAndQuery,
};
use meshcache_protocol::{
    Field, forwarding,
    groups::{Group, OriginHost},
    key,
    request::normal_form::{is_unambiguous, normalize},
    wire,
};
use std::{borrow::Cow, sync::Arc};

/// This installation as messages name it that it forwards, in values that are made once.
pub(crate) struct Forwarder {
    cdn_loop: HeaderValue,
    via: [HeaderValue; 3],
}

impl Forwarder {
    pub(crate) fn new(installation: &str) -> Self {
        let value = |text: &str, or| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(or));
        let via = ["1.0", "1.1", "2"].map(|version| value(&format!("{version} {installation}"), "1.1 meshcache"));
        Self { cdn_loop: value(installation, "meshcache"), via }
    }

    /// Returns our member of Via for a message of this version of HTTP (RFC 9110 section 7.6.3).
    pub(crate) fn via(&self, version: Version) -> &HeaderValue {
        let [old, one, two] = &self.via;
        match version {
            Version::HTTP_10 => old,
            Version::HTTP_2 => two,
            _ => one,
        }
    }
}

/// The purpose of a request to an origin.
pub(crate) enum Purpose<'a> {
    /// One client's request, as it was sent.
    Pass(Body),
    /// A shared load: a whole GET, or a QUERY with its content, with the key's target and these conditions.
    Load(&'a [(&'static str, Vec<u8>)]),
}

/// Makes the request for the origin. It adds only `Via` and `CDN-Loop`: `X-Forwarded-For` and its like stay as they
/// came, since a shared load has no one client. `X-Forwarded-Proto` of a GET or HEAD is the scheme of the key: its
/// absence and `http` are one key.
///
/// `None`: it cannot be sent as it is.
pub(crate) fn outgoing(
    origin: &HttpOrigin,
    group: &Group,
    head: &RequestHead,
    forwarder: &Arc<Forwarder>,
    purpose: Purpose<'_>,
) -> Option<Request<Body>> {
    let is_load = matches!(purpose, Purpose::Load(_));
    let target = if is_load { keyed_target(group, head) } else { target(group, head) };
    let target = below(group.config().origin.url.path(), target)?;
    // As it came, it has been read already.
    let sent = head.path_and_query().filter(|sent| matches!(target, Cow::Borrowed(target) if target == sent.as_str()));
    let target = sent.or_else(|| PathAndQuery::try_from(target.as_ref()).ok())?;
    let uri = Uri::builder()
        .scheme(origin.scheme.clone())
        .authority(origin.authority.clone())
        .path_and_query(target)
        .build()
        .ok()?;
    let mut headers = HeaderMap::with_capacity(head.headers().len() + 4);
    for (name, value) in head.headers() {
        let text = name.as_str();
        let is_clients_own =
            wire::never_to_origin(text.as_bytes()) || *name == HOST || *name == CONTENT_LENGTH || *name == EXPECT;
        if is_clients_own
            || forwarding::is_hop_by_hop(text.as_bytes())
            || (is_load && CONDITIONAL_FIELDS.contains(&text))
        {
            continue;
        }
        headers.append(name.clone(), value.clone());
    }
    if matches!(*head.method(), Method::GET | Method::HEAD) || head.content().is_some() {
        headers.insert(&names::FORWARDED_PROTO, HeaderValue::from_static(head.scheme()));
    }
    headers.append(&names::CDN_LOOP, forwarder.cdn_loop.clone());
    headers.append(VIA, forwarder.via(head.version()).clone());
    if origin.host == OriginHost::Client {
        let host = if is_load {
            HeaderValue::try_from(keyed_authority(group, head)?)
        } else {
            HeaderValue::from_bytes(head.authority())
        };
        headers.insert(HOST, host.ok()?);
    }
    let body = match purpose {
        Purpose::Pass(body) => body,
        Purpose::Load(conditions) => {
            for (name, value) in conditions {
                headers.insert(*name, HeaderValue::from_bytes(value).ok()?);
            }
            head.content().map_or_else(Body::empty, |content| content.bytes().clone().into())
        }
    };
    let mut request = Request::new(body);
    *request.method_mut() = if is_load { head.load_method() } else { head.method().clone() };
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    if let Some(interim) = head.interim() {
        pass_on_interims(&mut request, interim.clone(), forwarder.clone());
    }
    Some(request)
}

/// Forwards interim responses to the client (RFC 9110 section 15.2). Not 100, since no request with Expect is sent, and
/// not 101, which is not forwarded.
fn pass_on_interims(request: &mut Request<Body>, interim: Interim, forwarder: Arc<Forwarder>) {
    hyper::ext::on_informational(request, move |response| {
        if matches!(response.status(), StatusCode::CONTINUE | StatusCode::SWITCHING_PROTOCOLS) {
            return;
        }
        let is_of_connection = |name: &[u8]| {
            forwarding::is_hop_by_hop(name) || forwarding::is_named_in_response(lines(response.headers()), name)
        };
        let is_passed_on =
            |name: &HeaderName| !is_of_connection(name.as_str().as_bytes()) && !name.as_str().starts_with(wire::PREFIX);
        let mut headers: HeaderMap = response
            .headers()
            .iter()
            .filter(|(name, _)| is_passed_on(name))
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect();
        headers.append(VIA, forwarder.via(response.version()).clone());
        interim.send(response.status(), &headers);
    });
}

/// Removes the response's fields that are not for the client: the connection's, and those of meshcache that the group
/// does not let origins use.
pub(crate) fn strip_response_headers(group: &Group, headers: &mut HeaderMap) {
    let targets = &group.config().freshness.targets;
    let is_ours = |name: &HeaderName| {
        name.as_str().starts_with(wire::PREFIX)
            && !targets.iter().any(|target| target.eq_ignore_ascii_case(name.as_str()))
    };
    // What this line names is of the connection anyway.
    let names_others = lines(headers).any(|line| !line.eq_ignore_ascii_case(b"keep-alive"));
    let is_of_connection = |name: &HeaderName| {
        let name = name.as_str().as_bytes();
        forwarding::is_hop_by_hop(name)
            || (names_others && forwarding::strips_from_response(group, lines(headers), name))
    };
    let gone: Vec<HeaderName> =
        headers.keys().filter(|name| is_of_connection(name) || is_ours(name)).cloned().collect();
    for name in gone {
        headers.remove(name);
    }
}

/// Returns whether a passing request goes to the origin as the key has it. The response to another spelling is for that
/// request alone.
pub(crate) fn goes_as_keyed(origin: &HttpOrigin, group: &Group, head: &RequestHead) -> bool {
    let is_same_host = || keyed_authority(group, head).is_some_and(|keyed| keyed.as_bytes() == head.authority());
    target(group, head) == keyed_target(group, head) && (origin.host != OriginHost::Client || is_same_host())
}

/// Returns a target below the path of the origin's URL. `None`: a server may read it as one outside, or it has no path
/// (`*`).
fn below<'t>(base: &str, target: Cow<'t, str>) -> Option<Cow<'t, str>> {
    if base.is_empty() {
        return Some(target);
    }
    let path = target.split_once('?').map_or(target.as_ref(), |(path, _)| path);
    let stays_below = (path.is_empty() || path.starts_with('/')) && is_unambiguous(path);
    stays_below.then(|| Cow::Owned(format!("{base}{target}")))
}

/// Returns path and query as they came, without the parameters that the group excludes.
fn target<'h>(group: &Group, head: &'h RequestHead) -> Cow<'h, str> {
    let sent = head.target();
    let Some((path, query)) = sent.split_once('?') else { return Cow::Borrowed(sent) };
    match group.query(Some(query)) {
        Some(Cow::Borrowed(_)) => Cow::Borrowed(sent),
        Some(Cow::Owned(query)) => Cow::Owned(format!("{path}?{query}")),
        None => Cow::Borrowed(path),
    }
}

/// Returns path and query as the key has them.
fn keyed_target<'h>(group: &Group, head: &'h RequestHead) -> Cow<'h, str> {
    let sent = head.target();
    let Some((path, query)) = sent.split_once('?') else { return normalize(sent) };
    let (path, query) = (normalize(path), normalize(query));
    match (path, group.query(Some(&query))) {
        (Cow::Borrowed(path), None) => Cow::Borrowed(path),
        (Cow::Owned(path), None) => Cow::Owned(path),
        (Cow::Borrowed(_), Some(Cow::Borrowed(_))) if matches!(query, Cow::Borrowed(_)) => Cow::Borrowed(sent),
        (path, Some(query)) => Cow::Owned(format!("{path}?{query}")),
    }
}

/// Returns the host as the key has it.
fn keyed_authority(group: &Group, head: &RequestHead) -> Option<String> {
    Some(key::authority(group, &head.host_only(&[]).ok()?).into_owned())
}

/// Returns the lines of Connection.
fn lines(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers.get_all(CONNECTION).iter().map(HeaderValue::as_bytes)
}

/// Calls `see` with the protocol's view of response headers.
pub(crate) fn with_headers<T>(headers: &HeaderMap, see: impl FnOnce(&[Field<'_>]) -> T) -> T {
    let fields: Vec<Field<'_>> =
        headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())).collect();
    see(&fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Port;

    fn head(host: &'static str, target: &str) -> RequestHead {
        let request = Request::builder().uri(target).header("host", host).body(()).unwrap();
        RequestHead::read(Port::Data, request.into_parts().0).unwrap()
    }

    #[test]
    fn a_load_sends_the_keys_target_and_a_pass_the_clients() {
        let group = Group::for_tests(r#"{"key": {"query": {"exclude": ["utm_*"]}}}"#);
        for (sent, passed, keyed) in [
            ("/a/b?c=1", "/a/b?c=1", "/a/b?c=1"),
            ("/%7ea/%c3?%62=%c3", "/%7ea/%c3?%62=%c3", "/~a/%C3?b=%C3"),
            ("/%7ea?utm_x=1", "/%7ea", "/~a"),
            ("/a?utm_x=1&b", "/a?b", "/a?b"),
            ("/a?%75tm_x=1", "/a?%75tm_x=1", "/a"),
            ("/a?b=%7e", "/a?b=%7e", "/a?b=~"),
            ("/%61?b", "/%61?b", "/a?b"),
        ] {
            let head = head("h", sent);
            assert_eq!(
                (target(&group, &head).as_ref(), keyed_target(&group, &head).as_ref()),
                (passed, keyed),
                "{sent}"
            );
        }
    }

    #[test]
    fn a_load_sends_the_keys_host() {
        let (hosts, service) = (Group::for_tests("{}"), Group::for_tests(r#"{"match": {"service": "shop.apps"}}"#));
        for (sent, keyed) in [
            ("SHOP.apps", "shop.apps"),
            ("shop.apps:80", "shop.apps"),
            ("shop.apps:0080", "shop.apps"),
            ("shop.apps:", "shop.apps"),
            ("shop.apps.", "shop.apps"),
        ] {
            assert_eq!(keyed_authority(&hosts, &head(sent, "/")).as_deref(), Some(keyed), "{sent}");
        }
        assert_eq!(
            keyed_authority(&hosts, &head("shop.apps:1337", "/")).as_deref(),
            Some("shop.apps:1337"),
            "another port is another key"
        );
        for sent in ["shop.apps:1337", "shop.apps.svc.cluster.local", "Shop.Apps.svc"] {
            assert_eq!(keyed_authority(&service, &head(sent, "/")).as_deref(), Some("shop.apps"), "{sent}");
        }
    }

    #[test]
    fn fields_of_the_connection_and_of_meshcache_are_stripped() {
        let group = Group::for_tests("{}");
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "x-hop, close"),
            ("x-hop", "1"),
            ("keep-alive", "5"),
            ("meshcache-outcome", "hit"),
            ("meshcache-control", "max-age=1"),
            ("etag", "e"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        strip_response_headers(&group, &mut headers);
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["etag", "meshcache-control"]);
    }
}
