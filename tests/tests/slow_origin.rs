//! Answers that must be validated each time, through Envoy, from origins that are quick and slow: as fast as without
//! the cache, and loaded once. What plain clients and other coordinators see is in coordinator/tests/validated.rs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use meshcache_tests::{Ask, Mesh, Reply, Stopwatch, await_until, wait::SOON};
use serde_json::json;
use tokio::task::JoinSet;

const HERD: usize = 30;

/// An answer of each kind, after so long. A validation is confirmed by the one of the last kind.
fn kinds(time: Duration) -> Vec<(&'static str, Reply)> {
    let tagged = || Reply::ok("whole").delay(time).header("etag", "\"a\"");
    let modified = || Reply::ok("whole").delay(time).header("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT");
    vec![
        ("etag", tagged()),
        ("modified", modified()),
        ("no-cache", tagged().header("cache-control", "no-cache, max-age=60")),
        ("max-age-0", tagged().header("cache-control", "max-age=0")),
        ("expires", tagged().header("expires", "0")),
        ("age", tagged().header("cache-control", "max-age=60").header("age", "61")),
        ("vary", tagged().header("vary", "accept-language")),
        ("confirmed", tagged().header("cache-control", "max-age=0")),
    ]
}

async fn cell(mesh: Arc<Mesh>, group: &'static str, name: &'static str, reply: Reply, time: Duration) {
    let (host, front) = (format!("{group}.test"), mesh.fronts()[0]);
    let paths = ["one", "herd", "alone"].map(|which| format!("/{group}/{name}/{}/{which}", time.as_millis()));
    for path in &paths {
        let (reply, confirmed) = (
            reply.clone(),
            Reply::status(304).delay(time).header("etag", "\"a\"").header("cache-control", "max-age=0"),
        );
        mesh.origin.on(path, move |request| {
            if name == "confirmed" && !request.header("if-none-match").is_empty() {
                confirmed.clone()
            } else {
                reply.clone()
            }
        });
    }
    let [one, herd, alone] = paths;
    let began = Instant::now();
    Ask::get(&host, &alone).send(mesh.origin.addr).await.unwrap();
    let alone = began.elapsed();
    for nth in 1..=2 {
        let began = Stopwatch::start();
        let answer = Ask::get(&host, &one).send(front).await.unwrap();
        let took = began.elapsed();
        assert_eq!((answer.status, answer.text().as_str()), (200, "whole"), "{one}");
        assert_eq!(mesh.origin.hits(&one), nth, "one client, one load: {one}");
        assert!(took < alone * 3 / 2 + Duration::from_millis(400), "{took:?}, alone {alone:?}: {one}");
    }
    if time < Duration::from_millis(800) {
        return;
    }
    let ask = || {
        let ask = Ask::get(&host, &herd);
        async move { ask.send(front).await.unwrap() }
    };
    let (began, mut all) = (Stopwatch::start(), JoinSet::new());
    all.spawn(ask());
    await_until(async || mesh.origin.hits(&herd) == 1, SOON, "the first load is under way").await;
    (0..HERD).for_each(|_| {
        all.spawn(ask());
    });
    while let Some(answer) = all.join_next().await {
        assert_eq!(answer.unwrap().text(), "whole", "{herd}");
    }
    let (took, loads) = (began.elapsed(), mesh.origin.hits(&herd));
    // How long ago a load began is known to a proxy but for the time that its answer was on the way.
    assert!(
        (1..=2).contains(&loads),
        "the first, and one for all who came since, not {loads}: {herd}{}",
        mesh.counts().await
    );
    assert!(took < alone * 3 + Duration::from_millis(800), "{took:?}, alone {alone:?}: {herd}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_envoy_what_must_be_validated_takes_the_origins_own_time_and_one_load() {
    let groups = [
        ("usual", json!({})),
        ("patient", json!({"patience": "5s"})),
        ("hedged", json!({"hedge": "400ms", "patience": "2s"})),
    ];
    let mesh = Mesh::of(2, 1).envoy(|envoy| envoy.concurrency(2));
    let mesh = mesh.groups(|all| groups.iter().fold(all, |all, (name, fields)| all.plus(name, fields.clone())));
    let mesh = Arc::new(mesh.start().await);
    let mut all = JoinSet::new();
    for (group, _) in groups {
        for time in [100, 760, 1000].map(Duration::from_millis) {
            for (name, reply) in
                kinds(time).into_iter().filter(|(name, _)| group == "usual" || matches!(*name, "etag" | "no-cache"))
            {
                all.spawn(cell(mesh.clone(), group, name, reply, time));
            }
        }
    }
    while let Some(one) = all.join_next().await {
        one.unwrap();
    }
}
