//! Who is believed what, and who gets nothing.
//!
//! Long: a test for each kind of caller that is not to be believed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{net::SocketAddr, sync::Arc};

use meshcache_tests::{
    Ask, Coordinator, Coordinators, EnvoyConfig, Groups, Mesh, Origin, Reply, Shared, await_until,
    coordinator::{ADMIN_TOKEN, PEER_TOKEN},
    groups::SHOP,
    process::Process,
    run,
    wait::{SOON, await_some},
};
use serde_json::json;

static MESH: Shared<Mesh> = Shared::new();

async fn mesh() -> Arc<Mesh> {
    let guarded = json!({"callers": ["spiffe://cluster.local/ns/shop/sa/*"]});
    // What a coordinator does not send on at all is in `deputy.rs`.
    let other = json!({"otherPaths": true});
    let only_a = json!({"match": {"hosts": ["paths.test"], "paths": [{"prefix": "/a"}]}, "passThrough": other});
    let spelled = |prefix: &str, callers: &[&str]| json!({"match": {"hosts": ["spelled.test"], "paths": [{"prefix": prefix}]}, "callers": callers, "passThrough": other});
    let left_out =
        json!({"match": {"hosts": ["left-out.test"], "exclude": [{"prefix": "/pr%6fd"}]}, "passThrough": other});
    let groups = |groups: Groups| {
        let groups = groups
            .set("shop", "/passThrough", json!({"methods": ["*"], "otherPaths": true}))
            .plus("guarded", guarded)
            .plus("paths", only_a)
            .plus("loop", json!({}));
        groups
            .plus("prod", spelled("/prod", &["spiffe://x/ns/x/sa/admin"]))
            .plus("develop", spelled("/develop", &[]))
            .plus("left-out", left_out)
    };
    let mesh = || Mesh::of(2, 1).groups(groups).arguments(&["--identity", "xfcc"]);
    MESH.get(async || mesh().start().await).await
}

