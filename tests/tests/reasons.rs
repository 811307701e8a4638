//! Why a request passed is in Cache-Status, through a coordinator as through Envoy: at the first request as at those
//! after it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use meshcache_tests::{Ask, Mesh, Reply, await_until, wait::SOON};
use serde_json::json;

const HOST: &str = "why.test";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_that_passes_says_why_at_a_proxy_too() {
    let group = json!({"match": {"hosts": [HOST], "exclude": [{"prefix": "/none"}]}, "bypass": {"headers": ["x-past"], "query": ["past"]}});
    let mesh = Mesh::of(1, 1).groups(|groups| groups.plus("why", group)).start().await;
    let private =
        |path: &str, control: &str| mesh.origin.always(path, Reply::ok("own").header("cache-control", control));
    private("/private", "private");
    private("/no-store", "no-store");
    mesh.origin.always("/cookie", Reply::fresh(60, "own").header("set-cookie", "a=b"));
    let why = async |ask: Ask| {
        let answer = ask.send(mesh.fronts()[0]).await.unwrap();
        answer.cache_status().rsplit("; ").next().unwrap_or_default().to_owned()
    };
    for (path, reason) in [("/private", "private"), ("/no-store", "no-store"), ("/cookie", "set-cookie")] {
        for nth in ["first", "second", "third"] {
            assert_eq!(why(Ask::get(HOST, path)).await, format!("detail={reason}"), "{path}, {nth}");
        }
    }
    for (ask, reason) in [
        (Ask::get(HOST, "//x"), "ambiguous-path"),
        (Ask::get(HOST, "/a/%2e%2e/x"), "ambiguous-path"),
        (Ask::get(HOST, "/none/x"), "no-path"),
        (Ask::get(HOST, "/x").header("x-past", "1"), "bypass-header"),
        (Ask::get(HOST, "/x?past=1"), "bypass-query"),
    ] {
        assert_eq!(why(ask).await, format!("detail={reason}"));
    }
    let stats = async |name: &str| mesh.envoys[0].stats().await.sum(name, &[]);
    let remembered = async || {
        assert_eq!(why(Ask::get(HOST, "/private")).await, "detail=private");
        stats("meshcache_filter_pass_remembered").await > 0.0
    };
    await_until(remembered, SOON, "the proxy does not ask each time").await;
    await_until(async || stats("meshcache_filter_pass_ambiguous_path").await == 2.0, SOON, "all is counted").await;
}
