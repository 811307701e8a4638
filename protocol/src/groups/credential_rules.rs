//! What a group is whose origin gets credentials: the rules that follow from them, and the fields that they exclude.

use super::config::{GroupConfig, Origin, OriginProxies};
use std::borrow::Cow;

const AUTHORIZATION: &str = "authorization";

/// Returns the configuration with the rules that follow from credentials: a request with Authorization of its own passes
/// as it is, and fields that credentials replace are part of nothing.
pub(super) fn with_rules(config: &GroupConfig) -> Cow<'_, GroupConfig> {
    if !config.origin.gets_credentials() {
        return Cow::Borrowed(config);
    }
    let mut config = config.clone();
    add_rules(&mut config);
    Cow::Owned(config)
}

/// Does what [`with_rules`] does, without a copy.
pub(super) fn add_rules(config: &mut GroupConfig) {
    if !config.origin.gets_credentials() {
        return;
    }
    if !config.bypass.headers.iter().any(|name| name == AUTHORIZATION) {
        config.bypass.headers.push(AUTHORIZATION.to_owned());
    }
    config.request.drop.add(replaced(&config.origin));
}

/// Returns the fields that credentials replace in requests, in lower case.
pub(super) fn replaced(origin: &Origin) -> impl Iterator<Item = &str> {
    origin.headers.iter().map(|(name, _)| name).filter(|name| *name != AUTHORIZATION)
}

/// Returns a field that cannot stand beside the origin's others, and why.
pub(super) fn contradiction(group: &GroupConfig) -> Option<(&'static str, &'static str)> {
    let origin = &group.origin;
    let gets = origin.gets_credentials();
    let tls = &origin.tls;
    [
        (
            gets && group.callers.is_empty(),
            "callers",
            "must be written where the origin gets credentials (origin.headers, origin.auth, origin.tls.cert): the callers that may have what these open, or [\"*\"] for everybody",
        ),
        (
            origin.ca.is_some() && tls.ca.is_some(),
            "origin.ca",
            "is the short form of origin.tls.ca: write one of them",
        ),
        (
            !tls.is_default() && origin.url.scheme() != "https",
            "origin.tls",
            "is for an https origin: write `https://` in origin.url, or leave it out",
        ),
        (tls.cert.is_some() && tls.key.is_none(), "origin.tls.cert", "needs origin.tls.key: the file of its key"),
        (tls.key.is_some() && tls.cert.is_none(), "origin.tls.key", "needs origin.tls.cert: the file of its certificate"),
        (
            origin.headers.contains(AUTHORIZATION) && !origin.auth.is_none(),
            "origin.headers.authorization",
            "is what origin.auth sends: write one of them",
        ),
        (
            gets && group.share.authorization,
            "share.authorization",
            "excludes credentials of the origin: a request with Authorization of its own passes as it is",
        ),
        (
            !gets && origin.proxies == OriginProxies::Inject,
            "origin.proxies",
            "`inject` is for an origin that gets credentials (origin.headers, origin.auth, origin.tls.cert)",
        ),
    ]
    .into_iter()
    .find_map(|(is_wrong, field, what)| is_wrong.then_some((field, what)))
}

// A filter reads none of these fields.
#[cfg(not(target_family = "wasm"))]
#[cfg(test)]
mod tests {
    use crate::{
        feed::State,
        groups::{
            Config, GroupMatch, Groups, Mode, NotPassed,
            check::{check, warnings},
        },
        request::Request,
    };
    use serde_json::{Value, json};

    fn config(groups: &[Value]) -> Config {
        let group = |(n, over): (usize, &Value)| {
            let mut all = json!({"name": format!("g{n}"), "match": {"hosts": ["h"]}, "callers": ["*"], "origin": {"url": "https://o"}});
            for (name, value) in over.as_object().unwrap() {
                match (all.get_mut(name), value) {
                    (Some(Value::Object(fields)), Value::Object(over)) => fields.extend(over.clone()),
                    _ => all[name] = value.clone(),
                }
            }
            all
        };
        let groups: Vec<_> = groups.iter().enumerate().map(group).collect();
        serde_json::from_value(json!({"version": 1, "groups": groups})).unwrap()
    }

