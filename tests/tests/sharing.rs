//! Five hundred clients ask for one URL in every way at once: each gets what it would have got alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use meshcache_tests::{Answer, Ask, Mesh, Reply, Shared, await_until, herd, origin::Received, run, wait::SOON};
use serde_json::json;

static MESH: Shared<Mesh> = Shared::new();

async fn mesh() -> Arc<Mesh> {
    let identity = json!({"share": {"identity": ["x-user-id"]}});
    let anonymous = json!({"request": {"drop": ["*"], "acceptEncoding": ["gzip"]}});
    let mesh = || {
        Mesh::of(3, 2)
            .envoy(|envoy| envoy.concurrency(2))
            .groups(|groups| groups.plus("ways", identity).plus("anonymous", anonymous))
    };
    MESH.get(async || mesh().start().await).await
}

/// An honest origin with users, encodings, ranges and conditions. It says Vary for encodings only: who asks is what a
/// cache has to know by itself.
fn service(request: &Received) -> Reply {
    let user = ["cookie", "authorization", "x-user-id"].map(|name| request.header(name)).concat();
    let coding = match request.header("accept-encoding") {
        coding if coding.contains("gzip") => "gzip",
        coding if coding.contains("br") => "br",
        _ => "",
    };
    let body = format!("the page for [{user}] as [{coding}]");
    let tag = format!("\"{user}-{coding}\"");
    let reply = if request.header("if-none-match") == tag {
        Reply::status(304)
    } else if request.header("range") == "bytes=0-3"
        && ["", tag.as_str()].contains(&request.header("if-range").as_str())
    {
        let part = format!("bytes 0-3/{}", body.len());
        Reply::ok(body[..4].to_owned()).with_status(206).header("content-range", part)
    } else {
        Reply::ok(body)
    };
    let reply = if coding.is_empty() { reply } else { reply.header("content-encoding", coding) };
    reply
        .header("vary", "Accept-Encoding")
        .header("cache-control", "max-age=60")
        .header("etag", tag)
        .delay(Duration::from_millis(200))
}

/// The `i`th of the clients: 13 ways to ask, and users who differ in all that tells them apart.
fn way(i: usize, path: &str) -> Ask {
    let get = Ask::get("ways.test", path);
    let head = Ask::new("HEAD", "ways.test", path);
    match i % 13 {
        0 => get,
        1 => get.header("cookie", format!("session={i}")),
        2 => get.header("authorization", format!("Bearer {i}")),
        3 => get.header("x-user-id", i.to_string()),
        4 => get.header("range", "bytes=0-3"),
        5 => get.header("if-none-match", "\"-\""),
        6 => get.header("if-none-match", "\"some other\""),
        7 => get.header("accept-encoding", "gzip"),
        8 => get.header("accept-encoding", "br"),
        9 => head,
        10 => head.header("accept-encoding", "gzip"),
        11 => get.header("cookie", format!("session={i}")).header("range", "bytes=0-3").header("accept-encoding", "br"),
        _ => get.header("range", "bytes=0-3").header("if-range", "\"some other\""),
    }
}

/// What of an answer a client lives by.
fn essence(answer: &Answer) -> BTreeMap<String, String> {
    let headers = ["content-length", "content-range", "content-encoding", "etag", "vary", "cache-control"];
    let mut essence: BTreeMap<String, String> =
        headers.iter().map(|name| (name.to_string(), answer.header(name))).collect();
    essence.insert("status".to_owned(), answer.status.to_string());
    essence.insert("body".to_owned(), answer.text());
    if answer.status == 304 {
        // A 304 need not repeat what the client has.
        ["content-length", "content-encoding", "vary", "cache-control"]
            .iter()
            .for_each(|name| drop(essence.remove(*name)));
    }
    essence
}

async fn each_gets_what_it_would_have_got_alone(mesh: &Mesh, targets: &[SocketAddr], path: &str) {
    mesh.origin.on(path, service);
    let alone = herd(500, &[mesh.origin.addr], |i| way(i, path)).await;
    for round in ["cold", "warm"] {
        let together = herd(500, targets, |i| way(i, path)).await;
        for (i, ((alone, _), (together, _))) in alone.results.iter().zip(&together.results).enumerate() {
            let (alone, together) = (alone.as_ref().unwrap(), together.as_ref().unwrap());
            assert_eq!(essence(together), essence(alone), "{round}, client {i} ({:?}): {together:?}", way(i, path));
        }
    }
}

#[test]
fn through_envoys_each_client_gets_what_it_would_have_got_alone() {
    run(async {
        let mesh = mesh().await;
        each_gets_what_it_would_have_got_alone(&mesh, &mesh.fronts(), "/ways").await;
    });
}

#[test]
fn at_coordinators_each_client_gets_what_it_would_have_got_alone() {
    run(async {
        let mesh = mesh().await;
        each_gets_what_it_would_have_got_alone(&mesh, &mesh.coordinators.data(), "/ways-plain").await;
    });
}

#[test]
fn variants_are_kept_side_by_side() {
    run(async {
        let mesh = mesh().await;
        mesh.origin.on("/ways-by-encoding", service);
        let coding = |i: usize| {
            Ask::get("ways.test", "/ways-by-encoding").header("accept-encoding", ["gzip", "br", "identity"][i % 3])
        };
        // Who joined a load whose Vary then names another variant goes on by itself, and a key is passed for a while
        // after that.
        let kept = async || {
            let before = mesh.origin.hits("/ways-by-encoding");
            let herd = herd(30, &mesh.fronts(), coding).await;
            herd.expect_all_ok();
            for (i, (answer, _)) in herd.results.iter().enumerate() {
                assert_eq!(
                    answer.as_ref().unwrap().text(),
                    format!("the page for [] as [{}]", ["gzip", "br", ""][i % 3])
                );
            }
            mesh.origin.hits("/ways-by-encoding") == before
        };
        await_until(kept, SOON, "all three variants are in the cache").await;
    });
}

#[test]
fn users_with_cookies_have_one_load_where_the_group_drops_all() {
    run(async {
        let mesh = mesh().await;
        mesh.origin.on("/anonymous", service);
        let ask = |user: usize| {
            let coding = ["gzip, br", "gzip;q=0.5"][user % 2];
            let ask = Ask::get("anonymous.test", "/anonymous").header("cookie", format!("session={user}"));
            ask.header("authorization", format!("Bearer {user}")).header("accept-encoding", coding)
        };
        let herd = herd(20, &mesh.fronts(), ask).await;
        herd.expect_all_ok();
        for answer in herd.answers() {
            assert_eq!(answer.text(), "the page for [] as [gzip]", "{answer:?}");
        }
        let seen =
            mesh.origin.received().into_iter().filter(|seen| seen.uri.path() == "/anonymous").collect::<Vec<_>>();
        assert_eq!(seen.len(), 1, "{seen:?}");
        let sent = ["cookie", "authorization", "accept-encoding"].map(|name| seen[0].header(name));
        assert_eq!(sent, ["", "", "gzip"]);
        // What passes keeps all that it has.
        let alone = Ask::new("POST", "anonymous.test", "/anonymous").header("cookie", "session=7");
        let answer = alone.send(mesh.fronts()[0]).await.unwrap();
        assert_eq!(answer.text(), "the page for [session=7] as []");
    });
}
