//! Cache-Status: what the cache did, for clients (RFC 9211).

use crate::wire::Verdict;

/// The member that we append: `meshcache; hit; ttl=27; detail=proxy`, `meshcache; fwd=uri-miss; fwd-status=200; stored; collapsed`.
/// `detail`: who answered (`proxy`, `owner`), else the verdict's reason where there is one. `key`: for debuggers only.
pub fn cache_status(installation: &str, verdict: &Verdict, detail: &str, key: Option<&str>) -> String {
    let _ = (verdict, detail, key);
    installation.to_owned()
}
