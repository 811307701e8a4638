//! Hit: the coordinator as a plain caching proxy (`--origin URL`), beside nginx's proxy_cache.

use meshcache_tests::Coordinator;

use crate::{
    cores::Placed,
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

/// A body that one core wrote and another is to overwrite costs the writer: so the clients are on the server's core, and
/// then on another one. Where the system may choose, a start has the one or the other.
async fn starts(report: &Report, origin: &Nginx) {
    report
        .step(&format!("coordinator hit, 64 KiB: {STARTS} fresh starts, with clients on the same and on another core"));
    let asks = [ask("/64k")];
    let placements = [(true, "the server's core"), (false, "another core")];
    let mut ratios = placements.map(|_| (Vec::new(), Vec::new()));
    for _ in 0..STARTS {
        let (nginx, copies) = (Nginx::cache(origin).await, Nginx::copying(origin).await);
        let coordinator = Coordinator::with_threads(1, &["--origin", &origin.url()]).await;
        let [ask] = &asks;
        warm(coordinator.ports.data, ask, "a hit", |answer| answer.cache_status().contains("; hit")).await;
        for nginx in [&nginx, &copies] {
            warm(nginx.addr, ask, "a hit of nginx", |answer| answer.header("x-cache") == "HIT").await;
        }
        for ((together, _), (to_nginx, to_copies)) in placements.iter().zip(&mut ratios) {
            let servers = [&coordinator.process, &nginx.process, &copies.process];
            let Some(_placed) = Placed::new(&servers, *together) else { continue };
            let sides = [
                Side::new("coordinator, 1 thread", coordinator.ports.data, &asks, &[&coordinator.process]),
                Side::new("nginx, 1 worker", nginx.addr, &asks, &[&nginx.process]),
                Side::new("nginx without sendfile", copies.addr, &asks, &[&copies.process]),
            ];
            let [ours, theirs, copied] = take(sides, Effort { rounds: 3, ..report.effort }).await;
            to_nginx.push(median(&ours.over(&theirs)));
            to_copies.push(median(&ours.over(&copied)));
        }
    }
    for ((_, clients), (to_nginx, to_copies)) in placements.into_iter().zip(ratios) {
        if to_nginx.is_empty() {
            continue;
        }
        let name = format!("coordinator hit 64 KiB / nginx hit, {STARTS} fresh starts, clients on {clients}");
        report.add(Figure::new(&name, Unit::Ratio, to_nginx, Target::Never(1.1)));
        report.add(Figure::new("  / nginx hit without sendfile", Unit::Ratio, to_copies, Target::Beside));
    }
}
