//! First byte: when the first byte of a body arrives whose origin sends the head at once and the rest over 2.5 s.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use meshcache_tests::{Ask, Coordinators, Host};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    figure::{Figure, Target, Unit},
    mesh::{HOST, Mesh, Shape, groups},
    nginx::Nginx,
    report::Report,
    scripted_origin::ScriptedOrigin,
    slow_origin::Slow,
};

/// Clients that join one load, and the time over which they come.
const CLIENTS: u32 = 100;
const JOINING: Duration = Duration::from_secs(2);
/// The most that a first byte may take longer than from the origin itself.
const PLAIN: f64 = 0.005;
const THROUGH_ANOTHER: f64 = 0.010;
const THROUGH_WASM: f64 = 0.120;

/// Each way to the origin with keys of its own.
pub(super) async fn run(report: &Report) {
    report.step("first byte, an origin that sends its head at once and its body over 2.5 s");
    let origin = ScriptedOrigin::start(Slow).await;
    let coordinators = Coordinators::start(2, &groups(HOST, &origin.url()), &[]).await;
    let nginx = Nginx::caching(origin.addr).await;
    let rounds = report.effort.rounds.min(5);
    let own = first_bytes(origin.addr, "own", rounds).await;
    let after = |samples: Vec<f64>| samples.iter().zip(&own).map(|(one, own)| one - own).collect::<Vec<f64>>();
    report.add(Figure::new("first byte: the origin's own", Unit::Millis, own.clone(), Target::Beside));

    // Whose key it is decides the ring, so each key is asked for at both.
    let (owned, forwarded) = by_owner(&coordinators, rounds).await;
    let name = "first byte later than the origin's own: a plain client at the owner";
    report.add(Figure::new(name, Unit::Millis, after(owned), Target::AtMost(PLAIN, None)));
    let name = "  at a coordinator that is not the owner";
    report.add(Figure::new(name, Unit::Millis, after(forwarded), Target::AtMost(THROUGH_ANOTHER, None)));
    let beside = after(first_bytes(nginx.addr, "nginx", rounds).await);
    report.add(Figure::new("  nginx proxy_cache", Unit::Millis, beside, Target::Beside));

    for (name, at, loads) in
        [("meshcache", coordinators.data()[0], Target::Exactly(1.0)), ("nginx proxy_cache", nginx.addr, Target::Beside)]
    {
        let path = format!("/slow/join-{}", at.port());
        let p95 = joining(at, &path).await;
        let target = if loads == Target::Beside { Target::Beside } else { Target::AtMost(0.010, None) };
        let text = format!("first byte after joining, {CLIENTS} clients over 2 s, p95: {name}");
        report.add(Figure::once(&text, Unit::Millis, p95, target));
        report.add(Figure::once("  loads", Unit::Count, origin.loads(&path) as f64, loads));
    }

    for (host, name, most) in [
        (Host::Native, "first byte later than the origin's own: through Envoy, native", THROUGH_ANOTHER),
        (Host::Wasm, "first byte later than the origin's own: through Envoy, Wasm", THROUGH_WASM),
    ] {
        let mesh = Mesh::start(origin.addr, Shape { host, ..Shape::default() }).await;
        let through = after(first_bytes(mesh.fronts()[0], &format!("{host:?}"), rounds).await);
        report.add(Figure::new(name, Unit::Millis, through, Target::AtMost(most, None)));
    }
}

/// The first bytes of so many keys, one after another.
async fn first_bytes(at: SocketAddr, prefix: &str, count: usize) -> Vec<f64> {
    let mut seconds = Vec::new();
    for n in 0..count {
        seconds.push(first_byte(at, &format!("/slow/{prefix}-{n}")).await);
    }
    seconds
}

/// `rounds` keys of the first coordinator, and as many of the other, all asked for at the first one.
async fn by_owner(coordinators: &Coordinators, rounds: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut owned, mut forwarded) = (Vec::new(), Vec::new());
    let questions = async || coordinators.all[1].metrics().await.sum("groupcache_server_requests_total", &[]);
    for n in 0..20 * rounds {
        if owned.len() >= rounds && forwarded.len() >= rounds {
            break;
        }
        let before = questions().await;
        let seconds = first_byte(coordinators.all[0].ports.data, &format!("/slow/owner-{n}")).await;
        if questions().await > before { forwarded.push(seconds) } else { owned.push(seconds) }
    }
    assert!(owned.len() >= rounds && forwarded.len() >= rounds, "one of two coordinators owns nothing");
    owned.truncate(rounds);
    forwarded.truncate(rounds);
    (owned, forwarded)
}

/// The 95th percentile of the first bytes of clients that join one load, one after another.
async fn joining(at: SocketAddr, path: &str) -> f64 {
    let clients: Vec<_> = (0..CLIENTS)
        .map(|n| {
            let path = path.to_owned();
            tokio::spawn(async move {
                tokio::time::sleep(JOINING * n / CLIENTS).await;
                first_byte(at, &path).await
            })
        })
        .collect();
    let mut seconds = Vec::new();
    for client in clients {
        seconds.push(client.await.unwrap());
    }
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() * 95 / 100]
}

/// Seconds from the request to the first byte of the body. The rest of it is read by a task of its own.
async fn first_byte(at: SocketAddr, path: &str) -> f64 {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let begun = Instant::now();
    stream.write_all(&Ask::get(HOST, path).header("connection", "close").wire()).await.unwrap();
    let (mut seen, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    let has_body =
        |seen: &[u8]| seen.windows(4).position(|four| four == b"\r\n\r\n").is_some_and(|at| at + 4 < seen.len());
    while !has_body(&seen) {
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(read > 0, "{path}: ended before its body: {:?}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&buffer[..read]);
    }
    let seconds = begun.elapsed().as_secs_f64();
    assert!(seen.starts_with(b"HTTP/1.1 200"), "{path}: {}", String::from_utf8_lossy(&seen));
    tokio::spawn(async move { while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {} });
    seconds
}
