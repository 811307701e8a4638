//! Hot hit: what an answer from the filter's own memory costs Envoy, beside Envoy's own cache and the least that it can
//! do.

use meshcache_tests::{EnvoyConfig, Host, artifact};

use crate::{
    cores::Placed,
    figure::{Figure, Target, Unit},
    mesh::{Mesh, Shape, ask, warm},
    nginx::Nginx,
    report::Report,
    rounds::{Side, take},
};

/// Both sizes.
pub(crate) async fn run(report: &Report) {
    for (size, bytes, native_target, wasm_target) in [
        ("1k", 1 << 10, Target::AtMost(0.88, Some(0.8)), Target::AtMost(1.15, Some(1.1))),
        ("64k", 64 << 10, Target::AtMost(0.75, Some(0.7)), Target::Beside),
    ] {
        let kib = format!("{} KiB", bytes >> 10);
        report.step(&format!(
            "hot hit, {kib}: the filter's memory, native and Wasm, Envoy's own cache, a bare reply of each kind, a direct response"
        ));
        let origin = Nginx::origin().await;
        let yardsticks = EnvoyConfig::load(&artifact::file("tests/envoy/yardsticks.yaml"));
        let yardsticks =
            yardsticks.listeners_only(&["direct", "cache", "bare", "bare_native"]).replace("BODY", &"x".repeat(bytes));
        let yardsticks = yardsticks.cluster("service", &[origin.addr]).start().await;
        let mesh = Mesh::start(origin.addr, Shape::default()).await;
        let native = Mesh::start(origin.addr, Shape { host: Host::Native, ..Shape::default() }).await;
        let (envoy, native, ask) = (&mesh.envoys[0], &native.envoys[0], ask(&format!("/{size}")));
        for envoy in [envoy, native] {
            warm(envoy.listener("front"), &ask, "a hit of this proxy", |answer| {
                answer.cache_status().contains("detail=proxy") && answer.body.len() == bytes
            })
            .await;
        }
        warm(yardsticks.listener("cache"), &ask, "a hit of Envoy's cache", |answer| {
            answer.has("age") && answer.body.len() == bytes
        })
        .await;
        for bare in ["bare", "bare_native"] {
            warm(yardsticks.listener(bare), &ask, "whole", |answer| answer.body.len() == bytes).await;
        }
        let asks = [ask];
        let sides = [
            Side::new("meshcache, native", native.listener("front"), &asks, &[&native.process]),
            Side::new("meshcache, Wasm", envoy.listener("front"), &asks, &[&envoy.process]),
            Side::new("Envoy's cache filter", yardsticks.listener("cache"), &asks, &[&yardsticks.process]),
            Side::new("bare Wasm reply", yardsticks.listener("bare"), &asks, &[&yardsticks.process]),
            Side::new("bare native reply", yardsticks.listener("bare_native"), &asks, &[&yardsticks.process]),
            Side::new("direct_response", yardsticks.listener("direct"), &asks, &[&yardsticks.process]),
        ];
        let _placed = Placed::apart(&[&native.process, &envoy.process, &yardsticks.process], &[&origin.process]);
        let costs = take(sides, report.effort).await;
        let [native, hot, cache, bare, bare_native, direct] = &costs;
        report.add(Figure::new(
            &format!("native hot hit {kib} / Envoy's cache filter"),
            Unit::Ratio,
            native.over(cache),
            native_target,
        ));
        report.add(Figure::new(
            &format!("  bare native reply {kib} / cache filter"),
            Unit::Ratio,
            bare_native.over(cache),
            Target::Beside,
        ));
        report.add(Figure::new(
            &format!("Wasm hot hit {kib} / bare Wasm reply"),
            Unit::Ratio,
            hot.over(bare),
            wasm_target,
        ));
        report.add(Figure::new(
            &format!("  Wasm hot hit {kib} / Envoy's cache filter"),
            Unit::Ratio,
            hot.over(cache),
            Target::Beside,
        ));
        report.add(Figure::new(
            &format!("  bare Wasm reply {kib} / cache filter"),
            Unit::Ratio,
            bare.over(cache),
            Target::Beside,
        ));
        report.add(Figure::new(
            &format!("  cache filter {kib} / direct_response"),
            Unit::Ratio,
            cache.over(direct),
            Target::Beside,
        ));
        report.bars(
            &format!("hot-{size}"),
            &format!("Envoy CPU for an answer of {kib} from its own memory, us"),
            &costs,
        );
    }
}
