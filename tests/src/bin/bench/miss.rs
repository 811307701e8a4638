//! Miss: keys that are asked for once, at the coordinator as a plain caching proxy and at nginx's proxy_cache.

use std::{net::SocketAddr, ops::Range};

use meshcache_tests::{Coordinator, process::Process};

use crate::{
    cpu,
    figure::{Figure, Target, Unit, median},
    nginx::Nginx,
    report::Report,
    rounds::Cost,
    sweep::sweep,
};

/// Both sizes; the origin keeps its connections, and each side has one thread.
pub(crate) async fn run(report: &Report) {
    let origin = Nginx::origin().await;
    // The keys of a turn: in all rounds together fewer than nginx's zone holds.
    for (size, keys, target) in [("1k", 6000, Target::AtMost(0.7, Some(0.6))), ("64k", 1500, Target::Beside)] {
        let kib = size.replace('k', " KiB");
        report.step(&format!("miss, {kib}, each key once: coordinator with one thread, nginx with one worker"));
        // New ones for each size: what they hold of the other is no part of it.
        let nginx = Nginx::cache(&origin).await;
        let coordinator = Coordinator::with_threads(1, &["--origin", &origin.url()]).await;
        let sides = [
            ("coordinator, 1 thread", coordinator.ports.data, &coordinator.process),
            ("nginx, 1 worker", nginx.addr, &nginx.process),
        ];
        let mut costs = sides.map(|(name, ..)| Cost {
            name: name.to_owned(),
            processes: Vec::new(),
            micros: Vec::new(),
            rates: Vec::new(),
        });
        for round in 0..=report.effort.rounds as u64 {
            for ((_, at, process), cost) in sides.iter().zip(&mut costs) {
                let micros =
                    turn(*at, process, size, round * keys..(round + 1) * keys, report.effort.connections).await;
                // The first round opens the connections to the origin.
                if round > 0 {
                    cost.micros.push(micros);
                }
            }
        }
        for cost in &costs {
            println!("    {:<32} {:>8.2} us CPU a request", cost.name, median(&cost.micros));
        }
        let [ours, theirs] = &costs;
        let name = format!("coordinator miss {kib} / nginx proxy_cache miss");
        report.add(Figure::new(&name, Unit::Ratio, ours.over(theirs), target));
        report.bars(&format!("miss-{size}"), &format!("CPU for a miss of {kib}, us"), &costs);
    }
}

/// CPU microseconds for each request of one turn.
async fn turn(at: SocketAddr, process: &Process, size: &str, keys: Range<u64>, connections: usize) -> f64 {
    let (before, size, count) = (cpu::used(process.pid()), size.to_owned(), keys.end - keys.start);
    sweep(&[at], connections, count, move |n| format!("/values/{size}/{}", keys.start + n)).await;
    cpu::used(process.pid()).saturating_sub(before).as_nanos() as f64 / 1000.0 / count as f64
}
