//! Crowd: an answer of 8 MiB to a thousand clients at once, while it is loaded and from the store.

use std::time::Duration;

use meshcache_tests::Coordinator;

use super::{
    drain::{all_at_once, rested},
    paced_origin::Paced,
};
use crate::{
    figure::{Figure, Target, Unit},
    report::Report,
    scripted_origin::ScriptedOrigin,
};

const CLIENTS: u64 = 1000;
const BYTES: u64 = 8 << 20;
const MOST: Target = Target::AtMost((16 << 20) as f64, None);
/// The time in which the allocator gives back what it has no use for.
const REST: Duration = Duration::from_secs(5);

pub(super) async fn run(report: &Report) {
    let clients = report.scaled(CLIENTS);
    report.step(&format!("an answer of 8 MiB that takes a second, to {clients} clients at once"));
    let origin = ScriptedOrigin::start(Paced).await;
    let coordinator = Coordinator::in_front_of(&origin.url(), &["--store-bytes", "256MiB"]).await;
    let mut connections = rested(coordinator.ports.data, clients).await;
    let path = format!("/paced/{BYTES}/{BYTES}/crowd");
    for what in ["while it is loaded", "from the store"] {
        tokio::time::sleep(REST).await;
        let idle = coordinator.process.rss();
        coordinator.process.reset_peak_rss();
        connections = all_at_once(connections, &path).await;
        let rise = coordinator.process.peak_rss().saturating_sub(idle);
        let name = format!("8 MiB to {clients} clients {what}: memory above the same connections idle");
        report.add(Figure::once(&name, Unit::Bytes, rise as f64, MOST));
    }
    report.add(Figure::once("  loads", Unit::Count, origin.loads(&path) as f64, Target::Exactly(1.0)));
}
