//! Fields that exclude each other where proxies fill, and where they do not.

use super::config::GroupConfig;

/// Returns a field that cannot stand beside the others, and why. Proxies are told none of them.
#[cfg(target_family = "wasm")]
pub(super) fn contradiction(_: &GroupConfig) -> Option<(&'static str, &'static str)> {
    None
}

/// Returns a field that cannot stand beside the others, and why.
#[cfg(not(target_family = "wasm"))]
pub(super) fn contradiction(group: &GroupConfig) -> Option<(&'static str, &'static str)> {
    use super::{
        config::{Fill, KeyHost},
        patterns::CallerPattern,
    };
    let by_proxy = group.fill == Fill::Proxy;
    [
        (
            !by_proxy && group.origin.url.is_unset(),
            "origin.url",
            "is missing: the service's URL, as http://shop.default:8080 (only `fill: proxy` needs none)",
        ),
        (
            by_proxy && group.fillers.is_empty(),
            "fillers",
            "must be written with `fill: proxy`: the proxies whose responses are given to all, as spiffe://cluster.local/ns/shop/sa/web",
        ),
        (
            group.fillers.iter().any(CallerPattern::is_everybody),
            "fillers",
            "`*` would let everybody fill, also without an identity: write identities, as spiffe://cluster.local/ns/shop/sa/*",
        ),
        (!by_proxy && !group.fillers.is_empty(), "fillers", "is for `fill: proxy`: write that, or leave this out"),
        (
            by_proxy && group.key.host == KeyHost::None,
            "key.host",
            "`none` excludes `fill: proxy`: the service gets the client's Host, which has to be in the key",
        ),
        (
            by_proxy && group.origin.gets_credentials(),
            "fill",
            "`proxy` excludes credentials of the origin (origin.headers, origin.auth, origin.tls.cert): coordinators never ask it, and proxies do not have them",
        ),
    ]
    .into_iter()
    .find_map(|(is_wrong, field, what)| is_wrong.then_some((field, what)))
}

#[cfg(not(target_family = "wasm"))]
#[cfg(test)]
mod tests {
    use crate::groups::{Config, check::check};
    use serde_json::{Value, json};

    fn checked(group: &Value) -> Result<(), String> {
        let mut all = json!({"name": "a", "match": {"hosts": ["h"]}});
        all.as_object_mut().unwrap().extend(group.as_object().unwrap().clone());
        let config: Config = serde_json::from_value(json!({"version": 1, "groups": [all]})).unwrap();
        check(&config).map_err(|problem| problem.to_string())
    }

    #[test]
    fn only_named_proxies_fill_and_only_where_no_coordinator_asks_the_origin() {
        let web = "spiffe://d/ns/shop/sa/web";
        for (group, said) in [
            (json!({"fill": "proxy", "fillers": [web]}), ""),
            (json!({"fill": "proxy", "fillers": [web], "origin": {"timeout": "2s"}}), ""),
            (json!({"fill": "proxy", "fillers": [web], "origin": {"url": "http://o"}}), ""),
            (json!({"fill": "origin", "origin": {"url": "http://o"}}), ""),
            (json!({}), "groups[0].origin.url: is missing: "),
            (json!({"origin": {"timeout": "2s"}}), "groups[0].origin.url: is missing: "),
            (json!({"fill": "proxy"}), "groups[0].fillers: must be written with `fill: proxy`: "),
            (json!({"fill": "proxy", "fillers": [web, "*"]}), "groups[0].fillers: `*` would let everybody fill"),
            (json!({"fillers": [web], "origin": {"url": "http://o"}}), "groups[0].fillers: is for `fill: proxy`"),
            (
                json!({"fill": "proxy", "fillers": [web], "key": {"host": "none"}}),
                "groups[0].key.host: `none` excludes `fill: proxy`",
            ),
            (
                json!({"callers": ["*"], "fill": "proxy", "fillers": [web], "origin": {"headers": {"x-key": {"file": "/key"}}}}),
                "groups[0].fill: `proxy` excludes credentials",
            ),
        ] {
            let got = checked(&group);
            assert_eq!(got.is_ok(), said.is_empty(), "{group}: {got:?}");
            assert!(got.is_ok() || got.as_ref().is_err_and(|line| line.starts_with(said)), "{group}: {got:?}");
        }
    }

    #[test]
    fn proxies_are_told_nothing_of_fills() {
        let with = |group: Value| {
            let mut all = json!({"name": "a", "match": {"hosts": ["h"]}, "origin": {"url": "http://o"}});
            all.as_object_mut().unwrap().extend(group.as_object().unwrap().clone());
            let config: Config = serde_json::from_value(json!({"version": 1, "groups": [all]})).unwrap();
            serde_json::to_string(&config).unwrap()
        };
        assert_eq!(with(json!({"fill": "proxy", "fillers": ["spiffe://d/a"]})), with(json!({})), "one digest");
    }
}
