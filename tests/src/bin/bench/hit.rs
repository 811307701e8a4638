//! Hit: the coordinator as a plain caching proxy (`--origin URL`), beside nginx's proxy_cache.

use meshcache_tests::Coordinator;

use crate::{
    figure::{Figure, Target, Unit, median},
    mesh::{ask, warm},
    nginx::Nginx,
    report::Report,
    rounds::{Effort, Side, take},
};

/// The fresh starts of a comparison.
const STARTS: usize = 5;

/// Both sizes, and what two worker threads bring.
pub(crate) async fn run(report: &Report) {
    let origin = Nginx::origin().await;
    let nginx = Nginx::cache(&origin).await;
    let url = origin.url();
    let one = Coordinator::with_threads(1, &["--origin", &url]).await;
    let two = Coordinator::with_threads(2, &["--origin", &url]).await;
    for (size, bytes, target) in
        [("1k", 1 << 10, Target::AtMost(1.0, Some(0.75))), ("64k", 64 << 10, Target::AtMost(1.1, Some(0.9)))]
    {
        let kib = format!("{} KiB", bytes >> 10);
        report.step(&format!("coordinator hit, {kib}, HTTP/1.1 keep-alive: one thread, two threads, nginx with one worker, nginx at its best"));
        let ask = ask(&format!("/{size}"));
        for coordinator in [&one, &two] {
            warm(coordinator.ports.data, &ask, "a hit", |answer| {
                answer.cache_status().contains("; hit") && answer.body.len() == bytes
            })
            .await;
        }
        let best = Nginx::at_its_best(&origin, bytes).await;
        for nginx in [&nginx, &best] {
            warm(nginx.addr, &ask, "a hit of nginx", |answer| answer.header("x-cache") == "HIT").await;
        }
        let asks = [ask];
        let sides = [
            Side::new("coordinator, 1 thread", one.ports.data, &asks, &[&one.process]),
            Side::new("coordinator, 2 threads", two.ports.data, &asks, &[&two.process]),
            Side::new("nginx, 1 worker", nginx.addr, &asks, &[&nginx.process]),
            Side::new("nginx at its best", best.addr, &asks, &[&best.process]),
        ];
        let costs = take(sides, report.effort).await;
        let [single, double, peer, best] = &costs;
        report.add(Figure::new(&format!("coordinator hit {kib} / nginx hit"), Unit::Ratio, single.over(peer), target));
        report.add(Figure::new(
            "  / nginx hit with open_file_cache and the better of sendfile on and off",
            Unit::Ratio,
            single.over(best),
            Target::Beside,
        ));
        report.add(Figure::new("  with 2 threads / nginx hit", Unit::Ratio, double.over(peer), Target::Beside));
        report.add(Figure::new("  rate with 1 thread", Unit::Rate, single.rates.clone(), Target::Beside));
        report.add(Figure::new(
            "  rate with 2 threads (clients on the same cores)",
            Unit::Rate,
            double.rates.clone(),
            Target::Beside,
        ));
        report.bars(&format!("hit-{size}"), &format!("CPU for a hit of {kib} over HTTP/1.1, us"), &costs);
    }
    starts(report, &origin).await;
}

/// One start of a process was once as good as another, and the next one twice as slow: so a few are measured.
async fn starts(report: &Report, origin: &Nginx) {
    report.step(&format!("coordinator hit, 64 KiB: {STARTS} fresh starts of both sides"));
    let ask = ask("/64k");
    let asks = [ask.clone()];
    let mut ratios = Vec::new();
    for _ in 0..STARTS {
        let nginx = Nginx::cache(origin).await;
        let coordinator = Coordinator::with_threads(1, &["--origin", &origin.url()]).await;
        warm(coordinator.ports.data, &ask, "a hit", |answer| answer.cache_status().contains("; hit")).await;
        warm(nginx.addr, &ask, "a hit of nginx", |answer| answer.header("x-cache") == "HIT").await;
        let sides = [
            Side::new("coordinator, 1 thread", coordinator.ports.data, &asks, &[&coordinator.process]),
            Side::new("nginx, 1 worker", nginx.addr, &asks, &[&nginx.process]),
        ];
        let [ours, theirs] = take(sides, Effort { rounds: 3, ..report.effort }).await;
        ratios.push(median(&ours.over(&theirs)));
    }
    let name = format!("coordinator hit 64 KiB / nginx hit, {STARTS} fresh starts");
    report.add(Figure::new(&name, Unit::Ratio, ratios, Target::Never(1.1)));
}
