//! Twelve times "why was this not cached?", as a user asks it: the real program `meshcache why` says why, and what it says
//! to write is accepted by `meshcache check -` and, written, mends it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod asked;

use std::time::Duration;

use asked::{Case, HOST, check, explained, word_in};
use meshcache_tests::{Ask, Coordinators, Groups, Mesh, Reply, await_until, groups::SHOP, origin::Gate, wait::SOON};
use serde_json::json;

/// A response that any request may have, but for what a case makes of it.
fn fresh() -> Reply {
    Reply::fresh(60, "the same for all\n")
}

fn saying(cache_control: &str) -> Reply {
    Reply::ok("the same for all\n").header("cache-control", cache_control)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_response_is_stored_once_it_is_said_to_be_for_all() {
    Case::new("private", saying("private")).gets_mended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_that_may_not_be_stored_is_once_that_is_ignored() {
    Case::new("no-store", saying("no-store")).gets_mended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_without_freshness_is_given_one() {
    Case::new("no-freshness", Reply::ok("the same for all\n")).gets_mended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_that_sets_a_cookie_is_shared_without_it_and_the_cookie_is_not_told() {
    let case = Case::new("set-cookie", fresh().header("set-cookie", "session=secret-value; Path=/"));
    let text = case.gets_mended().await;
    assert!(!text.contains("secret-value") && text.contains("session"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_with_authorization_is_answered_once_the_group_shares_and_the_token_is_not_told() {
    let case = Case::new("identity", fresh()).header("authorization", "Bearer secret-value");
    let text = case.gets_mended().await;
    assert!(!text.contains("secret-value"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_that_varies_by_everything_is_stored_once_that_is_ignored() {
    Case::new("vary", fresh().header("vary", "*")).gets_mended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_over_the_limit_is_stored_once_the_limit_is_raised() {
    let case = Case::new("too-large", Reply::fresh(60, "x".repeat(5000))).group(json!({"limits": {"object": "1KiB"}}));
    case.gets_mended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_method_is_no_matter_of_configuration_unless_it_is_query() {
    Case::new("method", fresh()).method("POST").stays_as_it_is().await;
    Case::new("method", fresh()).method("QUERY").gets_mended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_the_group_does_not_name_is_named() {
    let case = Case::new("caller", fresh()).group(json!({"callers": ["spiffe://cluster.local/ns/web/sa/shop"]}));
    let case = case.header("x-forwarded-client-cert", "URI=spiffe://cluster.local/ns/batch/sa/report");
    case.argument(&["--identity", "xfcc"]).gets_mended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_that_leads_to_no_service_is_told_by_the_response_and_no_change_of_a_group_is_proposed() {
    let routes = json!([{"match": {"path": "/old"}, "redirect": {"path_redirect": "/new"}}]);
    let with_route = move |mut envoy: meshcache_tests::EnvoyConfig| {
        let manager =
            &mut envoy.bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
        let own = manager["route_config"]["virtual_hosts"][0]["routes"].as_array_mut().unwrap();
        own.splice(0..0, routes.as_array().unwrap().iter().cloned());
        envoy
    };
    let mesh = Mesh::of(1, 1).envoy(with_route).without_admin_token().start().await;
    let answer = Ask::get(SHOP, "/old").send(mesh.fronts()[0]).await.unwrap();
    assert!(answer.status == 301 && answer.cache_status().contains("detail=route"), "{answer:?}");
    let why = explained(mesh.coordinators.all[0].ports.admin, &[&format!("http://{SHOP}/old")]).await;
    assert!(why.advice.iter().any(|advice| advice.reason.is_empty() && advice.text.contains("`route`")), "{why:#?}");
    assert!(why.advice.iter().all(|advice| advice.yaml.is_none()), "{why:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_may_have_missed_purges_says_so_and_configuration_mends_nothing() {
    let origin = meshcache_tests::Origin::start().await;
    origin.always("*", fresh());
    let group = json!({"name": "g", "match": {"hosts": [HOST]}, "origin": {"url": origin.url()}});
    let groups = Groups { document: json!({"version": 1, "groups": [group]}) };
    let views = meshcache_tests::coordinator::Views::Peers(vec![vec![0, 1]; 2]);
    let mesh = Coordinators::with_admin(&views, &groups.yaml(), &[], false).await;
    let (data, admin) = (mesh.all[0].ports.data, mesh.all[0].ports.admin);
    let mut paths = (0..).map(|nth| format!("/page-{nth}"));
    let path = loop {
        let path = paths.next().unwrap();
        if explained(admin, &[&format!("http://{HOST}{path}")]).await.owner.as_deref() == Some("peer-0") {
            break path;
        }
    };
    let ask = async || Ask::get(HOST, &path).send(data).await.unwrap().cache_status();
    await_until(async || ask().await.contains("; hit"), SOON, "it is stored").await;
    mesh.all[1].freeze();
    await_until(async || ask().await.contains("detail=purge-lag"), SOON, "the other one is silent").await;
    let why = explained(admin, &[&format!("http://{HOST}{path}")]).await;
    assert!(word_in(&why, "purge-lag"), "{why:#?}");
    assert!(why.advice.iter().any(|advice| advice.reason == "purge-lag" && advice.yaml.is_none()), "{why:#?}");
    assert!(why.at.iter().any(|at| at.unreached.is_some()), "who is silent: {why:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_loads_than_the_service_is_said_to_bear_are_told_with_the_limit_to_raise() {
    let gate = Gate::shut();
    let case = Case::new("overload", fresh().behind(&gate));
    let case = case.group(json!({"origin": {"maxLoads": 1}, "overload": "503", "patience": "100ms"}));
    let running = case.start().await;
    let first = Ask::get(HOST, "/first");
    let data = running.coordinator.ports.data;
    let first = tokio::spawn(async move { first.send(data).await });
    await_until(async || running.origin.hits("/first") == 1, SOON, "one is loaded").await;
    let answer = running.ask().await;
    assert!(answer.status == 503 && answer.cache_status().contains("detail=overload"), "{answer:?}");
    let why = running.why().await;
    assert!(word_in(&why, "overload"), "{why:#?}");
    let advice = why.advice.iter().find(|advice| advice.reason == "overload").unwrap();
    let yaml = advice.yaml.as_deref().unwrap();
    assert!(yaml.contains("maxLoads: 2"), "{yaml}");
    check(yaml, &[]).await;
    running.configure(yaml);
    // With the limit raised both are loaded at once.
    let loaded = async || {
        let _ = tokio::time::timeout(Duration::from_millis(200), running.ask()).await;
        running.origin.hits(&running.case.path) > 0
    };
    await_until(loaded, SOON, "the other one is loaded, too").await;
    gate.open();
    assert_eq!(first.await.unwrap().unwrap().status, 200);
}
