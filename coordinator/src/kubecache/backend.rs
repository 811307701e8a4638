//! BACKEND_URL: where responses come from. kubecache takes its scheme and host, and nothing else.

use super::variables::{BadVariable, Variables};
use meshcache_protocol::groups::OriginUrl;

const NAME: &str = "BACKEND_URL";
const DEFAULT: &str = "http://config-server:9000";
/// Go's HTTP client asks these proxies.
const PROXIES: [&str; 4] = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"];

/// Reads the origin.
pub(super) fn read(from: &mut Variables<'_>) -> Result<OriginUrl, BadVariable> {
    let text = from.text(NAME)?.unwrap_or(DEFAULT);
    let bad = || BadVariable::new(NAME, format!("`{text}` is not http://HOST:PORT or https://HOST:PORT"));
    let (scheme, rest) = text.split_once("://").ok_or_else(bad)?;
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let url = format!("{}://{host}", scheme.to_ascii_lowercase()).parse().map_err(|_| bad())?;
    if host != authority {
        from.warn(format!("{NAME}: user and password are ignored, as by kubecache"));
    }
    if !matches!(path, "" | "/") {
        from.warn(format!(
            "{NAME}: `{path}` is ignored, as by kubecache: requests go to the backend with their own path"
        ));
    }
    if let Some(proxy) = PROXIES.iter().find(|name| from.is_set(name)) {
        from.warn(format!("{proxy} is ignored: the backend is asked without a proxy"));
    }
    Ok(url)
}
