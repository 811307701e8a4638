//! Question: a hit at the owner, asked for by a proxy that keeps nothing hot.

use meshcache_tests::{Ask, EnvoyConfig, Host, artifact, process::Process};

use crate::{
    cores::Placed,
    figure::{Figure, Target, Unit},
    mesh::{Mesh, Shape, ask, plain, warm},
    nginx::Nginx,
    report::Report,
    rounds::{Side, ratios, take},
};

/// The cost of an nginx hit on the machine where the limit of 150 us for Envoy and coordinator was set.
const NGINX_HIT: f64 = 14.0;

/// Questions on their way for one key are one question: to ask one each, clients ask for different keys.
const KEYS: usize = 1000;

/// Beside an ordinary proxied request and nginx's hit.
pub(crate) async fn run(report: &Report) {
    report.step(
        "question to the owner, 1 KiB: through the filter, native and Wasm, proxied without it, a bare Wasm callout, a hit of nginx",
    );
    let origin = Nginx::origin().await;
    let nginx = Nginx::cache(&origin).await;
    let plain = plain(origin.addr).await;
    let mesh = Mesh::start(origin.addr, Shape { hot_bytes: "0", ..Shape::default() }).await;
    let native_mesh = Mesh::start(origin.addr, Shape { hot_bytes: "0", host: Host::Native, ..Shape::default() }).await;
    let fast = &native_mesh.envoys[0];
    let (envoy, owner) = (&mesh.envoys[0], &mesh.coordinators.all[0]);
    let asks: Vec<Ask> = (0..KEYS).map(|key| ask(&format!("/values/1k/{key}"))).collect();
    let callout = EnvoyConfig::load(&artifact::file("tests/envoy/yardsticks.yaml")).listeners_only(&["callout"]);
    let callout = callout.cluster("owner", &mesh.coordinators.data()).start().await;
    warm(callout.listener("callout"), &asks[0], "whole", |answer| answer.body.len() == 1024).await;
    for envoy in [envoy, fast] {
        warm(envoy.listener("front"), &asks[0], "a hit of the owner", |answer| {
            answer.cache_status().contains("detail=owner")
        })
        .await;
    }
    warm(nginx.addr, &asks[0], "a hit of nginx", |answer| answer.header("x-cache") == "HIT").await;
    let sides = [
        Side::new("native question: Envoy", fast.listener("front"), &asks, &[&fast.process]),
        Side::new(
            "Wasm question: Envoy and coordinator",
            envoy.listener("front"),
            &asks,
            &[&envoy.process, &owner.process],
        ),
        Side::new("Envoy, proxied without filter", plain.listener("front"), &asks, &[&plain.process]),
        Side::new("Envoy, bare callout to the owner", callout.listener("callout"), &asks, &[&callout.process]),
        Side::new("nginx hit", nginx.addr, &asks, &[&nginx.process]),
    ];
    let measured = [&fast.process, &envoy.process, &plain.process, &callout.process, &nginx.process];
    let owners = mesh.coordinators.all.iter().map(|coordinator| &coordinator.process);
    let others = native_mesh.coordinators.all.iter().map(|coordinator| &coordinator.process);
    let behind: Vec<&Process> = owners.chain(others).chain([&origin.process]).collect();
    let _placed = Placed::apart(&measured, &behind);
    let costs = take(sides, report.effort).await;
    let [native, question, proxied, bare, hit] = &costs;
    let [in_envoy, at_owner] = &question.processes[..] else { unreachable!("two processes") };
    report.add(Figure::new(
        "native question 1 KiB: Envoy / proxied request",
        Unit::Ratio,
        native.over(proxied),
        Target::AtMost(1.35, Some(1.15)),
    ));
    report.add(Figure::new(
        "Wasm question 1 KiB: Envoy / proxied request",
        Unit::Ratio,
        ratios(in_envoy, &proxied.micros),
        Target::AtMost(1.5, None),
    ));
    report.add(Figure::new(
        "  a bare Wasm callout: Envoy / proxied request",
        Unit::Ratio,
        bare.over(proxied),
        Target::Beside,
    ));
    let most = Target::AtMost(150.0 / NGINX_HIT, None);
    report.add(Figure::new("question 1 KiB: Envoy and coordinator / nginx hit", Unit::Ratio, question.over(hit), most));
    report.add(Figure::new("  Envoy and coordinator together", Unit::Micros, question.micros.clone(), Target::Beside));
    report.add(Figure::new("  of that in Envoy", Unit::Micros, in_envoy.clone(), Target::Beside));
    report.add(Figure::new("  of that at the coordinator", Unit::Micros, at_owner.clone(), Target::Beside));
    report.add(Figure::new("  nginx hit", Unit::Micros, hit.micros.clone(), Target::Beside));
    report.bars("question", "CPU for an answer of 1 KiB that the owner has, us", &costs);
}
