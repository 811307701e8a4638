//! RFC 9111 and its family, end to end: a table of requests against an origin that each row scripts, once through a
//! coordinator alone (`--origin-rules rfc9111`), once through Envoy with the filter in a group that follows the RFC to
//! the letter.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod answering;
mod freshness;
mod messages;
mod neighbours;
mod ranges;
mod row;
mod stories;
mod storing;
mod unsafe_methods;
mod validating;

use meshcache_tests::{Coordinator, Mesh, Origin};
use row::{Front, Row, Way};
use serde_json::json;

fn rows() -> Vec<Row> {
    [
        storing::rows(),
        freshness::rows(),
        answering::rows(),
        validating::rows(),
        unsafe_methods::rows(),
        ranges::rows(),
        neighbours::rows(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

async fn all(front: Front<'_>) {
    front.origin.without_dates();
    let mut wrong = Vec::new();
    let rows = rows();
    for (nth, row) in rows.iter().enumerate() {
        wrong.extend(row.run(&front, nth).await);
    }
    assert!(wrong.is_empty(), "{} of {} rows' expectations:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_row_holds_through_a_coordinator_alone() {
    let origin = Origin::start().await;
    let cache = Coordinator::in_front_of(&origin.url(), &["--origin-rules", "rfc9111"]).await;
    all(Front { way: Way::Coordinator, to: cache.ports.data, coordinator: &cache, origin: &origin }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_row_holds_through_envoy() {
    let letter = json!({"heuristic": true, "errors": "rfc9111", "requestDirectives": "obey", "targets": ["MeshCache-Control", "CDN-Cache-Control"]});
    let mesh = Mesh::of(1, 1).groups(|groups| groups.plus("rfc", json!({"freshness": letter}))).start().await;
    let coordinator = &mesh.coordinators.all[0];
    all(Front { way: Way::Envoy, to: mesh.fronts()[0], coordinator, origin: &mesh.origin }).await;
}
