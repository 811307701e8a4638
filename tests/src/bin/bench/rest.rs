//! Rest: the memory of an Envoy with four workers before anybody asks, with each host of the filter and without it.

use std::time::Duration;

use meshcache_tests::{Envoy, Host};

use crate::{
    figure::{Figure, Target, Unit, median},
    mesh::{Mesh, Shape, plain_with},
    nginx::Nginx,
    report::Report,
    rounds::ratios,
};

const WORKERS: usize = 4;
/// Those that count are started this often; Wasm takes six seconds and is started once.
const STARTS: usize = 3;
/// The time after which an Envoy has done what it does at its start.
const SETTLED: Duration = Duration::from_secs(2);

/// Native counts; the hot cache is empty, so that nothing is taken off.
pub(crate) async fn run(report: &Report) {
    report.step(&format!("memory at rest of an Envoy with {WORKERS} workers: native, no filter, Wasm"));
    let origin = Nginx::origin().await;
    let shape = |host| Shape { host, concurrency: WORKERS, ..Shape::default() };
    let (mut native, mut without) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        native.push(settled(&Mesh::start(origin.addr, shape(Host::Native)).await.envoys[0]).await);
        without.push(settled(&plain_with(origin.addr, WORKERS).await).await);
    }
    let wasm = settled(&Mesh::start(origin.addr, shape(Host::Wasm)).await.envoys[0]).await;
    report.add(Figure::new(
        "memory at rest, 4 workers: native / no filter",
        Unit::Ratio,
        ratios(&native, &without),
        Target::AtMost(1.05, None),
    ));
    report.add(Figure::once("  Wasm / no filter", Unit::Ratio, wasm / median(&without), Target::Beside));
    report.add(Figure::new("  no filter", Unit::Bytes, without, Target::Beside));
}

async fn settled(envoy: &Envoy) -> f64 {
    tokio::time::sleep(SETTLED).await;
    envoy.process.rss() as f64
}
