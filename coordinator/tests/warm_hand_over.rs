//! Two coordinators that talk over their own ports: one leaves, comes back, and what was cached stays cached.
// A test that fails says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::atomic::Ordering::SeqCst;
use support::{Origin, Reply, Running, file, port::unused, send, until};

/// Two coordinators that know each other from the start.
struct Pair {
    origin: Origin,
    arguments: [Vec<String>; 2],
    _token: tempfile::TempDir,
}

impl Pair {
    async fn new() -> Self {
        let origin = Origin::start().await;
        let (_token, token) = file("token");
        let ports = [(); 4].map(|()| unused());
        let peers = format!(
            "a=127.0.0.1:{}/{},b=127.0.0.1:{}/{}",
            ports[0].port(),
            ports[1].port(),
            ports[2].port(),
            ports[3].port()
        );
        let arguments = [("a", ports[0], ports[1]), ("b", ports[2], ports[3])].map(|(name, data, peer)| {
            let (data, peer) = (data.to_string(), peer.to_string());
            ["--name", name, "--listen", &data, "--peer-listen", &peer, "--peers", &peers]
                .into_iter()
                .chain(["--peer-token-file", &token, "--origin", &origin.url])
                .map(str::to_owned)
                .collect()
        });
        Self { origin, arguments, _token }
    }

    async fn start(&self, which: usize) -> Running {
        Running::start(&self.arguments[which].iter().map(String::as_str).collect::<Vec<_>>()).await
    }
}

async fn get(running: &Running, path: &str) -> Reply {
    send(running.ports.data, "GET", path, &[("host", "h")], "").await
}

async fn is_hit(running: &Running, path: &str) -> bool {
    get(running, path).await.header("cache-status").contains("; hit")
}

/// The sum of the series of a metric that begin so.
async fn metric(running: &Running, series: &str) -> u64 {
    let page = running.metrics().await;
    let values = page.lines().filter(|line| line.starts_with(series)).filter_map(|line| line.rsplit(' ').next());
    values.map(|value| value.parse::<u64>().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_cached_stays_cached_while_a_coordinator_leaves_and_comes_back() {
    const PATHS: usize = 40;
    let pair = Pair::new().await;
    let paths: Vec<String> = (0..PATHS).map(|n| format!("/{n}")).collect();
    let (mut a, b) = (pair.start(0).await, pair.start(1).await);
    until("both answer from their stores", async || is_hit(&a, "/first").await && is_hit(&b, "/first").await).await;
    let before = pair.origin.asked.load(SeqCst);
    for path in &paths {
        assert_eq!(get(&a, path).await.status, 200);
    }
    assert_eq!(pair.origin.asked.load(SeqCst), before + PATHS);

    a.stop();
    a.ended().await;
    let received = metric(&b, r#"meshcache_received_entries_total{outcome="taken"}"#).await;
    assert!((1..PATHS as u64).contains(&received), "{received}");
    for path in &paths {
        assert!(is_hit(&b, path).await, "{path}");
    }

    let a = pair.start(0).await;
    until("it is back", async || is_hit(&a, "/first").await && metric(&b, "kubegroup_peers").await == 2).await;
    let before = pair.origin.asked.load(SeqCst);
    for path in &paths {
        assert_eq!((get(&a, path).await.status, get(&b, path).await.status), (200, 200));
    }
    assert_eq!(metric(&a, r#"meshcache_peeks_total{outcome="found"}"#).await, received, "each of its keys");
    assert_eq!(pair.origin.asked.load(SeqCst), before, "nothing was loaded twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_between_coordinators_need_the_token_and_are_read_strictly() {
    let pair = Pair::new().await;
    let a = pair.start(0).await;
    let call = async |method: &str, path: &str, token: &str, body: &str| {
        let token = format!("Bearer {token}");
        send(a.ports.peer, method, &format!("/.meshcache/{path}"), &[("authorization", &token)], body).await
    };
    for path in ["peek", "push", "word", "purge", "purges"] {
        assert_eq!(call("POST", path, "wrong", "").await.status, 401, "{path}");
        let get = call("GET", path, "token", "").await;
        assert_eq!((get.status, get.header("allow")), (405, "POST"), "{path}");
    }
    for path in ["push", "word", "purge", "purges"] {
        assert_eq!(call("POST", path, "token", "nonsense").await.status, 400, "{path}");
    }
    assert_eq!(call("POST", "peek", "token", "no key of ours").await.status, 204);
    assert_eq!(call("POST", "other", "token", "").await.status, 404);
}