    /// With the header `x-key` from a file, and these fields of `origin`.
    fn keyed(origin: Value) -> Value {
        let mut all = json!({"headers": {"x-key": {"file": "/key"}}});
        all.as_object_mut().unwrap().extend(origin.as_object().unwrap().clone());
        json!({ "origin": all })
    }

    #[test]
    fn what_does_not_go_with_credentials_is_refused_with_its_field() {
        let callers = "callers: must be written where the origin gets credentials (origin.headers, origin.auth, origin.tls.cert): the callers that may have what these open, or [\"*\"] for everybody";
        let tls = |fields: Value| json!({"origin": {"tls": fields}});
        for (group, said) in [
            (keyed(json!({})), Ok(())),
            (tls(json!({"cert": "/c", "key": "/k", "ca": "/a", "serverName": "n"})), Ok(())),
            (json!({"callers": [], "origin": {"headers": {"x-key": {"file": "/key"}}}}), Err(callers)),
            (json!({"callers": [], "origin": {"tls": {"cert": "/c", "key": "/k"}}}), Err(callers)),
            (json!({"callers": [], "origin": {"tls": {"ca": "/a"}}}), Ok(())),
            (
                json!({"origin": {"ca": "/a", "tls": {"ca": "/b"}}}),
                Err("origin.ca: is the short form of origin.tls.ca: write one of them"),
            ),
            (
                json!({"origin": {"url": "http://o", "tls": {"serverName": "n"}}}),
                Err("origin.tls: is for an https origin: write `https://` in origin.url, or leave it out"),
            ),
            (tls(json!({"cert": "/c"})), Err("origin.tls.cert: needs origin.tls.key: the file of its key")),
            (tls(json!({"key": "/k"})), Err("origin.tls.key: needs origin.tls.cert: the file of its certificate")),
            (
                json!({"share": {"authorization": true}, "origin": {"headers": {"x-key": {"file": "/key"}}}}),
                Err(
                    "share.authorization: excludes credentials of the origin: a request with Authorization of its own passes as it is",
                ),
            ),
            (
                json!({"origin": {"proxies": "inject"}}),
                Err(
                    "origin.proxies: `inject` is for an origin that gets credentials (origin.headers, origin.auth, origin.tls.cert)",
                ),
            ),
            (
                json!({"key": {"headers": ["X-Key"]}, "origin": {"headers": {"x-key": {"file": "/key"}}}}),
                Err(
                    "key.headers: origin.headers replaces `x-key` before this could read it: leave it out here, or there",
                ),
            ),
            (
                json!({"bypass": {"cookies": ["a"]}, "origin": {"headers": {"cookie": {"file": "/key"}}}}),
                Err(
                    "bypass.cookies: origin.headers replaces `cookie` before this could read it: leave it out here, or there",
                ),
            ),
        ] {
            let found = check(&config(std::slice::from_ref(&group))).map_err(|problem| problem.to_string());
            assert_eq!(found, said.map_err(|said| format!("groups[0].{said}")), "{group}");
        }
    }

