//! Over the limit: many clients for one answer that is too large to be stored.

use std::time::Duration;

use meshcache_tests::Coordinator;
use tokio::{net::TcpStream, task::JoinSet};

use super::{
    drain::{drain, rested},
    paced_origin::Paced,
};
use crate::{
    figure::{Figure, Target, Unit},
    mesh::ask,
    nginx::Nginx,
    report::Report,
    scripted_origin::ScriptedOrigin,
};

const CLIENTS: u32 = 100;
const JOINING: Duration = Duration::from_millis(400);
const BYTES: u64 = 200_000_000;
const RATE: u64 = 8 << 20;
const MOST: Target = Target::AtMost((16 << 20) as f64, None);
/// The time in which the allocator gives back what it has no use for.
const REST: Duration = Duration::from_secs(5);
/// nginx loads it for each client: for so long, or its disk would be full.
const BESIDE: Duration = Duration::from_secs(2);

pub(super) async fn run(report: &Report) {
    let bytes = report.scaled(BYTES);
    report.step(&format!("{CLIENTS} clients within 0.4 s for one answer of {bytes} bytes, an origin of 8 MiB/s"));
    let origin = ScriptedOrigin::start(Paced).await;
    let coordinator = Coordinator::in_front_of(&origin.url(), &[]).await;
    let path = format!("/paced/{bytes}/{RATE}/ours");
    let connections = rested(coordinator.ports.data, CLIENTS.into()).await;
    tokio::time::sleep(REST).await;
    let idle = coordinator.process.rss();
    coordinator.process.reset_peak_rss();
    let lost = join(connections, &path).join_all().await.into_iter().sum::<u64>();
    let rise = coordinator.process.peak_rss().saturating_sub(idle);
    report.add(Figure::once(
        "200 MB over the limit, 100 clients: bytes lost",
        Unit::Count,
        lost as f64,
        Target::Exactly(0.0),
    ));
    report.add(Figure::once("  loads", Unit::Count, origin.loads(&path) as f64, Target::AtMost(2.0, None)));
    report.add(Figure::once("  peak memory above the same connections idle", Unit::Bytes, rise as f64, MOST));

    let nginx = Nginx::caching(origin.addr).await;
    let path = format!("/paced/{bytes}/{RATE}/nginx");
    let connections = rested(nginx.addr, CLIENTS.into()).await;
    let idle = nginx.process.rss();
    nginx.process.reset_peak_rss();
    let clients = join(connections, &path);
    tokio::time::sleep(JOINING + BESIDE).await;
    report.add(Figure::once("  nginx: loads", Unit::Count, origin.loads(&path) as f64, Target::Beside));
    let rise = nginx.process.peak_rss().saturating_sub(idle);
    report.add(Figure::once("  nginx: peak memory of its first 2 s", Unit::Bytes, rise as f64, Target::Beside));
    drop(clients);
}

/// The clients, one after another; of each the bytes that it did not get.
fn join(connections: Vec<TcpStream>, path: &str) -> JoinSet<u64> {
    let mut clients = JoinSet::new();
    for (n, mut stream) in (0..).zip(connections) {
        let ask = ask(path);
        clients.spawn(async move {
            tokio::time::sleep(JOINING * n / CLIENTS).await;
            let mut buffer = vec![0; 64 * 1024];
            let (received, length) = drain(&mut stream, &ask, &mut buffer).await.unwrap();
            length - received
        });
    }
    clients
}
