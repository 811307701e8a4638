//! Purges of any kind against keys of any group.

use meshcache_protocol::{
    Groups, Key, Request,
    groups::GroupMatch,
    purge::{Candidates, KeyMatch, Matcher, Purge, Scope},
};
use proptest::{collection::vec, option, prelude::*, sample::select};
use std::sync::LazyLock;

static GROUPS: LazyLock<Groups> = LazyLock::new(|| {
    let config = serde_json::json!({"version": 1, "groups": [
        {"name": "service", "match": {"service": "a.b"}, "origin": {"url": "http://o"}},
        {"name": "some", "match": {"hosts": ["*.example"], "paths": [{"prefix": "/a"}]}, "origin": {"url": "http://o"},
            "key": {"query": {"exclude": ["x"], "sort": true}}},
        {"name": "any", "match": {"hosts": ["*"]}, "origin": {"url": "http://o"}}]});
    Groups::new(serde_json::from_value(config).unwrap()).unwrap()
});

const HOSTS: [&str; 5] = ["h.example", "h.example:8080", "other", "a.b.svc", "a.b:9000"];
const PATHS: [&str; 5] = ["/a", "/a?x=1", "/a?z=1&b=2", "/a/%7eb", "/c"];
const TAGS: [&str; 2] = ["t", "u"];

fn key() -> impl Strategy<Value = Key> {
    (select(&HOSTS[..]), select(&PATHS[..])).prop_map(|(host, path)| {
        let request = Request::read(b"GET", b"http", host.as_bytes(), path.as_bytes(), &[]).unwrap();
        let GroupMatch::Group(group) = GROUPS.find(&request, None) else { unreachable!() };
        Key::of(group, &request, None)
    })
}

fn some(of: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    vec(select(of).prop_map(str::to_owned), 0..3)
}

fn scope() -> impl Strategy<Value = Scope> {
    let urls = &["http://h.example/a?x=1", "http://other/c", "http://a.b/a", "https://other/c"][..];
    let hosts = &["h.example", "*.example", "other", "a.b.svc.cluster.local", "*"][..];
    let regex = &["/a.*", "/c", ".*\\?.*", "("][..];
    let limits =
        (option::of(select(&["service", "some", "any", "gone"][..])), some(hosts), proptest::bool::weighted(0.1));
    let selected = (some(urls), some(&PATHS), some(&["/a/", "/a?", "/"][..]), some(regex), some(&TAGS));
    (limits, selected).prop_map(|((group, hosts, all), (urls, paths, prefixes, regex, tags))| {
        let hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
        Scope { urls, group: group.map(str::to_owned), hosts, paths, prefixes, regex, tags, all }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    /// The store looks only at candidates, and proxies and peers match what they read.
    #[test]
    fn what_a_purge_matches_is_among_its_candidates_and_is_matched_by_every_reader(scope in scope(), key in key()) {
        let matcher = Matcher::new(&scope, &GROUPS);
        let parts = key.parts().unwrap();
        let is_candidate = |terms: &[&str]| matcher.candidates(|path| format!("path {path}"), |tag| format!("tag {tag}")).iter()
            .any(|Candidates { group, terms: at }| group.is_none_or(|group| group == parts.group)
                && at.as_ref().is_none_or(|at| at.iter().any(|term| terms.contains(&term.as_str()))));
        let path = format!("path {}", parts.path);
        match matcher.match_key(&key) {
            KeyMatch::Yes => prop_assert!(is_candidate(&[&path])),
            KeyMatch::ByTag(tags) => {
                let all = tags.iter().all(|tag| is_candidate(&[&path, &["tag ", tag].concat()]));
                prop_assert!(all);
            }
            KeyMatch::No => {}
        }
        if let Some(wider) = scope.widened() {
            let is_kept = Matcher::new(&wider, &GROUPS).match_key(&key) == KeyMatch::No;
            prop_assert!(matcher.match_key(&key) == KeyMatch::No || !is_kept, "older readers remove no less");
        }
        let purge = Purge { source: "a.1".into(), n: 1, scope: scope.clone(), soft: false };
        let read: Purge = serde_json::from_slice(&serde_json::to_vec(&purge).unwrap()).unwrap();
        prop_assert_eq!(&read, &purge);
    }
}
