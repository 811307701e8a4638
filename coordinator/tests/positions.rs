//! Who may say what was purged: questions with positions that coordinators told, and with made-up ones, over real
//! sockets.
// A test that fails says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::net::{SocketAddr, TcpListener};
use support::{Origin, Reply, Running, file, get, port, send, until};

/// A ring of three: two that run, and one that takes connections and says nothing.
struct Ring {
    _origin: Origin,
    flags: Vec<String>,
    ports: [(SocketAddr, SocketAddr); 2],
    _silent: TcpListener,
}

impl Ring {
    async fn new(token: &str, third_is_there: bool) -> Self {
        let (origin, silent) = (Origin::start().await, TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = [(port::unused(), port::unused()), (port::unused(), port::unused())];
        let c = silent.local_addr().unwrap();
        let [(a, a_peer), (b, b_peer)] = ports;
        let mut peers = format!("a={a}/{},b={b}/{}", a_peer.port(), b_peer.port());
        if third_is_there {
            peers = format!("{peers},c={c}/{}", c.port());
        }
        let flags = ["--origin", &origin.url, "--peer-token-file", token, "--peers", &peers, "--drain-timeout", "1s"];
        Self { flags: flags.map(str::to_owned).to_vec(), _origin: origin, ports, _silent: silent }
    }

    async fn start(&self) -> [Running; 2] {
        let start = async |name: &str, (data, peer): (SocketAddr, SocketAddr)| {
            let (data, peer) = (data.to_string(), peer.to_string());
            let own = ["--name", name, "--listen", &data, "--peer-listen", &peer];
            let all: Vec<&str> = self.flags.iter().map(String::as_str).chain(own).collect();
            Running::start(&all).await
        };
        [start("a", self.ports[0]).await, start("b", self.ports[1]).await]
    }
}

async fn metric(running: &Running, name: &str) -> u64 {
    let page = running.metrics().await;
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("{name}: {page}")).parse().unwrap()
}

/// A filter's question: how it came out.
async fn asks(running: &Running, path: &str, words: &str) -> String {
    let digest = get(running.ports.admin, "/groups").await.json()["groups"][0]["digest"].as_str().unwrap().to_owned();
    let said = format!("1; group=default; rules={digest}; patience=2000{words}");
    let reply = send(running.ports.data, "GET", path, &[("host", "h"), ("meshcache-wire", &said)], "").await;
    reply.header("meshcache-outcome").split(';').take(2).collect::<Vec<_>>().join(";")
}

async fn feed(running: &Running, question: serde_json::Value) -> Reply {
    send(running.ports.data, "POST", "/.meshcache/feed", &[], &question.to_string()).await
}

