//! Pass: a request whose response is each client's own, which the coordinator remembers, beside nginx's proxy_pass.

use meshcache_tests::Coordinator;

use crate::{
    cores::Placed,
    figure::{Figure, Target, Unit},
    mesh::{ask, warm},
    nginx::Nginx,
    report::Report,
    rounds::{Side, take},
};

/// One thread each, keep-alive on both sides.
pub(crate) async fn run(report: &Report) {
    report.step("pass, 1 KiB, a private response that is remembered: coordinator with one thread, nginx proxy_pass");
    let origin = Nginx::origin().await;
    let nginx = Nginx::cache(&origin).await;
    let coordinator = Coordinator::with_threads(1, &["--origin", &origin.url()]).await;
    let ask = ask("/private/1k");
    // The first is a load that turns out to be private; from then on the key is remembered.
    for _ in 0..2 {
        warm(coordinator.ports.data, &ask, "private", |answer| answer.cache_status().contains("; detail=private"))
            .await;
    }
    warm(nginx.addr, &ask, "a pass of nginx", |answer| !answer.has("x-cache")).await;
    let asks = [ask];
    let sides = [
        Side::new("coordinator, 1 thread", coordinator.ports.data, &asks, &[&coordinator.process]),
        Side::new("nginx proxy_pass, 1 worker", nginx.addr, &asks, &[&nginx.process]),
    ];
    let _placed = Placed::apart(&[&coordinator.process, &nginx.process], &[&origin.process]);
    let costs = take(sides, report.effort).await;
    let [passed, proxied] = &costs;
    let target = Target::AtMost(1.5, Some(1.2));
    report.add(Figure::new("coordinator pass 1 KiB / nginx proxy_pass", Unit::Ratio, passed.over(proxied), target));
    report.bars("pass-1k", "CPU for a request of 1 KiB that passes, us", &costs);
}