/// Both ways in: through an Envoy, and straight to a coordinator.
fn ways(mesh: &Mesh) -> [SocketAddr; 2] {
    [mesh.fronts()[0], mesh.coordinators.data()[0]]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inbound_listener_serves_only_the_groups_it_names() {
    let (application, other) = (Origin::start().await, Origin::start().await);
    application.always("*", Reply::fresh(3600, "the application"));
    other.always("*", Reply::fresh(3600, "another's secret"));
    let groups = Groups::example().origin("shop", &other.url()).origin("config-server", &application.url());
    let coordinators = Coordinators::start(2, &groups.yaml(), &[]).await;
    let config = EnvoyConfig::example("sidecar.yaml").cluster("meshcache", &coordinators.data());
    let config = config
        .cluster("application", &[application.addr])
        .cluster("config-server", &[application.addr])
        .cluster("shop", &[other.addr]);
    let envoy = config.start().await;
    let (inbound, outbound) = (envoy.listener("inbound"), envoy.listener("outbound"));
    let secret = Ask::get(SHOP, "/secret");
    await_until(
        async || secret.send(outbound).await.unwrap().cache_status().contains("detail=proxy"),
        SOON,
        "the secret is hot, outbound",
    )
    .await;
    let own = Ask::get("config-server.platform", "/develop/app.yaml");
    await_until(
        async || own.send(inbound).await.unwrap().cache_status().contains("detail=proxy"),
        SOON,
        "the application's own is hot, inbound",
    )
    .await;
    // With the other's Host it is still the application that answers, each time.
    let (secrets, asked) = (other.hits("/secret"), application.hits("/secret"));
    for i in 1..=10 {
        let answer = secret.send(inbound).await.unwrap();
        assert_eq!((answer.status, answer.text()), (200, "the application".to_owned()));
        assert!(!answer.cache_status().contains("; hit"), "{answer:?}");
        assert_eq!(application.hits("/secret"), asked + i);
    }
    assert_eq!(other.hits("/secret"), secrets);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_that_names_the_wrong_side_serves_nothing() {
    let application = Origin::start().await;
    application.always("*", Reply::fresh(3600, "the application"));
    let coordinators =
        Coordinators::start(1, &Groups::example().origin("config-server", &application.url()).yaml(), &[]).await;
    let config =
        EnvoyConfig::example("sidecar.yaml").listeners_only(&["inbound"]).cluster("meshcache", &coordinators.data());
    let config = config.cluster("application", &[application.addr]).filter(|filter| filter["side"] = json!("outbound"));
    let envoy = config.start().await;
    let own = Ask::get("config-server.platform", "/develop/app.yaml");
    let told = async || {
        let answer = own.send(envoy.listener("inbound")).await.unwrap();
        assert!(answer.status == 200 && answer.cache_status().is_empty(), "{answer:?}");
        envoy.process.log().contains("a `side` that is not this listener's")
    };
    await_until(told, SOON, "the log names the field").await;
    let asked = application.hits("/develop/app.yaml");
    told().await;
    assert_eq!(application.hits("/develop/app.yaml"), asked + 1);
}

#[test]
fn control_headers_of_clients_reach_no_service_and_those_of_services_no_client() {
    run(async {
        let mesh = mesh().await;
        let reply = Reply::fresh(60, "x")
            .header("meshcache-outcome", "hit; ttl=1000000; age=0; shared")
            .header("meshcache-spy", "1")
            .header("x-own", "1");
        mesh.origin
            .always("/controls", reply.clone())
            .always("/controls-post", reply.clone())
            .always("/account/controls", reply);
        for to in ways(&mesh) {
            for ask in [
                Ask::get(SHOP, "/controls"),
                Ask::new("POST", SHOP, "/controls-post").body("x"),
                Ask::get(SHOP, "/account/controls"),
            ] {
                // Twice, so that what is stored is seen too.
                for _ in 0..2 {
                    let names = [
                        "meshcache-route",
                        "meshcache-peer",
                        "meshcache-scheme",
                        "meshcache-authority",
                        "meshcache-whatever",
                    ];
                    let ask = names.iter().fold(ask.clone(), |ask, name| ask.header(name, "1")).header("x-client", "1");
                    let answer = ask.send(to).await.unwrap();
                    let leaked: Vec<_> =
                        answer.headers.iter().filter(|(name, _)| name.starts_with("meshcache-")).collect();
                    assert!(leaked.is_empty() && answer.status == 200 && answer.has("x-own"), "{answer:?}");
                    let asked = mesh.origin.latest(ask.path());
                    let leaked: Vec<_> =
                        asked.headers.keys().filter(|name| name.as_str().starts_with("meshcache-")).collect();
                    assert!(leaked.is_empty() && asked.header("x-client") == "1", "{leaked:?} in {asked:?}");
                }
            }
        }
    });
}

#[test]
fn a_load_carries_the_clients_own_headers_and_none_that_an_origin_would_trust() {
    run(async {
        let mesh = mesh().await;
        mesh.origin.on("/carried", |request| Reply::ok(request.header("x-tenant")).header("cache-control", "no-store"));
        for to in ways(&mesh) {
            let ask = Ask::get(SHOP, "/carried")
                .header("x-tenant", "t")
                .header("traceparent", "00-1-2-01")
                .header("x-forwarded-client-cert", "URI=spiffe://x");
            assert_eq!(ask.header("x-envoy-internal", "true").send(to).await.unwrap().text(), "t");
        }
        let own = Ask::get(SHOP, "/carried-and-stored")
            .header("x-forwarded-client-cert", "URI=spiffe://x")
            .header("x-envoy-internal", "true");
        mesh.origin.always("/carried-and-stored", Reply::fresh(60, "x"));
        own.send(mesh.coordinators.data()[1]).await.unwrap();
        let asked = mesh.origin.latest("/carried-and-stored");
        assert!(
            !asked.headers.contains_key("x-forwarded-client-cert") && !asked.headers.contains_key("x-envoy-internal"),
            "{asked:?}"
        );
        assert_eq!(asked.header("cdn-loop"), "meshcache");
        Ask::get(SHOP, "/carried-by-callout").send(mesh.fronts()[0]).await.unwrap();
        let asked = mesh.origin.latest("/carried-by-callout");
        let added: Vec<_> = asked.headers.keys().filter(|name| name.as_str() == "x-envoy-internal").collect();
        assert!(added.is_empty(), "{asked:?}");
    });
}

#[test]
fn a_clients_own_control_path_goes_to_the_service() {
    run(async {
        let mesh = mesh().await;
        for (path, method) in [
            ("/.meshcache/feed", "POST"),
            ("/.meshcache/feed", "GET"),
            ("/.meshcache/invalidate", "POST"),
            ("/.meshcache/", "GET"),
        ] {
            mesh.origin.always(path, Reply::fresh(60, "the service's own"));
            for _ in 0..2 {
                let before = mesh.origin.hits(path);
                let answer = Ask::new(method, SHOP, path).send(mesh.fronts()[0]).await.unwrap();
                assert_eq!((answer.status, answer.text()), (200, "the service's own".to_owned()), "{method} {path}");
                assert_eq!(mesh.origin.hits(path), before + 1, "{method} {path}");
            }
        }
    });
}

#[test]
fn the_peer_and_admin_ports_tell_nothing_without_their_token() {
    run(async {
        let mesh = mesh().await;
        mesh.origin.always("/told", Reply::fresh(3600, "told to nobody"));
        Ask::get(SHOP, "/told").send(mesh.coordinators.data()[0]).await.unwrap();
        let ports = mesh.coordinators.all[0].ports;
        let peer = |path: &str| {
            Ask::get("peer-0", path)
                .header("meshcache-wire", "1; group=shop; hop")
                .header("meshcache-authority", SHOP)
                .header("meshcache-scheme", "http")
        };
        let purge =
            Ask::new("POST", "admin", "/purge").header("content-type", "application/json").body(r#"{"all": true}"#);
        let asks = [
            (ports.peer, peer("/told"), ADMIN_TOKEN),
            (ports.peer, Ask::get(SHOP, "/told"), ADMIN_TOKEN),
            (ports.peer, Ask::new("POST", "peer-0", "/purge").body(r#"{"all": true}"#), ADMIN_TOKEN),
            (ports.peer, Ask::get("peer-0", "/nowhere"), ADMIN_TOKEN),
            (ports.admin, purge, PEER_TOKEN),
            (ports.admin, Ask::get("admin", "/"), PEER_TOKEN),
            (ports.admin, Ask::get("admin", "/groups"), PEER_TOKEN),
            (ports.admin, Ask::get("admin", "/peers"), PEER_TOKEN),
            (ports.admin, Ask::get("admin", "/nowhere"), PEER_TOKEN),
        ];
        for (port, ask, others) in asks {
            let wrong = [
                None,
                Some(others.to_owned()),
                Some(format!("{others}x")),
                Some(String::new()),
                Some(PEER_TOKEN[..5].to_owned()),
            ];
            for token in wrong {
                let ask =
                    token.iter().fold(ask.clone(), |ask, token| ask.header("authorization", format!("Bearer {token}")));
                let answer = ask.send(port).await.unwrap();
                assert_eq!(answer.status, 401, "{token:?}: {answer:?}");
                assert!(answer.body.len() < 100 && !answer.text().contains("told"), "it tells {answer:?}");
                assert!(!answer.has("age") && !answer.has("cache-status"), "it tells {answer:?}");
            }
        }
        // Nothing came of it, and with the token all is there.
        let kept = Ask::get(SHOP, "/told").send(mesh.coordinators.data()[0]).await.unwrap();
        assert!(kept.cache_status().contains("; hit"), "{kept:?}");
        let bearer = |ask: Ask, token: &str| ask.header("authorization", format!("Bearer {token}"));
        let hop = bearer(peer("/told"), PEER_TOKEN).send(ports.peer).await.unwrap();
        assert_eq!((hop.status, hop.text()), (200, "told to nobody".to_owned()), "{hop:?}");
        assert_eq!(bearer(Ask::get("admin", "/groups"), ADMIN_TOKEN).send(ports.admin).await.unwrap().status, 200);
        // A browser has Basic.
        let basic =
            Ask::get("admin", "/").header("authorization", "Basic YW55Ym9keTphZG1pbi10b2tlbi1vZi10aGUtdGVzdHM=");
        assert_eq!(basic.send(ports.admin).await.unwrap().status, 200);
        assert_eq!(mesh.origin.hits("/told"), 1);
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_configured_tokens_peers_are_refused_and_admin_is_for_loopback_only() {
    let origin = Origin::start().await;
    let alone = Coordinator::in_front_of(&origin.url(), &[]).await;
    for token in ["", "Bearer ", "Bearer x"] {
        let hop = Ask::get("alone", "/")
            .header("authorization", token)
            .header("meshcache-wire", "1; hop")
            .header("meshcache-authority", "o");
        assert_eq!(hop.send(alone.ports.peer).await.unwrap().status, 401);
    }
    assert_eq!(origin.total(), 0);
    assert_eq!(Ask::get("localhost", "/").send(alone.ports.admin).await.unwrap().status, 200);
    // Another name that leads here is how a page in a browser would reach it.
    assert_eq!(Ask::get("evil.test", "/").send(alone.ports.admin).await.unwrap().status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_port_for_everybody_needs_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, log) = (folder.path().join("ports.json"), folder.path().join("log"));
    let mut command = std::process::Command::new(meshcache_tests::artifact::coordinator());
    command.args(["--origin", "http://127.0.0.1:1", "--admin", "0.0.0.0:0"]).arg("--ports-file").arg(&ports);
    for flag in ["--listen", "--status", "--peer-listen"] {
        command.args([flag, "127.0.0.1:0"]);
    }
    let mut process = Process::start("coordinator", command, &log);
    let known = || serde_json::from_slice::<serde_json::Value>(&std::fs::read(&ports).ok()?).ok();
    let known = match await_some(|| known().map(Ok).or_else(|| process.exited().map(Err)), SOON).await {
        Some(Ok(known)) => known,
        // Not to start at all is as good.
        Some(Err(status)) => return assert_eq!(status.code(), Some(2), "{}", process.log()),
        None => process.give_up("it neither runs nor refuses to"),
    };
    let port: SocketAddr = known["admin"].as_str().unwrap().replace("0.0.0.0", "127.0.0.1").parse().unwrap();
    for ask in [
        Ask::get("admin", "/"),
        Ask::get("admin", "/groups"),
        Ask::new("POST", "admin", "/purge").body(r#"{"all": true}"#),
    ] {
        assert_eq!(ask.send(port).await.unwrap().status, 401);
    }
}

#[test]
fn a_host_that_no_group_names_is_never_fetched() {
    run(async {
        let mesh = mesh().await;
        let hosts = [
            "unknown.test",
            "127.0.0.1",
            "localhost:9000",
            "shop.example.com.evil.test",
            &mesh.origin.addr.to_string(),
        ];
        for host in hosts {
            let ask = Ask::get(host, "/anything");
            let answer = ask.send(mesh.coordinators.data()[0]).await.unwrap();
            assert_eq!(answer.status, 421, "{host}: {answer:?}");
            let question =
                ask.header("meshcache-wire", "1; group=shop").send(mesh.coordinators.data()[0]).await.unwrap();
            assert_ne!(question.status, 200, "{host}: {question:?}");
        }
        assert_eq!(mesh.origin.hits("/anything"), 0);
        // The filter has nothing to say about it: it is the proxy's to route.
        mesh.origin.always("/anything", Reply::fresh(60, "x"));
        for i in 1..=2 {
            let passed = Ask::get("unknown.test", "/anything").send(mesh.fronts()[0]).await.unwrap();
            assert_eq!((passed.status, mesh.origin.hits("/anything")), (200, i));
        }
    });
}

#[test]
fn a_path_that_no_group_of_its_host_names_is_passed_and_not_stored() {
    run(async {
        let mesh = mesh().await;
        mesh.origin
            .always("/b/x", Reply::fresh(3600, "b"))
            .always("/a/x", Reply::fresh(3600, "a"))
            .always("/ab", Reply::fresh(3600, "ab"));
        for path in ["/b/x", "/ab"] {
            for to in ways(&mesh) {
                let before = mesh.origin.hits(path);
                for i in 1..=3 {
                    assert_eq!(Ask::get("paths.test", path).send(to).await.unwrap().status, 200);
                    assert_eq!(mesh.origin.hits(path), before + i, "{path} at {to}");
                }
            }
        }
        for to in ways(&mesh) {
            assert_eq!(Ask::get("paths.test", "/a/x").send(to).await.unwrap().text(), "a");
        }
        assert_eq!(mesh.origin.hits("/a/x"), 1);
    });
}

#[test]
fn a_group_with_callers_answers_nobody_else() {
    run(async {
        let mesh = mesh().await;
        mesh.origin.always("/guarded", Reply::fresh(3600, "for the shop"));
        let coordinator = mesh.coordinators.data()[0];
        let ask = |xfcc: &str| {
            if xfcc.is_empty() {
                Ask::get("guarded.test", "/guarded")
            } else {
                Ask::get("guarded.test", "/guarded").header("x-forwarded-client-cert", xfcc)
            }
        };
        let (good, bad) = (
            "By=spiffe://cluster.local/ns/m/sa/m;Hash=abc;URI=spiffe://cluster.local/ns/shop/sa/web",
            "By=x;URI=spiffe://cluster.local/ns/evil/sa/web",
        );
        let status = async |xfcc: &str| ask(xfcc).send(coordinator).await.unwrap().status;
        assert_eq!(status(good).await, 200);
        for refused in [
            "",
            bad,
            "nonsense",
            "URI=spiffe://cluster.local/ns/shop",
            "By=spiffe://cluster.local/ns/shop/sa/web",
            &format!("{good},{bad}"),
            "URI=\"spiffe://cluster.local/ns/shop/sa/web",
        ] {
            assert_eq!(status(refused).await, 403, "{refused}");
        }
        // The last element is the caller's; those before it came through others.
        assert_eq!(status(&format!("{bad},{good}")).await, 200);
        assert_eq!(mesh.origin.hits("/guarded"), 1);
        // A question gives no right either, whatever it says of itself.
        let question = ask("").header("meshcache-wire", "1; group=guarded; verified; hop");
        let answer = question.send(coordinator).await.unwrap();
        assert!(
            !answer.text().contains("for the shop") && answer.header("meshcache-outcome").starts_with("pass"),
            "{answer:?}"
        );
        // This Envoy has no identity: its filter passes, and the service decides.
        for i in 2..=3 {
            let passed = ask("").send(mesh.fronts()[0]).await.unwrap();
            assert_eq!((passed.status, mesh.origin.hits("/guarded")), (200, i));
        }
    });
}

#[tokio::test]
async fn callers_without_a_way_to_know_them_are_refused_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("groups.yaml");
    std::fs::write(&file, Groups::example().set("shop", "/callers", json!(["spiffe://a/b"])).yaml()).unwrap();
    let (status, said) = Coordinator::run(&["--config", file.to_str().unwrap()]).await;
    assert!(status.code() == Some(2) && said.contains("callers"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bypass_and_debug_are_for_debuggers() {
    for (debuggers, believed) in [(json!(["*"]), true), (json!([]), false)] {
        let change = |mut groups: Groups| {
            groups.document["debuggers"] = debuggers;
            groups
        };
        let mesh = Mesh::of(1, 1).groups(change).start().await;
        mesh.origin.always("/debugged", Reply::fresh(3600, "x"));
        for to in ways(&mesh) {
            let ask = Ask::get(SHOP, "/debugged");
            ask.send(to).await.unwrap();
            let loads = mesh.origin.hits("/debugged");
            let debugged = ask.clone().header("meshcache-debug", "1").send(to).await.unwrap();
            assert_eq!(debugged.header("cache-status").contains("/debugged"), believed, "the key: {debugged:?}");
            let plain = ask.send(to).await.unwrap();
            assert!(!plain.header("cache-status").contains("/debugged"), "{plain:?}");
            for i in 1..=3 {
                let bypassed = ask.clone().header("meshcache-bypass", "1").send(to).await.unwrap();
                assert_eq!((bypassed.status, bypassed.text()), (200, "x".to_owned()));
                assert_eq!(mesh.origin.hits("/debugged") - loads, if believed { i } else { 0 }, "{bypassed:?}");
            }
        }
    }
}

#[test]
fn what_has_been_through_this_installation_passes() {
    run(async {
        let mesh = mesh().await;
        mesh.origin.always("/loop", Reply::fresh(3600, "x"));
        for to in ways(&mesh) {
            let before = mesh.origin.hits("/loop");
            for i in 1..=2 {
                let looped =
                    Ask::get("loop.test", "/loop").header("cdn-loop", "other; v=1, meshcache").send(to).await.unwrap();
                assert!(looped.status == 200 && !looped.cache_status().contains("; hit"), "{looped:?}");
                assert_eq!(mesh.origin.hits("/loop"), before + i);
            }
            let other = Ask::get("loop.test", "/loop").header("cdn-loop", "other").send(to).await.unwrap();
            assert_eq!(other.status, 200);
        }
        let all = mesh.origin.received();
        let loads: Vec<String> = all
            .iter()
            .filter(|request| request.uri.path() == "/loop")
            .map(|request| request.header("cdn-loop"))
            .collect();
        assert_eq!(loads.iter().filter(|names| *names == "other, meshcache").count(), 1, "{loads:?}");
        assert_eq!(loads.len(), 5, "{loads:?}");
    });
}

#[test]
fn what_another_part_of_the_cache_asks_for_goes_through_a_filter_untouched() {
    run(async {
        let mesh = mesh().await;
        let targeted = Reply::ok("x")
            .header("cache-control", "no-store")
            .header("meshcache-control", "max-age=60")
            .header("meshcache-spy", "1");
        mesh.origin.always("/targeted", targeted);
        let ask = Ask::get("loop.test", "/targeted").header("cdn-loop", "other, meshcache");
        let answer = ask.send(mesh.fronts()[0]).await.unwrap();
        assert_eq!(
            (answer.header("meshcache-control"), answer.header("cache-status")),
            ("max-age=60".to_owned(), String::new()),
            "{answer:?}"
        );
        // A client has what is for caches beyond this one, and nothing of the wire's.
        let client = Ask::get(SHOP, "/account/targeted");
        mesh.origin.always(
            "/account/targeted",
            Reply::ok("x").header("meshcache-control", "no-store").header("meshcache-spy", "1"),
        );
        let answer = client.send(mesh.fronts()[0]).await.unwrap();
        assert_eq!(
            (answer.header("meshcache-control"), answer.has("meshcache-spy")),
            ("no-store".to_owned(), false),
            "{answer:?}"
        );
    });
}

/// Spellings of one path: those that mean the same for everybody, and those that two servers may read differently.
const EQUAL: [&str; 4] = ["/%70rod/x", "/prod/x", "/p%72o%64/x", "/prod/%78"];
const AMBIGUOUS: [&str; 15] = [
    "/develop/../prod/x",
    "/develop/./../prod/x",
    "//prod/x",
    "/prod//x",
    "/prod%2fx",
    "/prod%2Fx",
    "/prod;/x",
    "/prod;a=b/x",
    "/prod%3b/x",
    "/develop/%2e%2e/prod/x",
    "/develop/..%2fprod/x",
    "/prod%5cx",
    "/%2570rod/x",
    "/prod%00/x",
    "/%%37%30rod/x",
];

#[test]
fn no_spelling_of_a_path_gets_past_callers_and_exclude() {
    run(async {
        let mesh = mesh().await;
        mesh.origin.always("*", Reply::fresh(3600, "for the admin"));
        let coordinator = mesh.coordinators.data()[0];
        // Other tests use this origin, too.
        let total = || mesh.origin.received().iter().filter(|received| received.uri.query() == Some("spelled")).count();
        let ask = |host: &str, path: &str, caller: &str| {
            let ask = Ask::get(host, &format!("{path}?spelled"));
            if caller.is_empty() {
                ask
            } else {
                ask.header("x-forwarded-client-cert", format!("URI=spiffe://x/ns/x/sa/{caller}"))
            }
        };
        for path in EQUAL.iter().chain(&AMBIGUOUS) {
            // Nobody gets there in the coordinator's name who may not.
            for caller in ["web", ""] {
                let before = total();
                let refused = ask("spelled.test", path, caller).send(coordinator).await.unwrap();
                assert_eq!((refused.status, total() - before), (403, 0), "{path}: {refused:?}");
            }
            let ambiguous = AMBIGUOUS.contains(path);
            for (host, caller, cached) in [("spelled.test", "admin", !ambiguous), ("left-out.test", "web", false)] {
                let send = async |to| {
                    let before = total();
                    let answer = ask(host, path, caller).send(to).await.unwrap();
                    (answer.status, answer.cache_status().contains("; hit"), total() - before)
                };
                // Two: the first may have loaded it.
                let first = send(coordinator).await;
                assert_eq!(
                    (first.0, send(coordinator).await),
                    (200, (200, cached, usize::from(!cached))),
                    "{host}{path}"
                );
                // Its Envoy has no identity: the service decides, and if Envoy itself refuses a path, so it does.
                for _ in 0..2 {
                    let (status, hit, asked) = send(mesh.fronts()[0]).await;
                    assert_eq!(
                        (hit, asked),
                        (false, usize::from(status == 200)),
                        "{host}{path} through Envoy: {status}"
                    );
                }
            }
        }
        // What goes on goes as it came, and only for a host that has no group that is closed to the caller.
        let paths: Vec<_> = mesh.origin.received().iter().map(|received| received.uri.path().to_owned()).collect();
        assert!(AMBIGUOUS.iter().all(|path| paths.iter().any(|sent| sent == path)), "{paths:?}");
        for path in ["/%2emeshcache/feed", "/.mesh%63ache/peek"] {
            assert_eq!(
                ask("left-out.test", path, "web").send(coordinator).await.unwrap().status,
                404,
                "{path}: a control path is no resource"
            );
        }
    });
}