/// What a proxy says that was told of one more purge of a coordinator: its position, and the marks of that.
async fn hears_of_a_purge(of: &Running) -> (String, String) {
    let purged = send(of.ports.admin, "POST", "/purge", &[], r#"{"group": "default"}"#).await.json()["id"].clone();
    let mut news = serde_json::Value::Null;
    until("proxies are told", async || {
        news = feed(of, serde_json::json!({"wire": 1, "at_once": true})).await.json()["news"].clone();
        news["position"] == purged
    })
    .await;
    (news["position"].as_str().unwrap().to_owned(), news["marks"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn while_a_peer_is_silent_a_told_number_empties_a_store_and_an_invented_one_does_not() {
    let (_folder, token) = file("new-token\npeer-token\n");
    let ring = Ring::new(&token, true).await;
    let [a, b] = ring.start().await;
    for running in [&a, &b] {
        until("one peer is silent, and the other is enough", async || {
            metric(running, "meshcache_unresponsive_peers").await == 1
                && metric(running, "meshcache_purge_lease_held").await == 1
        })
        .await;
    }
    let items = async |running: &Running| {
        let page = running.metrics().await;
        let all = page.lines().filter(|line| line.starts_with("groupcache_cache_items{"));
        all.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum::<u64>()
    };
    let fill = async |running: &Running| {
        let at = running.ports.data;
        let all: tokio::task::JoinSet<_> = (0..8).map(|n| async move { get(at, &format!("/{n}")).await }).collect();
        all.join_all().await;
        items(running).await
    };
    assert!(fill(&a).await > 0 && fill(&b).await > 0);
    let held = items(&a).await;

    // One that is alone has the token, too: what it tells none of these knows. And c may.
    let (_folder, older) = file("peer-token\n");
    let other =
        Running::start(&["--origin", "http://127.0.0.1:9", "--name", "other", "--peer-token-file", &older]).await;
    let invented = "x.0000000000000001:9";
    let (_, mark_of_another) = hears_of_a_purge(&other).await;
    for words in [
        format!("; purge={invented}"),
        format!("; purge={invented}; marks={mark_of_another}"),
        "; purge=nonsense".to_owned(),
    ] {
        assert_eq!(asks(&a, "/0", &words).await, "pass; reason=purge-lag", "{words}");
    }
    let said = serde_json::json!({"position": invented, "marks": mark_of_another});
    assert_eq!(
        feed(&a, serde_json::json!({"wire": 1, "at_once": true, "position": invented, "told": said})).await.status,
        200
    );

    // The second time more than two seconds have passed at a.
    for times in 1..=2 {
        let (position, marks) = hears_of_a_purge(&other).await;
        let words = format!("; purge={position}; marks={marks}");
        assert_eq!(asks(&b, "/0", &words).await, "pass; reason=purge-lag", "who may know it is silent");
        until("a number that was told empties the store", async || {
            metric(&b, "meshcache_store_flushes_total").await == times
        })
        .await;
        assert_ne!(asks(&b, "/0", &words).await, "pass; reason=purge-lag", "and is answered then");
        assert!(fill(&b).await > 0);
    }
    assert_eq!(metric(&a, "meshcache_store_flushes_total").await, 0);
    assert!(items(&a).await >= held, "all is there");
    assert_eq!(
        asks(&a, "/0", &format!("; purge={invented}")).await,
        "pass; reason=purge-lag",
        "for as long as one is silent that is there"
    );
    assert_ne!(asks(&a, "/0", "").await, "pass; reason=purge-lag", "all others are answered");
}

#[tokio::test]
async fn a_filter_that_knows_no_marks_is_answered_after_all_coordinators_started_anew() {
    let (_folder, token) = file("peer-token\n");
    let ring = Ring::new(&token, false).await;
    let running = ring.start().await;
    until("they hear each other", async || {
        metric(&running[0], "meshcache_unresponsive_peers").await == 0
            && metric(&running[0], "meshcache_purge_lease_held").await == 1
    })
    .await;
    let (position, _) = hears_of_a_purge(&running[0]).await;
    for mut one in running {
        one.stop();
        one.ended().await;
    }
    let [a, b] = ring.start().await;
    let words = format!("; purge={position}");
    for running in [&a, &b] {
        until("its questions are answered", async || !asks(running, "/0", &words).await.starts_with("pass")).await;
        assert_eq!(metric(running, "meshcache_store_flushes_total").await, 0);
    }
}

#[tokio::test]
async fn what_is_told_is_marked_by_the_first_token_of_the_file_as_it_is_now() {
    let (_folder, token) = file("one");
    let running = Running::start(&["--origin", "http://127.0.0.1:9", "--peer-token-file", &token]).await;
    let (position, by_one) = hears_of_a_purge(&running).await;
    let marks = async || {
        let news = feed(&running, serde_json::json!({"wire": 1, "at_once": true})).await.json()["news"].clone();
        assert_eq!(news["position"], position.as_str());
        news["marks"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!((by_one.len(), marks().await), (16, by_one.clone()));
    std::fs::write(&token, "two\none").unwrap();
    until("the new token marks", async || marks().await != by_one).await;
    let by_two = marks().await;
    std::fs::write(&token, "one").unwrap();
    until("the old one marks again", async || marks().await != by_two).await;
    assert_eq!(marks().await, by_one);
}
