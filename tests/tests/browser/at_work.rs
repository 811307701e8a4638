//! The page beside load: how fast it answers, and what it looks like.

use std::time::{Duration, Instant};

use meshcache_tests::{
    Ask, Browser, Mesh, Reply, artifact,
    browser::{DARK, DESKTOP, PHONE},
    coordinator::ADMIN_TOKEN,
    groups::SHOP,
    load::{Until, load},
};
use serde_json::json;

use crate::{SHOWN, page, start};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: on a machine that does nothing else"]
async fn under_load_the_page_answers_within_100_ms() {
    let mesh = start().await;
    let (to, admin) = (mesh.coordinators.data(), mesh.coordinators.all[0].ports.admin);
    let asks = [Ask::get(SHOP, "/a/1"), Ask::get(SHOP, "/a/2"), Ask::get(SHOP, "/herd")];
    let clients = tokio::spawn(async move { load(&to, &asks, 64, Until::Elapsed(Duration::from_secs(10))).await });
    for path in ["/", "/page.js", "/mesh", "/top?by=keys&limit=10"] {
        let mut took = Vec::new();
        for _ in 0..100 {
            let begun = Instant::now();
            let ask = Ask::get("admin", path).header("authorization", format!("Bearer {ADMIN_TOKEN}"));
            assert_eq!(ask.send(admin).await.unwrap().status, 200);
            took.push(begun.elapsed());
        }
        took.sort_unstable();
        println!("{path}: p50 {:?}, p95 {:?}, the longest {:?}", took[50], took[95], took[99]);
        assert!(took[95] < Duration::from_millis(100), "{path}");
    }
    let load = clients.await.unwrap();
    println!("beside {:.0} requests/s", load.rate());
    assert_eq!(load.errors, [""; 0]);
}

/// The pictures of the documentation, of a mesh at work.
#[tokio::test(flavor = "multi_thread")]
async fn the_pictures_are_of_a_mesh_at_work() {
    if std::env::var_os("UPDATE").is_none() {
        return;
    }
    let observe = json!({"mode": "observe"});
    let mesh = Mesh::of(3, 2).groups(|groups| groups.plus("lab", observe)).start().await;
    let Some(mut browser) = Browser::start() else { return };
    mesh.origin.always("/private", Reply::ok("for one").header("cache-control", "private"));
    mesh.origin.on("*", |request| {
        Reply::fresh(3, format!("{} {}", request.uri, request.header("x-tenant"))).delay(Duration::from_millis(20))
    });
    let fronts = mesh.fronts();
    let load: Vec<_> = (0..8usize)
        .map(|client| {
            let front = fronts[client % 2];
            tokio::spawn(async move {
                for i in client.. {
                    let (host, path) = match i % 40 {
                        0 => (SHOP, "/private".to_owned()),
                        1 | 2 => ("lab.test", format!("/reports/{}", i % 3)),
                        _ => (SHOP, format!("/catalogue/{}", (i * i) % 7)),
                    };
                    let tenant = ["north", "south"][i % 2];
                    let _ = Ask::get(host, &path).header("x-tenant", tenant).send(front).await;
                    tokio::time::sleep(Duration::from_millis(12)).await;
                }
            })
        })
        .collect();
    for (window, name) in [(DESKTOP, "light"), (DARK, "dark"), (PHONE, "phone")] {
        browser.open(&page(&mesh.coordinators.all[0]), window);
        browser.until(SHOWN);
        // Some time, for trends that have a shape.
        for looks in (4..=24).step_by(4) {
            browser.until(&format!("rates.all.length >= {looks}"));
        }
        browser.value("scrollTo(0, 0)");
        browser.picture(&artifact::file(&format!("docs/pictures/page-{name}.png")));
    }
    load.iter().for_each(tokio::task::JoinHandle::abort);
}
