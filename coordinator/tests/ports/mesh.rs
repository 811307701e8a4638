//! `GET /mesh`: what is told of all coordinators.

use crate::support::{Origin, Running, file, get, send, until};
use meshcache_admin::{CoordinatorState, Mesh};

async fn mesh(running: &Running) -> Mesh {
    serde_json::from_str(&get(running.ports.admin, "/mesh").await.body).unwrap()
}

/// What the only coordinator tells of itself.
async fn state(running: &Running) -> CoordinatorState {
    mesh(running).await.coordinators.remove(0).state.unwrap()
}

#[tokio::test]
async fn the_mesh_tells_each_groups_requests_times_reasons_and_contents() {
    let origin = Origin::start().await;
    let running = Running::start(&["--origin", &origin.url]).await;
    let before = mesh(&running).await;
    assert_eq!((before.me.as_str(), before.saved.to_string()), ("me", "no requests yet".to_owned()));
    for path in ["/a", "/a", "/a", "/a", "/private"] {
        get(running.ports.data, path).await;
    }
    let mesh = mesh(&running).await;
    let state = mesh.coordinators[0].state.clone().unwrap();
    let group = &state.groups[0];
    assert_eq!(mesh.saved.to_string(), "saved 60.0 % of 5 requests");
    assert_eq!((group.name.as_str(), group.mode.as_str(), group.origin.as_str()), ("default", "on", &*origin.url));
    assert_eq!((group.outcomes.get("hit"), group.outcomes.get("miss")), (Some(&3), Some(&2)));
    assert_eq!(group.outcomes.values().sum::<u64>(), mesh.saved.requests, "each request has one outcome");
    assert_eq!(group.reasons, [("private".to_owned(), 1)].into());
    assert_eq!((group.hits.count, group.misses.count), (3, 2));
    assert!(0.0 < group.hits.p50 && group.hits.p50 <= group.hits.p99, "{:?}", group.hits);
    assert!(group.entries == 1 && group.bytes > 0, "{group:?}");
    assert!(state.has_lease && state.memory_bytes > 0 && state.not_ready.is_none(), "{state:?}");
    let origins = &state.origins[..];
    assert_eq!(origins.iter().map(|of| (of.origin.as_str(), of.requests)).collect::<Vec<_>>(), [(&*origin.url, 2)]);
    assert!(origins[0].groups == ["default"] && origins[0].failures.is_empty() && origins[0].took.count == 2);
}

#[tokio::test]
async fn the_mesh_tells_which_origin_fails_and_why() {
    let running = Running::start(&["--origin", "http://127.0.0.1:9"]).await;
    get(running.ports.data, "/a").await;
    let origin = state(&running).await.origins.remove(0);
    assert_eq!((origin.origin.as_str(), origin.requests), ("http://127.0.0.1:9", 1));
    assert_eq!(origin.failures, [("connect".to_owned(), 1)].into());
    assert!(origin.failed_ago.is_some_and(|ago| ago < 60_000), "{origin:?}");
}

#[tokio::test]
async fn the_mesh_tells_the_last_purges_and_not_what_was_only_counted() {
    let origin = Origin::start().await;
    let running = Running::start(&["--origin", &origin.url]).await;
    get(running.ports.data, "/a").await;
    for body in [
        r#"{"group": "default", "prefixes": ["/"], "dryRun": true}"#,
        r#"{"group": "default", "prefixes": ["/"]}"#,
        r#"{"group": "default", "tags": ["t"], "soft": true}"#,
    ] {
        assert_eq!(send(running.ports.admin, "POST", "/purge", &[], body).await.status, 200, "{body}");
    }
    let purges = state(&running).await.purges;
    let told: Vec<_> = purges.iter().map(|purge| (purge.what.as_str(), purge.soft, purge.entries)).collect();
    assert_eq!(told, [("group default, tags t", true, 0), ("group default, prefixes /", false, 1)]);
    assert!(purges[0].id.starts_with("me.") && purges[0].unreached.is_empty());
}

#[tokio::test]
async fn the_mesh_tells_what_is_wrong_with_a_newer_configuration() {
    let groups = |host: &str| {
        format!(
            "version: 1\ngroups:\n- name: g\n  match: {{hosts: [\"{host}\"]}}\n  origin: {{url: \"http://127.0.0.1:9\"}}\n"
        )
    };
    let (_folder, path) = file(&groups("h"));
    let running = Running::start(&["--config", &path]).await;
    let before = state(&running).await.config;
    assert!(before.refused.is_none() && before.loaded_ago < 60_000, "{before:?}");
    std::fs::write(&path, groups("a b")).unwrap();
    until("it is refused", async || state(&running).await.config.refused.is_some()).await;
    let refused = state(&running).await.config;
    assert!(refused.refused.is_some_and(|why| why.contains("match.hosts")) && refused.digest == before.digest);
    std::fs::write(&path, groups("b")).unwrap();
    until("the next one is taken", async || state(&running).await.config.refused.is_none()).await;
    assert_ne!(state(&running).await.config.digest, before.digest);
}
