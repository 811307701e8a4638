//! Soak: what the filter holds after very many requests of mixed sizes and keys.

use meshcache_tests::Envoy;

use crate::{
    figure::{Figure, Target, Unit},
    memory::{Watch, linear},
    mesh::{Mesh, Shape, plain},
    nginx::Nginx,
    report::Report,
    sweep::sweep,
};

const MIB: f64 = 1024.0 * 1024.0;
const HOT_MIB: f64 = 4.0;
/// Different keys: many times what the hot cache holds.
const KEYS: u64 = 20_000;

/// A million requests, fewer when in a hurry.
pub(crate) async fn run(report: &Report) {
    let requests = report.scaled(1_000_000);
    report.step(&format!(
        "{requests} requests of 1 to 64 KiB for {KEYS} keys through the filter, and a tenth of them without it"
    ));
    let origin = Nginx::origin().await;
    let without = plain(origin.addr).await;
    sweep(&[without.listener("front")], 32, requests / 10, path).await;
    let mesh = Mesh::start(origin.addr, Shape::default()).await;
    let envoy = &mesh.envoys[0];
    let started = envoy.process.rss();
    let watch = Watch::start(envoy.process.pid());
    sweep(&[envoy.listener("front")], 32, requests, path).await;
    let course = watch.stop().await;
    let largest = linear(envoy.process.pid()).into_iter().max().unwrap_or(0);
    assert!(largest > 0, "no linear memory is to be found in Envoy's maps");
    outcomes(envoy).await;
    let most = 1.5 * HOT_MIB * MIB + 16.0 * MIB;
    report.add(Figure::once(
        "filter's linear memory after the soak",
        Unit::Bytes,
        largest as f64,
        Target::AtMost(most, None),
    ));
    report.add(Figure::once(
        "  Envoy's memory with the filter",
        Unit::Bytes,
        envoy.process.rss() as f64,
        Target::Beside,
    ));
    report.add(Figure::once("  the same before the soak", Unit::Bytes, started as f64, Target::Beside));
    report.add(Figure::once(
        "  Envoy's memory without the filter",
        Unit::Bytes,
        without.process.rss() as f64,
        Target::Beside,
    ));
    report.line("soak", "memory of Envoy with the filter during the soak, MiB", &course);
}

/// The `n`th request: a few keys often, most of them seldom; a sixteenth of the keys 64 KiB, an eighth 16 KiB, some 4
/// KiB, the rest 1 KiB.
fn path(n: u64) -> String {
    let random = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 11;
    let uniform = random as f64 / (1_u64 << 53) as f64;
    let key = (uniform.powi(4) * KEYS as f64) as u64;
    let size = match key % 16 {
        0 => "64k",
        1 | 2 => "16k",
        3..=5 => "4k",
        _ => "1k",
    };
    format!("/values/{size}/{key}")
}

async fn outcomes(envoy: &Envoy) {
    let stats = envoy.stats().await;
    for (series, value) in stats.0.iter().filter(|(series, value)| series.contains("meshcache_filter") && **value > 0.0)
    {
        println!("    {series} {value}");
    }
}
