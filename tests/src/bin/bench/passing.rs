//! Passing: a request about which the filter has nothing to say, since no group matches it.

use meshcache_tests::{EnvoyConfig, artifact};

use crate::{
    figure::{Figure, Target, Unit},
    mesh::{Mesh, Shape, ask, plain},
    nginx::Nginx,
    report::Report,
    rounds::{Side, take},
};

/// Compared with an Envoy without the filter, and with an empty filter.
pub(crate) async fn run(report: &Report) {
    report.step("passing, 1 KiB: the filter without a group that matches, no filter, an empty Wasm filter");
    let origin = Nginx::origin().await;
    let yardsticks = EnvoyConfig::load(&artifact::file("tests/envoy/yardsticks.yaml")).listeners_only(&["empty"]);
    let yardsticks = yardsticks.cluster("service", &[origin.addr]).start().await;
    let plain = plain(origin.addr).await;
    let mesh = Mesh::start(origin.addr, Shape { matches: false, ..Shape::default() }).await;
    let envoy = &mesh.envoys[0];
    let asks = [ask("/1k")];
    let sides = [
        Side::new("meshcache, no group matches", envoy.listener("front"), &asks, &[&envoy.process]),
        Side::new("no filter", plain.listener("front"), &asks, &[&plain.process]),
        Side::new("empty Wasm filter", yardsticks.listener("empty"), &asks, &[&yardsticks.process]),
    ];
    let costs = take(sides, report.effort).await;
    let [passed, without, empty] = &costs;
    report.add(Figure::new("passing 1 KiB / no filter", Unit::Ratio, passed.over(without), Target::AtMost(1.15, None)));
    report.add(Figure::new("  empty Wasm filter / no filter", Unit::Ratio, empty.over(without), Target::Beside));
    report.bars("passing", "Envoy CPU for a proxied request of 1 KiB, us", &costs);
}
