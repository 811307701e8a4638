//! Fields of a group that exclude each other.

use super::{
    config::{GroupConfig, KeyHost, OriginHost},
    credential_rules,
};

/// Returns a field whose value cannot stand beside another one, and why.
pub(super) fn contradiction(group: &GroupConfig) -> Option<(&'static str, &'static str)> {
    let shares_hosts = group.key.host == KeyHost::None;
    [
        (
            !group.freshness.ignore.is_empty() && !group.request.drop.is_all(),
            "freshness.ignore",
            "needs `request: {drop: [\"*\"]}`: only the response to an anonymous request is nobody's own",
        ),
        (
            shares_hosts && group.origin.host == OriginHost::Client,
            "key.host",
            "`none` excludes `origin: {host: client}`: a Host that the origin gets has to be in the key",
        ),
        (
            shares_hosts && group.r#match.service.is_some(),
            "key.host",
            "`none` is for `match.hosts`: the names of a service are one host already",
        ),
        (group.min_uses == 0, "minUses", "0 is no request: write 1 to store what the first one brings"),
    ]
    .into_iter()
    .find_map(|(is_wrong, field, what)| is_wrong.then_some((field, what)))
    .or_else(|| credential_rules::contradiction(group))
    .or_else(|| group.origin.auth.oauth2.as_ref()?.contradiction())
}

#[cfg(test)]
mod tests {
    use crate::groups::{Config, check::check};

    fn config(group: serde_json::Value) -> Config {
        serde_json::from_value(serde_json::json!({"version": 1, "groups": [group]})).unwrap()
    }

    #[test]
    fn what_cannot_stand_together_is_refused() {
        let all = |group: serde_json::Value| {
            let mut all = serde_json::json!({"name": "a", "match": {"hosts": ["h"]}, "origin": {"url": "http://o"}});
            all.as_object_mut().unwrap().extend(group.as_object().unwrap().clone());
            check(&config(all)).map_err(|problem| problem.to_string())
        };
        let drop = |names: &[&str]| serde_json::json!({"request": {"drop": names}, "freshness": {"ignore": ["vary"]}});
        let ignore = "groups[0].freshness.ignore: needs `request: {drop: [\"*\"]}`: only the response to an anonymous request is nobody's own";
        for (group, said) in [
            (drop(&["*"]), Ok(())),
            (drop(&[]), Err(ignore)),
            (drop(&["cookie"]), Err(ignore)),
            (serde_json::json!({"key": {"host": "none"}}), Ok(())),
            (
                serde_json::json!({"key": {"host": "none"}, "origin": {"url": "http://o", "host": "client"}}),
                Err(
                    "groups[0].key.host: `none` excludes `origin: {host: client}`: a Host that the origin gets has to be in the key",
                ),
            ),
            (
                serde_json::json!({"key": {"host": "none"}, "match": {"service": "a.b"}}),
                Err("groups[0].key.host: `none` is for `match.hosts`: the names of a service are one host already"),
            ),
            (
                serde_json::json!({"minUses": 0}),
                Err("groups[0].minUses: 0 is no request: write 1 to store what the first one brings"),
            ),
        ] {
            assert_eq!(all(group.clone()), said.map_err(str::to_owned), "{group}");
        }
    }

    #[test]
    fn what_is_not_written_changes_no_digest() {
        let plain = config(serde_json::json!({"name": "a", "match": {"hosts": ["h"]}, "origin": {"url": "http://o"}}));
        let written = config(
            serde_json::json!({"name": "a", "match": {"hosts": ["h"]}, "minUses": 3, "limits": {"slices": "1MiB"}, "key": {"host": "client", "query": {"include": []}}, "freshness": {"ignore": []}, "origin": {"url": "http://o"}}),
        );
        assert_eq!(serde_json::to_string(&plain).unwrap(), serde_json::to_string(&written).unwrap());
    }
}
