//! Purges: what one costs in a full store, and how soon it is felt under load.

use std::time::{Duration, Instant};

use meshcache_tests::{
    Coordinator, Mesh, Origin, Reply,
    coordinator::ADMIN_TOKEN,
    purging::{Storm, order},
};

use crate::{
    figure::{Figure, Target, Unit},
    report::Report,
    sweep::sweep,
};

/// Values with one tag.
const TAGGED: usize = 10;

/// First a full store, then the load.
pub(crate) async fn run(report: &Report) {
    full(report).await;
    load(report).await;
}

async fn full(report: &Report) {
    let values = report.scaled(1_000_000) as usize;
    let tags = values / TAGGED;
    report.step(&format!("{values} values with {tags} tags"));
    let origin = Origin::start().await;
    origin.forget_heads().on("*", move |request| {
        let n: usize = request.uri.path().trim_start_matches('/').parse().unwrap_or(0);
        Reply::fresh(36_000, "x").header("surrogate-key", format!("t{}", n % tags))
    });
    let token = std::env::temp_dir().join(format!("meshcache-bench-{}", std::process::id()));
    std::fs::write(&token, ADMIN_TOKEN).unwrap();
    let coordinator = Coordinator::in_front_of(
        &origin.url(),
        &["--store-bytes", "4GiB", "--admin-token-file", token.to_str().unwrap()],
    )
    .await;
    sweep(&[coordinator.ports.data], 16, values as u64, |n| format!("/{n}")).await;
    let metrics = coordinator.metrics().await;
    let bytes = metrics.sum("groupcache_cache_bytes", &[("type", "main")])
        / metrics.sum("groupcache_cache_items", &[("type", "main")]);
    println!("    {bytes:.0} bytes a value as it counts");
    let at = &coordinator;
    let timed = async |body: String, expected: usize| {
        let begun = Instant::now();
        let (status, report) = order(at, &body).await;
        assert_eq!((status, report["entries"].as_u64()), (200, Some(expected as u64)), "{body}: {report}");
        begun.elapsed().as_secs_f64() * 1e6
    };
    let (mut tag, mut url, mut prefix, mut nothing) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for i in 0..20 {
        nothing.push(timed(r#"{"group": "default", "tags": ["none"]}"#.into(), 0).await);
        tag.push(timed(format!(r#"{{"group": "default", "tags": ["t{i}"]}}"#), TAGGED).await);
        url.push(timed(format!(r#"{{"urls": ["http://{}/{}"]}}"#, crate::mesh::HOST, 100 + i), 1).await);
        prefix.push(timed(format!(r#"{{"group": "default", "prefixes": ["/none/{i}"]}}"#), 0).await);
    }
    let _ = std::fs::remove_file(&token);
    report.add(Figure::new("purge of a tag with 10 values in a full store", Unit::Micros, tag, Target::Beside));
    report.add(Figure::new("- of a tag that nothing has", Unit::Micros, nothing, Target::Beside));
    report.add(Figure::new("- of a URL", Unit::Micros, url, Target::Beside));
    report.add(Figure::new("- of a prefix: all are looked at", Unit::Micros, prefix, Target::Beside));
}

async fn load(report: &Report) {
    let purges = report.scaled(10_000) as usize;
    report.step(&format!("{purges} purges, one every 10 ms, under load"));
    let mesh = Mesh::of(3, 2).start().await;
    let storm = Storm { purges, every: Duration::from_millis(10), clients: 32, pause: Duration::from_millis(5) };
    let calm = storm.blow(&mesh).await;
    let rate = calm.answers as f64 / calm.lasted.as_secs_f64();
    let took = |share: f64| {
        calm.took.get((calm.took.len() as f64 * share) as usize).map_or(0.0, |took| took.as_secs_f64() * 1e6)
    };
    report.add(Figure::once(
        "purges under load: answers too old a second later",
        Unit::Count,
        calm.too_old as f64,
        Target::Exactly(0.0),
    ));
    report.add(Figure::once("- failed", Unit::Count, calm.failed as f64, Target::Exactly(0.0)));
    report.add(Figure::once("- acknowledged by all", Unit::Count, calm.acknowledged as f64, Target::Beside));
    report.add(Figure::once("- answers", Unit::Rate, rate, Target::Beside));
    report.add(Figure::once("- until acknowledged, half of them", Unit::Micros, took(0.5), Target::Beside));
    report.add(Figure::once("- until acknowledged, 99 %", Unit::Micros, took(0.99), Target::Beside));
    report.add(Figure::once(
        "- the last old answer after that",
        Unit::Seconds,
        calm.worst.as_secs_f64(),
        Target::AtMost(1.0, None),
    ));
}
