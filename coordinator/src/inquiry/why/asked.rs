//! The request that an administrator wants explained, as a coordinator would read it.

use crate::{
    cache::{
        groups::{GroupTable, ServedGroup},
        request::{CacheRequest, NotLookedUp, classify},
        state::Cache,
    },
    http::head::{Fields, RequestHead},
    settings::Port,
};
use http::{HeaderName, HeaderValue, Method, Request, Uri, header};
use meshcache_admin::WhyRequest;
use meshcache_protocol::{
    Reason,
    groups::Mode,
    request::PREFIX,
    wire::header::{BYPASS, DEBUG},
};
use std::sync::Arc;

/// The most headers, as ports take them.
const MOST_HEADERS: usize = 256;

/// What is wrong with a request that is to be explained: one line, which names the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct InvalidWhy(pub(crate) String);

/// Makes the request that is to be explained.
pub(super) fn read(asked: &WhyRequest) -> Result<Request<()>, InvalidWhy> {
    let method = if asked.method.is_empty() { "GET" } else { &asked.method };
    let bad_method = || InvalidWhy(format!("method: `{}` is no method", escaped(method)));
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| bad_method())?;
    if asked.probe && method != Method::GET && method != Method::HEAD {
        return Err(InvalidWhy(format!("probe: asks with GET and HEAD alone, not with {}", escaped(method.as_str()))));
    }
    let bad_url = || InvalidWhy(format!("url: `{}` is not http[s]://HOST[:PORT]/PATH[?QUERY]", escaped(&asked.url)));
    let uri = asked.url.parse::<Uri>().map_err(|_| bad_url())?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    if !is_http
        || uri.authority().is_none_or(|authority| authority.host().is_empty() || authority.as_str().contains('@'))
    {
        return Err(bad_url());
    }
    if asked.headers.len() > MOST_HEADERS {
        return Err(InvalidWhy(format!("headers: more than {MOST_HEADERS}")));
    }
    let mut request = Request::new(());
    (*request.method_mut(), *request.uri_mut()) = (method, uri);
    for (n, line) in asked.headers.iter().enumerate() {
        let (name, value) = field(line).map_err(|what| InvalidWhy(format!("headers[{n}]: {what}")))?;
        request.headers_mut().append(name, value);
    }
    Ok(request)
}

fn field(line: &str) -> Result<(HeaderName, HeaderValue), String> {
    let read = || {
        let (name, value) = line.split_once(':')?;
        let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
        Some((name, HeaderValue::from_str(value.trim()).ok()?))
    };
    // What is wrong may be a secret: it is not repeated.
    let (name, value) = read().ok_or("expected `NAME: VALUE`")?;
    let is_own = name.as_str().starts_with(PREFIX) && name != BYPASS && name != DEBUG;
    if is_own || name == header::HOST {
        let instead = if is_own { "proxies and coordinators alone write it" } else { "the URL has it" };
        return Err(format!("leave {name} out: {instead}"));
    }
    Ok((name, value))
}

/// What a client wrote, as a terminal may show it.
fn escaped(text: &str) -> String {
    text.chars().take(200).flat_map(char::escape_debug).collect()
}

/// Returns the head of a request.
pub(super) fn head(request: Request<()>) -> Result<RequestHead, InvalidWhy> {
    RequestHead::read(Port::Data, request.into_parts().0).map_err(|bad| InvalidWhy(bad.reason().label().to_owned()))
}

/// What becomes of a request.
pub(super) struct Looked<'a> {
    /// Its group, where it has one.
    pub(super) served: Option<Arc<ServedGroup>>,
    /// The request, if it has a key.
    pub(super) request: Option<CacheRequest<'a>>,
    /// Why the request alone decides; none: it is looked up.
    pub(super) reason: Option<Reason>,
}

/// Calls with what becomes of a request here. One that `callers` does not admit is looked up all the same: an
/// administrator has no identity.
pub(super) fn look<R>(cache: &Cache, table: &GroupTable, head: &RequestHead, see: impl FnOnce(Looked<'_>) -> R) -> R {
    let (fields, settings) = (head.fields(), &cache.settings);
    let (mut edited, mut again) = (Fields::new(), Fields::new());
    let (classified, refused) = match classify(Port::Data, head, &fields, &mut edited, table, settings) {
        Err(NotLookedUp::Refused { reason: Reason::Caller, .. }) => {
            (classify(Port::Peer, head, &fields, &mut again, table, settings), Some(Reason::Caller))
        }
        classified => (classified, None),
    };
    let (served, request, reason) = match classified {
        Ok(request) => {
            let observes = request.served.group.config().mode == Mode::Observe;
            (Some(request.served.clone()), Some(request), observes.then_some(Reason::Observe))
        }
        Err(NotLookedUp::Pass { served, reason, .. } | NotLookedUp::Forbidden { served, reason, .. }) => {
            (Some(served.clone()), None, Some(reason))
        }
        Err(NotLookedUp::Decline { served, reason }) => (served.cloned(), None, Some(reason)),
        Err(NotLookedUp::Refused { reason, .. }) => (None, None, Some(reason)),
    };
    see(Looked { served, request, reason: refused.or(reason) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(url: &str, method: &str, headers: &[&str], probe: bool) -> String {
        let headers = headers.iter().map(ToString::to_string).collect();
        let asked = WhyRequest { url: url.into(), method: method.into(), headers, probe };
        read(&asked).map_err(|bad| bad.to_string()).unwrap_err()
    }

    #[test]
    fn a_wrong_request_is_named_in_one_line() {
        for (line, url, method, headers, probe) in [
            ("url: `` is not http[s]://HOST[:PORT]/PATH[?QUERY]", "", "", &[][..], false),
            ("url: `h/a` is not http[s]://HOST[:PORT]/PATH[?QUERY]", "h/a", "", &[], false),
            ("url: `ftp://h/` is not http[s]://HOST[:PORT]/PATH[?QUERY]", "ftp://h/", "", &[], false),
            ("url: `http://me@h/` is not http[s]://HOST[:PORT]/PATH[?QUERY]", "http://me@h/", "", &[], false),
            ("url: `\\u{1b}[2J` is not http[s]://HOST[:PORT]/PATH[?QUERY]", "\u{1b}[2J", "", &[], false),
            ("method: `a b` is no method", "http://h/", "a b", &[], false),
            ("probe: asks with GET and HEAD alone, not with POST", "http://h/", "POST", &[], true),
            ("headers[1]: expected `NAME: VALUE`", "http://h/", "", &["a: b", "secret"], false),
            ("headers[0]: leave host out: the URL has it", "http://h/", "", &["Host: h"], false),
            (
                "headers[0]: leave meshcache-wire out: proxies and coordinators alone write it",
                "http://h/",
                "",
                &["meshcache-wire: 1"],
                false,
            ),
        ] {
            assert_eq!(wrong(url, method, headers, probe), line);
        }
    }
}
