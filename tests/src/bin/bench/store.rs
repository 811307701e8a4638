//! Store: what a coordinator holds in memory when it is given more than its limit, and when what it held has expired.

use std::time::{Duration, Instant};

use meshcache_tests::{Coordinator, Origin, Reply};

use crate::{
    figure::{Figure, Target, Unit},
    memory::Watch,
    nginx::Nginx,
    report::Report,
    sweep::sweep,
};

const MIB: u64 = 1 << 20;
/// The lifetime of the values that are to expire.
const LIFE: Duration = Duration::from_secs(10);

/// First more than it may hold, then values that expire.
pub(crate) async fn run(report: &Report) {
    overfed(report).await;
    expired(report).await;
}

async fn overfed(report: &Report) {
    let limit = report.scaled(256) * MIB;
    let values = 4 * limit / 1024;
    report.step(&format!("store of {} MiB, fed with {values} values of 1 KiB", limit / MIB));
    let origin = Nginx::origin().await;
    let coordinator = Coordinator::in_front_of(&origin.url(), &["--store-bytes", &limit.to_string()]).await;
    let idle = coordinator.process.rss();
    let watch = Watch::start(coordinator.process.pid());
    let begun = Instant::now();
    sweep(&[coordinator.ports.data], 16, values, |n| format!("/values/1k/{n}")).await;
    println!(
        "    {:.0} loads/s, {:.0} s",
        values as f64 / begun.elapsed().as_secs_f64(),
        begun.elapsed().as_secs_f64()
    );
    let peak = coordinator.process.peak_rss().saturating_sub(idle);
    let metrics = coordinator.metrics().await;
    let (items, bytes) = (
        metrics.sum("groupcache_cache_items", &[("type", "main")]),
        metrics.sum("groupcache_cache_bytes", &[("type", "main")]),
    );
    println!("    holds {items:.0} values, {:.1} MiB as it counts", bytes / MIB as f64);
    report.add(Figure::once(
        "store overfed: memory above idle / limit",
        Unit::Ratio,
        peak as f64 / limit as f64,
        Target::AtMost(1.25, None),
    ));
    report.add(Figure::once("  idle", Unit::Bytes, idle as f64, Target::Beside));
    report.add(Figure::once(
        "  bytes of bodies held / limit",
        Unit::Ratio,
        items * 1024.0 / limit as f64,
        Target::Beside,
    ));
    report.line("store", "memory of a coordinator while it is overfed, MiB", &watch.stop().await);
}

async fn expired(report: &Report) {
    let values = 64 * MIB / 1024;
    report.step(&format!(
        "{values} values of 1 KiB that live for {} s and have no validator, then nobody asks",
        LIFE.as_secs()
    ));
    let origin = Origin::start().await;
    origin.forget_heads().always("*", Reply::fresh(LIFE.as_secs(), vec![b'x'; 1024]));
    let coordinator = Coordinator::in_front_of(&origin.url(), &["--store-bytes", "1GiB"]).await;
    let idle = coordinator.process.rss() as f64;
    let watch = Watch::start(coordinator.process.pid());
    sweep(&[coordinator.ports.data], 16, values, |n| format!("/{n}")).await;
    let full = coordinator.process.rss() as f64;
    tokio::time::sleep(LIFE + Duration::from_secs(10)).await;
    let (left, items) = (
        coordinator.process.rss() as f64,
        coordinator.metrics().await.sum("groupcache_cache_items", &[("type", "main")]),
    );
    println!(
        "    idle {:.1} MiB, full {:.1} MiB, 10 s after the last one's end {:.1} MiB",
        idle / MIB as f64,
        full / MIB as f64,
        left / MIB as f64
    );
    report.add(Figure::once("expired, after 10 s: values left", Unit::Count, items, Target::Exactly(0.0)));
    report.add(Figure::once(
        "expired, after 10 s: share of their memory not back",
        Unit::Ratio,
        (left - idle) / (full - idle),
        Target::AtMost(0.1, None),
    ));
    report.line("expired", "memory of a coordinator whose values expire, MiB", &watch.stop().await);
}
