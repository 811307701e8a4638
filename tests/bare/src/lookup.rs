//! Times ring lookups inside the VM; the last result is a gauge `bare_ring_PEERS_picoseconds`.

use std::{hint::black_box, time::Duration};

use meshcache_protocol::{
    Hash,
    ring::{Peer, Ring},
};
use proxy_wasm::{hostcalls, types::MetricType};

/// The rings: how many peers each has.
const PEERS: [usize; 4] = [3, 30, 300, 3000];
/// Weights that are mixed for one result, whatever the ring: some milliseconds.
const WEIGHTS: usize = 3_000_000;

/// Times one batch for each ring.
pub(crate) fn time_all() {
    for peers in PEERS {
        let lookups = WEIGHTS / peers;
        let ring = ring(peers);
        let keys: Vec<Hash> = (0..1024_u32).map(|n| Hash::of(&n.to_le_bytes())).collect();
        let begun = now();
        for key in keys.iter().cycle().take(lookups) {
            black_box(ring.owner_and_next(black_box(*key)));
        }
        let took = now().saturating_sub(begun).as_nanos() * 1000 / lookups as u128;
        let name = format!("bare_ring_{peers}_picoseconds");
        // A gauge that cannot be set leaves the benchmark waiting, and it says so.
        let _ =
            hostcalls::define_metric(MetricType::Gauge, &name).and_then(|id| hostcalls::record_metric(id, took as u64));
    }
}

fn now() -> Duration {
    let now = hostcalls::get_current_time().ok();
    now.and_then(|now| now.duration_since(std::time::UNIX_EPOCH).ok()).unwrap_or_default()
}

fn ring(peers: usize) -> Ring {
    let peer =
        |n: usize| Peer { name: format!("peer-{n}"), data: format!("10.0.0.1:{n}"), peer: format!("10.0.0.2:{n}") };
    Ring::new((0..peers).map(peer).collect())
}
