//! Gone: what a request costs in Envoy when there is no coordinator any more.

use meshcache_tests::{Coordinator, await_until, wait::SOON};

use crate::{
    figure::{Figure, Target, Unit},
    mesh::{Mesh, Shape, ask},
    nginx::Nginx,
    report::Report,
    rounds::{Side, take},
};

/// Compared with a filter that only passes.
pub(crate) async fn run(report: &Report) {
    report.step(
        "no coordinator is left, 1 KiB: the filter whose group nobody serves, the filter without a group that matches",
    );
    let origin = Nginx::origin().await;
    let passing = Mesh::start(origin.addr, Shape { matches: false, ..Shape::default() }).await;
    let mut gone = Mesh::start(origin.addr, Shape::default()).await;
    gone.coordinators.all.iter_mut().for_each(Coordinator::kill);
    let (front, asks) = (gone.fronts()[0], [ask("/1k")]);
    let passes = async || {
        asks[0]
            .send(front)
            .await
            .is_ok_and(|answer| answer.status == 200 && answer.cache_status().contains("detail=no-peer"))
    };
    await_until(passes, SOON, "the filter asks no coordinator any more").await;
    let sides = [
        Side::new("no coordinator", front, &asks, &[&gone.envoys[0].process]),
        Side::new("no group matches", passing.fronts()[0], &asks, &[&passing.envoys[0].process]),
    ];
    let costs = take(sides, report.effort).await;
    let [without, passed] = &costs;
    report.add(Figure::new(
        "no coordinator left / passing",
        Unit::Ratio,
        without.over(passed),
        Target::AtMost(1.1, None),
    ));
    report.bars("gone", "Envoy CPU for a proxied request of 1 KiB, us", &costs);
}
