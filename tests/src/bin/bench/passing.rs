//! Passing: a request about which the filter has nothing to say, since no group matches it.

use meshcache_tests::{EnvoyConfig, Host, artifact};

use crate::{
    cores::Placed,
    figure::{Figure, Target, Unit},
    mesh::{Mesh, Shape, ask, plain},
    nginx::Nginx,
    report::Report,
    rounds::{Side, take},
};

/// Compared with an Envoy without the filter, and with an empty filter.
pub(crate) async fn run(report: &Report) {
    report.step(
        "passing, 1 KiB: the filter without a group that matches, native and Wasm, no filter, an empty one of each kind",
    );
    let origin = Nginx::origin().await;
    let yardsticks =
        EnvoyConfig::load(&artifact::file("tests/envoy/yardsticks.yaml")).listeners_only(&["empty", "empty_native"]);
    let yardsticks = yardsticks.cluster("service", &[origin.addr]).start().await;
    let plain = plain(origin.addr).await;
    let mesh = Mesh::start(origin.addr, Shape { matches: false, ..Shape::default() }).await;
    let native = Mesh::start(origin.addr, Shape { matches: false, host: Host::Native, ..Shape::default() }).await;
    let (envoy, native) = (&mesh.envoys[0], &native.envoys[0]);
    let asks = [ask("/1k")];
    let sides = [
        Side::new("meshcache native, no group matches", native.listener("front"), &asks, &[&native.process]),
        Side::new("meshcache Wasm, no group matches", envoy.listener("front"), &asks, &[&envoy.process]),
        Side::new("no filter", plain.listener("front"), &asks, &[&plain.process]),
        Side::new("empty Wasm filter", yardsticks.listener("empty"), &asks, &[&yardsticks.process]),
        Side::new("empty native module", yardsticks.listener("empty_native"), &asks, &[&yardsticks.process]),
    ];
    let measured = [&native.process, &envoy.process, &plain.process, &yardsticks.process];
    let _placed = Placed::apart(&measured, &[&origin.process]);
    let costs = take(sides, report.effort).await;
    let [native, passed, without, empty, empty_native] = &costs;
    let (native_most, wasm_most) = (Target::AtMost(1.06, Some(1.03)), Target::AtMost(1.08, Some(1.05)));
    report.add(Figure::new("native passing 1 KiB / no filter", Unit::Ratio, native.over(without), native_most));
    report.add(Figure::new(
        "  an empty native module / no filter",
        Unit::Ratio,
        empty_native.over(without),
        Target::Beside,
    ));
    report.add(Figure::new("Wasm passing 1 KiB / empty Wasm filter", Unit::Ratio, passed.over(empty), wasm_most));
    report.add(Figure::new("  Wasm passing 1 KiB / no filter", Unit::Ratio, passed.over(without), Target::Beside));
    report.add(Figure::new("  empty Wasm filter / no filter", Unit::Ratio, empty.over(without), Target::Beside));
    report.bars("passing", "Envoy CPU for a proxied request of 1 KiB, us", &costs);
}
