//! Upgrades: who speaks the next wire version is understood as far as this one goes, and no request fails for it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use meshcache_tests::{Ask, Coordinator, Origin, Reply};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_of_the_next_wire_version_has_the_feed_of_this_one_and_its_questions_back() {
    let origin = Origin::start().await;
    origin.always("/", Reply::fresh(60, "answer"));
    let coordinator = Coordinator::in_front_of(&origin.url(), &[]).await;
    let at = coordinator.ports.data;
    let feed = async |wire: u32| {
        let question = json!({"wire": wire, "proxy": "p", "version": "", "a-word-of-later": {"more": []}});
        Ask::new("POST", "meshcache", "/.meshcache/feed").body(question.to_string()).send(at).await.unwrap()
    };
    let told: Value = serde_json::from_slice(&feed(2).await.body).unwrap();
    assert_eq!((&told["wire"], &told["state"]["installation"]), (&json!(1), &json!("meshcache")));
    assert_eq!(feed(0).await.status, 400);

    // A question whose words may mean something else is answered by the service, not by chance.
    let host = origin.addr.to_string();
    let question = |wire: &str| Ask::get(&host, "/").header("meshcache-wire", wire);
    let back = question("2; group=default").send(at).await.unwrap();
    assert!(back.header("meshcache-outcome").starts_with("pass") && back.header("meshcache-outcome").contains("wire-version"), "{back:?}");
    assert_eq!(origin.total(), 0);
    // Words of later within this version are passed over.
    let answer = question("1; group=default; a-word-of-later=7").send(at).await.unwrap();
    assert_eq!((answer.text().as_str(), origin.total()), ("answer", 1), "{answer:?}");
}
