//! Workers: one hot key asked for on four workers of a native filter, whose hot cache all of them share, and on one.

use meshcache_tests::{Host, Metrics};

use crate::{
    figure::{Figure, Target, Unit},
    mesh::{Mesh, Shape, ask, warm},
    nginx::Nginx,
    report::Report,
    rounds::{Side, take},
};

/// The counter of looks into the hot cache that found its lock taken. Its name is longer with Envoy's prefixes.
const LOCK_WAITS: &str = "lock_waits";

/// The CPU of a hit, and the share of hits that wait for a lock.
pub(crate) async fn run(report: &Report) {
    report.step("one hot key, native, 1 KiB: four workers, one worker");
    let origin = Nginx::origin().await;
    let shape = |concurrency| Shape { host: Host::Native, concurrency, ..Shape::default() };
    let (four, one) = (Mesh::start(origin.addr, shape(4)).await, Mesh::start(origin.addr, shape(1)).await);
    let ask = ask("/1k");
    for mesh in [&four, &one] {
        warm(mesh.envoys[0].listener("front"), &ask, "a hit of this proxy", |answer| {
            answer.cache_status().contains("detail=proxy")
        })
        .await;
    }
    let asks = [ask];
    let side = |name, mesh: &Mesh| {
        let envoy = &mesh.envoys[0];
        Side::new(name, envoy.listener("front"), &asks, &[&envoy.process])
    };
    let before = four.envoys[0].stats().await;
    let costs = take([side("four workers", &four), side("one worker", &one)], report.effort).await;
    let after = four.envoys[0].stats().await;
    let [many, single] = &costs;
    report.add(Figure::new(
        "native, one hot key: CPU a hit with 4 workers / with 1",
        Unit::Ratio,
        many.over(single),
        Target::AtMost(1.15, None),
    ));
    report.bars("workers", "Envoy CPU for a hot answer of 1 KiB, native, us", &costs);
    let requests =
        after.since(&before).sum("envoy_http_downstream_rq_total", &[("envoy_http_conn_manager_prefix", "front")]);
    let waits = |stats: &Metrics| -> Option<f64> {
        stats.0.iter().filter(|(series, _)| series.contains(LOCK_WAITS)).map(|(_, value)| *value).reduce(|a, b| a + b)
    };
    let (Some(before), Some(after)) = (waits(&before), waits(&after)) else {
        panic!("the filter counts no {LOCK_WAITS}")
    };
    let share = (after - before) / requests;
    report.add(Figure::once("  share of hits that wait for a lock", Unit::Share, share, Target::AtMost(0.01, None)));
}
