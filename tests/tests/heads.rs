//! Answers whose heads are as large as Envoy takes: through the cache they are what they are without it, and nobody
//! else's keys suffer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use meshcache_tests::{Answer, Ask, EnvoyConfig, Mesh, Reply, await_until, groups::SHOP, wait::SOON};
use serde_json::json;

/// Beside the fields that are named, an origin's answer has Cache-Control, Date and Content-Length, and Envoy's takes
/// `:status`.
fn lines(n: usize) -> Reply {
    (0..n).fold(Reply::fresh(60, "many"), |reply, i| reply.header(&format!("x-{i}"), "v"))
}

fn long(kib: usize) -> Reply {
    Reply::fresh(60, "long").header("x-long", "v".repeat(kib << 10))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_with_as_large_a_head_as_envoy_takes_costs_no_other_key_anything() {
    let mesh =
        Mesh::of(3, 1).envoy(|envoy| envoy.filter(|filter| filter["hot_bytes_per_worker"] = json!(0))).start().await;
    let alone =
        EnvoyConfig::example("front.yaml").without_filter().cluster("service", &[mesh.origin.addr]).start().await;
    // Question and answer have some lines more than the service's own answer: on both sides of the limit.
    let (fit, more) = ([90, 92, 93].map(|n| ("lines", n, lines(n))), [94, 95, 97].map(|n| ("lines", n, lines(n))));
    let (fit_long, longer) = ([57, 59].map(|n| ("long", n, long(n))), [60, 62].map(|n| ("long", n, long(n))));
    let others: Vec<String> = (0..3).map(|i| mesh.owned_by(i, SHOP, "/other")).collect();
    let front = mesh.fronts()[0];
    let ask = async |path: &str| Ask::get(SHOP, path).send(front).await.unwrap();
    for other in &others {
        mesh.origin.always(other, Reply::fresh(60, "other"));
        ask(other).await;
    }
    let own = |answer: &Answer| {
        answer
            .headers
            .iter()
            .filter(|(name, _)| name.as_str().starts_with("x-") && !name.as_str().starts_with("x-envoy"))
            .count()
    };
    let all = fit
        .into_iter()
        .chain(fit_long)
        .map(|case| (case, true))
        .chain(more.into_iter().chain(longer).map(|case| (case, false)));
    for ((what, n, reply), is_stored) in all {
        let path = format!("/{what}-{n}");
        mesh.origin.always(&path, reply);
        let without = Ask::get(SHOP, &path).send(alone.listener("front")).await.unwrap();
        assert_eq!(without.status, 200, "{path} without the cache");
        for asked in ["first", "again", "and again"] {
            let answer = ask(&path).await;
            assert_eq!(
                (answer.status, answer.text(), own(&answer)),
                (200, without.text(), own(&without)),
                "{path}, {asked}"
            );
            assert_eq!(
                answer.cache_status().contains("fwd=bypass"),
                !is_stored,
                "{path}, {asked}: {}",
                answer.cache_status()
            );
            for other in &others {
                let answer = ask(other).await;
                assert!(
                    answer.cache_status().contains("; hit"),
                    "{other} after {path}, {asked}: {}",
                    answer.cache_status()
                );
            }
        }
    }
    let stats = async |name: &str| mesh.envoys[0].stats().await.sum(name, &[]);
    await_until(async || stats("meshcache_filter_pass_remembered").await == 10.0, SOON, "all is counted").await;
    assert_eq!(stats("meshcache_filter_peer_failures").await, 0.0, "{}", mesh.counts().await);
}
