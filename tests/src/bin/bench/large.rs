//! Large: one answer of 200 MB through a cache of 100 MB that is in use.

use std::time::Instant;

use meshcache_tests::Coordinator;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    figure::{Figure, Target, Unit},
    memory::Watch,
    mesh::ask,
    nginx::Nginx,
    report::Report,
    sweep::sweep,
};

const ENTRIES: u64 = 50_000;
const BYTES: u64 = 200_000_000;
const CACHE: &str = "100000000";

/// It is streamed, and nothing has to go.
pub(crate) async fn run(report: &Report) {
    report.step(&format!("an answer of {BYTES} bytes through a cache of {CACHE} bytes with {ENTRIES} values of 1 KiB"));
    let origin = Nginx::origin().await;
    let coordinator = Coordinator::in_front_of(&origin.url(), &["--store-bytes", CACHE]).await;
    sweep(&[coordinator.ports.data], 16, ENTRIES, |n| format!("/values/1k/{n}")).await;
    let evictions = async || {
        let metrics = coordinator.metrics().await;
        (
            metrics.sum("groupcache_cache_evictions_total", &[]),
            metrics.sum("groupcache_cache_items", &[("type", "main")]),
        )
    };
    let before = evictions().await;
    let watch = Watch::start(coordinator.process.pid());
    coordinator.process.reset_peak_rss();
    let (resident, begun) = (coordinator.process.rss(), Instant::now());
    let received = drain(&coordinator).await;
    let rise = coordinator.process.peak_rss().saturating_sub(resident);
    let after = evictions().await;
    println!("    {:.1} s; items before and after: {} and {}", begun.elapsed().as_secs_f64(), before.1, after.1);
    report.add(Figure::once(
        "200 MB through 100 MB: bytes of body lost",
        Unit::Count,
        (BYTES as f64) - received as f64,
        Target::Exactly(0.0),
    ));
    report.add(Figure::once(
        "200 MB through 100 MB: peak memory above before",
        Unit::Bytes,
        rise as f64,
        Target::AtMost(10e6, None),
    ));
    report.add(Figure::once(
        "200 MB through 100 MB: entries evicted",
        Unit::Count,
        after.0 - before.0,
        Target::Exactly(0.0),
    ));
    report.line("large", "memory of a coordinator while 200 MB stream through, MiB", &watch.stop().await);
}

/// Reads the answer and forgets it; how long its body was.
async fn drain(coordinator: &Coordinator) -> u64 {
    let mut stream = TcpStream::connect(coordinator.ports.data).await.unwrap();
    stream.write_all(&ask("/200m").header("connection", "close").wire()).await.unwrap();
    let mut buffer = vec![0; 256 * 1024];
    let (mut head, mut body) = (Vec::new(), None);
    loop {
        let read = stream.read(&mut buffer).await.unwrap();
        match &mut body {
            _ if read == 0 => return body.unwrap_or(0),
            Some(body) => *body += read as u64,
            None => {
                head.extend_from_slice(&buffer[..read]);
                body = head.windows(4).position(|four| four == b"\r\n\r\n").map(|end| (head.len() - end - 4) as u64);
            }
        }
    }
}
