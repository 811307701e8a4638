//! Ring: what a lookup costs, here and in Envoy's VM, and how evenly keys fall.

use std::{
    collections::HashMap,
    hint::black_box,
    time::{Duration, Instant},
};

use meshcache_protocol::{
    Hash,
    ring::{Peer, Ring},
};
use meshcache_tests::{EnvoyConfig, artifact};

use crate::{
    figure::{Figure, Target, Unit},
    report::Report,
};

/// As many lookups as tests/bare times.
const PEERS: [usize; 4] = [3, 30, 300, 3000];

/// Both machines, then the load of 20 peers.
pub(crate) async fn run(report: &Report) {
    report.step("ring: owner and next at 3, 30, 300 and 3,000 peers, native and in Envoy's VM");
    let in_envoy = in_envoy(report.effort.rounds).await;
    for (peers, vm) in PEERS.into_iter().zip(in_envoy) {
        report.add(Figure::new(
            &format!("ring lookup, {peers} peers, native"),
            Unit::Nanos,
            native(peers, report.effort.rounds),
            Target::Beside,
        ));
        report.add(Figure::new("  in Envoy's VM", Unit::Nanos, vm, Target::Beside));
    }
    let largest = largest_over_mean(20, 100_000);
    report.add(Figure::once(
        "ring: largest load / mean, 20 peers, 100,000 keys",
        Unit::Ratio,
        largest,
        Target::AtMost(1.05, None),
    ));
}

fn ring(peers: usize) -> Ring {
    let peer =
        |n: usize| Peer { name: format!("peer-{n}"), data: format!("10.0.0.1:{n}"), peer: format!("10.0.0.2:{n}") };
    Ring::new((0..peers).map(peer).collect())
}

fn native(peers: usize, rounds: usize) -> Vec<f64> {
    let (ring, lookups) = (ring(peers), 15_000_000 / peers);
    let keys: Vec<Hash> = (0..1024_u32).map(|n| Hash::of(&n.to_le_bytes())).collect();
    let round = |_| {
        let begun = Instant::now();
        keys.iter().cycle().take(lookups).for_each(|key| {
            black_box(ring.owner_and_next(black_box(*key)));
        });
        begun.elapsed().as_nanos() as f64 / lookups as f64
    };
    (0..rounds).map(round).collect()
}

async fn in_envoy(rounds: usize) -> Vec<Vec<f64>> {
    let config = EnvoyConfig::load(&artifact::file("tests/envoy/yardsticks.yaml")).listeners_only(&["ring"]);
    let envoy = config.start().await;
    let mut results = vec![Vec::new(); PEERS.len()];
    // The VM compiles anew, and better, what runs often: its first seconds do not count.
    tokio::time::sleep(Duration::from_secs(2)).await;
    for _ in 0..rounds {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let stats = envoy.stats().await;
        for (peers, results) in PEERS.into_iter().zip(&mut results) {
            let name = format!("bare_ring_{peers}_picoseconds");
            let found = stats.0.iter().find(|(series, _)| series.contains(&name));
            results.push(*found.unwrap_or_else(|| panic!("Envoy has no {name}")).1 / 1000.0);
        }
    }
    results
}

fn largest_over_mean(peers: usize, keys: usize) -> f64 {
    let ring = ring(peers);
    let mut load: HashMap<&str, usize> = HashMap::new();
    for n in 0..keys {
        let owner = ring.owner(Hash::of(format!("/key/{n}").as_bytes())).map_or("", |peer| &peer.name);
        *load.entry(owner).or_default() += 1;
    }
    let largest = load.values().copied().max().unwrap_or(0);
    largest as f64 * peers as f64 / keys as f64
}
