//! `GET /mesh`: what is told of all coordinators.

use crate::support::{Origin, Running, get};
use meshcache_admin::{CoordinatorState, Mesh};

/// What the only coordinator tells of itself, within the mesh.
async fn mesh(running: &Running) -> (Mesh, CoordinatorState) {
    let mesh: Mesh = serde_json::from_str(&get(running.ports.admin, "/mesh").await.body).unwrap();
    let state = mesh.coordinators[0].state.clone().unwrap();
    (mesh, state)
}

#[tokio::test]
async fn the_mesh_tells_each_groups_requests_reasons_and_contents() {
    let origin = Origin::start().await;
    let running = Running::start(&["--origin", &origin.url]).await;
    let (mesh_before, before) = mesh(&running).await;
    assert_eq!((mesh_before.me.as_str(), mesh_before.saved.to_string()), ("me", "no requests yet".to_owned()));
    assert!(before.has_lease && before.memory_bytes > 0 && !before.config.digest.is_empty());
    for _ in 0..4 {
        get(running.ports.data, "/a").await;
    }
    let (mesh, state) = mesh(&running).await;
    let group = &state.groups[0];
    assert_eq!(mesh.saved.to_string(), "saved 75.0 % of 4 requests");
    assert_eq!((group.name.as_str(), group.mode.as_str(), group.origin.as_str()), ("default", "on", &*origin.url));
    assert_eq!((group.outcomes.get("hit"), group.outcomes.get("miss")), (Some(&3), Some(&1)));
    assert!(group.entries == 1 && group.bytes > 0, "{group:?}");
}
