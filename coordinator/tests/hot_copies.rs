//! Hot copies: coordinators that are asked often for what another one owns.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::{collections::BTreeMap, net::SocketAddr, sync::atomic::Ordering::SeqCst};
use support::{Origin, Reply, Running, file, port::unused, send, until};

/// Three coordinators that run before an origin.
struct Three {
    origin: Origin,
    all: [Running; 3],
    _token: tempfile::TempDir,
}

impl Three {
    async fn start() -> Self {
        let origin = Origin::start().await;
        let (_token, token) = file("token");
        let ports = [(); 3].map(|()| (unused(), unused()));
        let peer = |(name, (data, peer)): (&str, &(SocketAddr, SocketAddr))| format!("{name}={data}/{}", peer.port());
        let peers = ["a", "b", "c"].into_iter().zip(&ports).map(peer).collect::<Vec<_>>().join(",");
        let start = async |name: &str, (data, peer): &(SocketAddr, SocketAddr)| {
            let (data, peer, url) = (data.to_string(), peer.to_string(), origin.url.clone());
            let own = ["--name", name, "--listen", &data, "--peer-listen", &peer, "--peers", &peers];
            let flags = [&own[..], &["--peer-token-file", &token, "--origin", &url]].concat();
            Running::start(&flags).await
        };
        let all = [start("a", &ports[0]).await, start("b", &ports[1]).await, start("c", &ports[2]).await];
        let three = Self { all, origin, _token };
        for one in 0..3 {
            until("it answers from its store", async || three.get(one, "/first").await.contains("; hit")).await;
        }
        three
    }

    async fn reply(&self, which: usize, method: &str, path: &str) -> Reply {
        send(self.all[which].ports.data, method, path, &[("host", "h")], "").await
    }

    fn loads(&self) -> usize {
        self.origin.asked.load(SeqCst)
    }

    /// How it was answered.
    async fn get(&self, which: usize, path: &str) -> String {
        self.reply(which, "GET", path).await.header("cache-status").to_owned()
    }

    /// The sum of the series of a metric that begin so.
    async fn metric(&self, which: usize, series: &str) -> u64 {
        let page = self.all[which].metrics().await;
        let values = page.lines().filter(|line| line.starts_with(series)).filter_map(|line| line.rsplit(' ').next());
        values.map(|value| value.parse::<u64>().unwrap()).sum()
    }

    async fn purge(&self, order: &Value) -> Value {
        let reply = send(self.all[1].ports.admin, "POST", "/purge", &[], &order.to_string()).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()
    }

    /// A path of which the first has a hot copy now.
    async fn hot_path(&self) -> String {
        for n in 0.. {
            let path = format!("/hot/{n}");
            self.get(0, &path).await;
            self.get(0, &path).await;
            if self.get(0, &path).await.contains("detail=hot") {
                return path;
            }
        }
        unreachable!()
    }
}

const PEER_LOADS: &str = "groupcache_peer_loads_total{";

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_and_eight_requests_for_eight_keys_ask_the_owners_at_most_sixteen_times() {
    let three = Three::start().await;
    let (asked, loads) = (three.metric(0, PEER_LOADS).await, three.loads());
    let before = (three.metric_of("hot", "items").await, three.metric_of("hot", "hits_total").await);
    let mut details = BTreeMap::<String, usize>::new();
    for n in 0..208 {
        let status = three.get(0, &format!("/{}", n % 8)).await;
        let detail = status.rsplit_once("; detail=").map_or("", |(_, detail)| detail);
        *details.entry(detail.to_owned()).or_default() += 1;
    }
    let questions = three.metric(0, PEER_LOADS).await - asked;
    let foreign = questions as usize / 2;
    assert!(questions <= 16, "{questions}");
    assert_eq!((three.loads() - loads, foreign * 2), (8, questions as usize));
    // The first answer for a key is a miss, the second a hit at its owner, all others are hits of a copy.
    assert_eq!(details.get("hot").copied().unwrap_or(0), foreign * 24, "{details:?}");
    let after = (three.metric_of("hot", "items").await, three.metric_of("hot", "hits_total").await);
    assert_eq!((after.0 - before.0, after.1 - before.1), (foreign as u64, foreign as u64 * 24));
    assert!(three.metric_of("hot", "bytes").await > 0);
}

impl Three {
    async fn metric_of(&self, cache_type: &str, what: &str) -> u64 {
        self.metric(0, &format!("groupcache_cache_{what}{{group=\"default\",type=\"{cache_type}\"}}")).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_purge_of_any_kind_is_answered_no_copy_of_what_it_names_is_given() {
    let three = Three::start().await;
    let kinds: [fn(&str) -> Value; 9] = [
        |path| json!({"urls": [format!("http://h{path}")]}),
        |path| json!({"group": "default", "paths": [path]}),
        |_| json!({"group": "default", "prefixes": ["/hot/"]}),
        |_| json!({"group": "default", "tags": ["tag"]}),
        |_| json!({"group": "default"}),
        |_| json!({"all": true}),
        |path| json!({"urls": [format!("http://h{path}")], "soft": true}),
        |_| json!({"group": "default", "tags": ["tag"], "soft": true}),
        |_| json!({"all": true, "soft": true}),
    ];
    for kind in kinds {
        let path = three.hot_path().await;
        let order = kind(&path);
        let loads = three.loads();
        three.purge(&order).await;
        let new = three.get(0, &path).await;
        assert!(new.contains("fwd=") && three.loads() == loads + 1, "{order}: {new}");
    }
    let path = three.hot_path().await;
    three.purge(&json!({"group": "default", "paths": ["/other"]})).await;
    assert!(three.get(0, &path).await.contains("detail=hot"), "another key's purge leaves it");
    let count = json!({"group": "default", "paths": [path], "dryRun": true});
    assert_eq!(three.purge(&count).await["entries"], 1, "what it is a copy of counts, wherever there are copies");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsafe_request_ends_the_copy_at_its_own_coordinator() {
    let three = Three::start().await;
    let path = three.hot_path().await;
    assert_eq!(three.reply(0, "PUT", &path).await.status, 200);
    let new = three.get(0, &path).await;
    assert!(!new.contains("detail=hot"), "{new}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_leaves_hands_over_no_copies() {
    let mut three = Three::start().await;
    for n in 0..24 {
        for _ in 0..3 {
            three.get(0, &format!("/{n}")).await;
        }
    }
    let (own, copies) = (three.metric_of("main", "items").await, three.metric_of("hot", "items").await);
    assert!(copies > 0);
    let received = async |three: &Three| {
        three.metric(1, "meshcache_received_entries_total{").await
            + three.metric(2, "meshcache_received_entries_total{").await
    };
    assert_eq!(received(&three).await, 0);
    three.all[0].stop();
    until("it has left", async || received(&three).await >= own).await;
    assert_eq!(received(&three).await, own);
}
