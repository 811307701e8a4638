//! A key in its parts, as people read it.

use crate::{cache::request::CacheRequest, inquiry::keys::query_names};
use meshcache_admin::KeyPart;
use meshcache_protocol::request::{Cookie, REROUTING};

/// Returns the parts of a request's key, in order. Values of the query, of headers and of cookies may be secrets: who reads
/// the answer need not be who wrote the request.
pub(super) fn of(request: &CacheRequest<'_>) -> Vec<KeyPart> {
    let Some(parts) = request.key.parts() else { return Vec::new() };
    let part = |name: String, value: &str| KeyPart { name, value: value.to_owned() };
    let given = |is_given: bool| if is_given { "(given)" } else { "(absent)" };
    let query = query_names(parts.query);
    let shared = if parts.authority.is_empty() { "(any: key.host)" } else { parts.authority };
    let of_url =
        [("group", parts.group), ("scheme", parts.scheme), ("host", shared), ("path", parts.path), ("query", &query)];
    let mut all: Vec<_> = of_url.into_iter().map(|(name, value)| part(name.to_owned(), value)).collect();
    let (group, http) = (&request.served.group, &request.http);
    let header = |name: &str| part(format!("header {name}"), given(http.value(name).is_some()));
    all.extend(group.key_headers().map(header));
    let is_given = |name: &str| matches!(http.cookie(name), Cookie::Once(_));
    all.extend(group.key_cookies().map(|name| part(format!("cookie {name}"), given(is_given(name)))));
    if group.keys_route() {
        all.push(part("route".into(), "(the proxy's route; none: a client of a coordinator)"));
    }
    let rerouting = REROUTING.into_iter().filter_map(|name| std::str::from_utf8(name).ok());
    let rerouting = rerouting.filter(|name| http.value(name).is_some() && !group.drops(name.as_bytes()));
    all.extend(rerouting.map(header));
    all
}