    #[test]
    fn credentials_in_clear_are_one_warning_for_a_group() {
        let plain = config(&[keyed(json!({"url": "http://o"}))]);
        let lines: Vec<_> = warnings(&plain).iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "groups[0].origin.url: credentials go to it in clear, over `http://`: whoever is on the way can read them"
            ]
        );
        assert!(warnings(&config(&[keyed(json!({}))])).is_empty());
    }

    #[test]
    fn plain_clients_pass_with_get_and_head_and_on_paths_of_the_group_alone_unless_it_says_more() {
        let group = |over: Value| Groups::new(config(&[over])).unwrap().named("g0").unwrap().clone();
        let closed = group(keyed(json!({})));
        for identified in [false, true] {
            assert_eq!(closed.passes_through("GET", false, identified), Ok(()));
            assert_eq!(closed.passes_through("HEAD", false, identified), Ok(()));
            assert_eq!(closed.passes_through("POST", false, identified), Err(NotPassed::Methods));
            assert_eq!(closed.passes_through("GET", true, identified), Err(NotPassed::OtherPaths));
        }
        let open = group(
            json!({"passThrough": {"methods": ["*"], "otherPaths": true}, "origin": {"headers": {"x-key": {"file": "/key"}}}}),
        );
        assert_eq!(open.passes_through("POST", true, false), Ok(()));
    }

    #[test]
    fn a_clients_own_field_is_part_of_nothing_and_its_own_authorization_passes() {
        let groups = Groups::new(config(&[keyed(
            json!({"headers": {"x-key": {"file": "/key"}, "authorization": {"file": "/t"}}}),
        )]))
        .unwrap();
        let group = groups.named("g0").unwrap();
        assert!(group.drops(b"x-key") && !group.drops(b"authorization"));
        let anonymous = json!({"request": {"drop": ["*"]}, "origin": {"headers": {"x-key": {"file": "/key"}}}});
        let anonymous = Groups::new(config(&[anonymous])).unwrap();
        assert!(anonymous.named("g0").unwrap().drops(b"authorization"), "loads are not the client's");
        let own = [(&b"authorization"[..], &b"mine"[..])];
        let request = Request::read(b"GET", b"http", b"h", b"/", &own).unwrap();
        assert_eq!(group.bypass_reason(&request), Some(crate::Reason::BypassHeader));
        assert_eq!(group.bypass_reason(&Request::read(b"GET", b"http", b"h", b"/", &[]).unwrap()), None);
    }

    #[test]
    fn proxies_serve_such_a_group_only_where_envoy_injects() {
        let names = |groups: &[Value], wire| {
            let told = State::new(wire, "meshcache", &[], &config(groups));
            assert!(!serde_json::to_string(&told).unwrap().contains("/key"), "no file of a secret is told");
            let groups = told.groups().unwrap();
            let all = groups.iter().map(|group| format!("{} {:?}", group.name(), group.config().mode));
            all.collect::<Vec<_>>().join(", ")
        };
        let plain = json!({"match": {"hosts": ["*"]}});
        for wire in [1, 2, 3] {
            assert_eq!(names(&[keyed(json!({}))], wire), "");
            assert_eq!(names(&[plain.clone(), keyed(json!({}))], wire), "g0 On");
            assert_eq!(
                names(&[keyed(json!({})), plain.clone()], wire),
                "g0 Off, g1 On",
                "its requests are not the next group's"
            );
        }
        let injected = keyed(json!({"proxies": "inject"}));
        assert_eq!(names(std::slice::from_ref(&injected), 3), "g0 On");
        assert_eq!(
            names(std::slice::from_ref(&injected), 2),
            "g0 Off",
            "an older filter would key the client's own field"
        );
        let token = json!({"origin": {"headers": {"authorization": {"file": "/key"}}, "proxies": "inject"}});
        assert_eq!(names(&[token], 1), "g0 On");
        let config = config(&[injected]);
        assert_eq!(State::first_whole(&config), 3);
        let groups = State::new(3, "meshcache", &[], &config).groups().unwrap();
        let (told, ours) = (groups.named("g0").unwrap(), Groups::new(config).unwrap());
        assert!(told.drops(b"x-key") && told.config().mode == Mode::On);
        assert!(ours.named("g0").unwrap().accepts_digest(told.digest()));
        let own = [(&b"authorization"[..], &b"mine"[..])];
        let request = Request::read(b"GET", b"http", b"h", b"/", &own).unwrap();
        let GroupMatch::Group(found) = groups.find(&request, None) else { panic!("it is told") };
        assert_eq!(found.bypass_reason(&request), Some(crate::Reason::BypassHeader));
    }
}
