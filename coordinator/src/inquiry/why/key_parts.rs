//! A key in its parts, as people read it.

use crate::cache::request::CacheRequest;
use meshcache_admin::KeyPart;
use meshcache_protocol::request::{Cookie, REROUTING};

/// Returns the parts of a request's key, in order. What an administrator wrote may be shown to them.
pub(super) fn of(request: &CacheRequest<'_>) -> Vec<KeyPart> {
    let Some(parts) = request.key.parts() else { return Vec::new() };
    let part = |name: String, value: &str| KeyPart { name, value: value.to_owned() };
    let shared = if parts.authority.is_empty() { "(any: key.host)" } else { parts.authority };
    let of_url = [
        ("group", parts.group),
        ("scheme", parts.scheme),
        ("host", shared),
        ("path", parts.path),
        ("query", parts.query),
    ];
    let mut all: Vec<_> = of_url.into_iter().map(|(name, value)| part(name.to_owned(), value)).collect();
    let (group, http) = (&request.served.group, &request.http);
    let header = |name: &str| {
        let values: Vec<_> = http.values(name).map(String::from_utf8_lossy).collect();
        if values.is_empty() { "(absent)".to_owned() } else { values.join(", ") }
    };
    all.extend(group.key_headers().map(|name| part(format!("header {name}"), &header(name))));
    all.extend(group.key_cookies().map(|name| {
        let value = match http.cookie(name) {
            Cookie::Once(value) => String::from_utf8_lossy(value),
            Cookie::Absent | Cookie::Ambiguous => "(absent)".into(),
        };
        part(format!("cookie {name}"), &value)
    }));
    if group.keys_route() {
        all.push(part("route".into(), "(the proxy's route; none: a client of a coordinator)"));
    }
    let rerouting = REROUTING.into_iter().filter_map(|name| std::str::from_utf8(name).ok());
    let rerouting = rerouting.filter(|name| http.value(name).is_some() && !group.drops(name.as_bytes()));
    all.extend(rerouting.map(|name| part(format!("header {name}"), &header(name))));
    all
}
