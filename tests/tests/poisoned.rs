//! What one client sends never decides what the others get.
//!
//! Long: a test for each thing that a client could poison.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{net::SocketAddr, sync::Arc};

use meshcache_protocol::request::REROUTING;
use meshcache_tests::{
    Answer, Ask, Coordinator, Groups, Mesh, Origin, Reply, Shared, await_until, origin::Received, purging::order, run,
    wait::SOON,
};
use serde_json::json;

static MESH: Shared<Mesh> = Shared::new();

async fn mesh() -> Arc<Mesh> {
    let errors = json!({"freshness": {"default": "60s", "status": {"4xx": "60s", "412": "60s", "429": "60s"}}});
    let tenant = json!({"key": {"headers": ["x-tenant"]}});
    let client = json!({"match": {"hosts": ["client.test"]}, "origin": {"host": "client"}});
    let service = json!({"match": {"service": "cart.apps"}, "origin": {"host": "client"}});
    let lang = json!({"key": {"cookies": ["lang"]}, "share": {"cookie": true}});
    let groups = |groups: Groups| {
        groups
            .plus("poison", errors)
            .plus("tenant", tenant)
            .plus("client", client)
            .plus("cart", service)
            .plus("lang", lang)
    };
    let mesh = || Mesh::of(2, 1).groups(groups);
    MESH.get(async || mesh().start().await).await
}

/// Every way in: through an Envoy, at either coordinator.
fn ways(mesh: &Mesh) -> Vec<SocketAddr> {
    [mesh.fronts(), mesh.coordinators.data()].concat()
}

async fn get(to: SocketAddr, path: &str) -> Answer {
    Ask::get("poison.test", path).send(to).await.unwrap()
}

/// An origin that lets everything be stored, and refuses what a request's own fields ask for.
fn refuses(request: &Received) -> Reply {
    let status = match request.header("x-provokes").as_str() {
        "" if request.headers.contains_key("if-match") => 412,
        "" if request.header("range") == "bytes=99-" => 416,
        "" => 200,
        status => status.parse().unwrap(),
    };
    Reply::fresh(60, status.to_string()).with_status(status).header("etag", "\"new\"")
}

const PROVOKING: [(&str, &str, u16); 6] = [
    ("if-match", "\"old\"", 412),
    ("range", "bytes=99-", 416),
    ("x-provokes", "400", 400),
    ("x-provokes", "417", 417),
    ("x-provokes", "429", 429),
    ("x-provokes", "431", 431),
];

/// Asks with each of these fields before and after the plain request: what the latter gets.
async fn provoked(to: SocketAddr, origin: &Origin, stem: &str) {
    for (n, (name, value, status)) in PROVOKING.into_iter().enumerate() {
        let path = format!("/{stem}-{n}");
        origin.on(&path, refuses);
        let provoking = Ask::get("poison.test", &path).header(name, value);
        let before = provoking.send(to).await.unwrap();
        // A range that is judged by what is stored has its 416 from there.
        assert_eq!(before.status, status, "cold, {name}: {value}: {before:?}");
        let plain = get(to, &path).await;
        assert_eq!(plain.status, 200, "after {name}: {value}: {plain:?}");
        if name != "x-provokes" {
            let after = provoking.send(to).await.unwrap();
            assert_eq!(after.status, status, "warm, {name}: {value}: {after:?}");
            let plain = get(to, &path).await;
            assert_eq!(plain.status, 200, "after {name}: {value} on what is stored: {plain:?}");
        }
    }
}

#[test]
fn what_a_request_brought_upon_itself_is_nobody_elses_in_a_group_whatever_it_lists() {
    run(async {
        let mesh = mesh().await;
        for (n, to) in ways(&mesh).into_iter().enumerate() {
            provoked(to, &mesh.origin, &format!("provoked-{n}")).await;
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_with_origin_but_to_the_letter_of_the_rfc() {
    let origin = Origin::start().await;
    let safe = Coordinator::in_front_of(&origin.url(), &[]).await;
    provoked(safe.ports.data, &origin, "safe").await;
    let letter = Coordinator::in_front_of(&origin.url(), &["--origin-rules", "rfc9111"]).await;
    origin.on("/letter", refuses);
    let provoking = Ask::get("poison.test", "/letter").header("x-provokes", "400");
    assert_eq!(provoking.send(letter.ports.data).await.unwrap().status, 400);
    assert_eq!(get(letter.ports.data, "/letter").await.status, 400, "RFC 9111 section 3 lets it be stored");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_clients_cookie_is_set_for_nobody_else_unless_the_answer_says_public() {
    let origin = Origin::start().await;
    let reply = |control: &'static str| {
        move |request: &Received| {
            Reply::ok("x").header("cache-control", control).header("set-cookie", request.nth.to_string())
        }
    };
    for (path, control) in [("/private", "max-age=60"), ("/public", "public, max-age=60")] {
        origin.on(path, reply(control));
    }
    let cookie = async |to, path: &str| get(to, path).await.header("set-cookie");
    for (rules, second) in [("safe", "2"), ("rfc9111", "3")] {
        let cache = Coordinator::in_front_of(&origin.url(), &["--origin-rules", rules]).await;
        let to = cache.ports.data;
        let (first, again) = (cookie(to, "/private").await, cookie(to, "/private").await);
        assert_eq!((again.as_str(), first == again), (second, rules == "rfc9111"), "{rules}");
        assert_eq!(
            cookie(to, "/public").await,
            cookie(to, "/public").await,
            "{rules}: what is for everybody is stored with all its fields"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn origin_rules_are_for_origin() {
    let (status, log) = Coordinator::run(&["--config", "/dev/null", "--origin-rules", "safe"]).await;
    assert!(status.code() == Some(2) && log.contains("--origin"), "{log}");
}

#[test]
fn languages_of_equal_weight_are_two_answers_in_two_orders() {
    run(async {
        let mesh = mesh().await;
        mesh.origin.on("/language", |request| {
            Reply::fresh(60, request.header("accept-language")).header("vary", "accept-language")
        });
        for to in ways(&mesh) {
            for language in ["en, de", "de, en"] {
                let answer =
                    Ask::get("poison.test", "/language").header("accept-language", language).send(to).await.unwrap();
                assert_eq!(answer.text(), language);
            }
        }
    });
}

#[test]
fn what_connection_names_in_a_request_counts_neither_for_the_key_nor_for_vary() {
    run(async {
        let mesh = mesh().await;
        for (n, to) in ways(&mesh).into_iter().enumerate() {
            for (host, name, vary) in
                [("poison.test", "accept-language", "accept-language"), ("tenant.test", "x-tenant", "")]
            {
                let path = format!("/named-{n}");
                mesh.origin.on(&path, move |request| {
                    let reply = Reply::fresh(60, format!("for [{}]", request.header(name)));
                    if vary.is_empty() { reply } else { reply.header("vary", vary) }
                });
                let ask = Ask::get(host, &path).header(name, "fr");
                let named = ask.clone().header("connection", name).send(to).await.unwrap();
                assert_eq!(named.text(), "for []", "{name}: {named:?}");
                let own = ask.send(to).await.unwrap();
                assert_eq!(own.text(), "for [fr]", "{name}: {own:?}");
                assert_eq!(Ask::get(host, &path).send(to).await.unwrap().text(), "for []", "{name}");
            }
        }
    });
}

#[test]
fn what_is_for_every_recipient_cannot_be_named_by_a_connection() {
    run(async {
        let mesh = mesh().await;
        for (n, to) in ways(&mesh).into_iter().enumerate() {
            // Of an answer: what forbids to share it, and what tells variants apart.
            let (private, varies, cookie) = (format!("/private-{n}"), format!("/varies-{n}"), format!("/cookie-{n}"));
            mesh.origin.on(&private, |request| {
                Reply::ok(request.nth.to_string())
                    .header("cache-control", "private, max-age=60")
                    .header("connection", "cache-control")
            });
            mesh.origin.on(&varies, |request| {
                Reply::fresh(60, request.header("x-lang"))
                    .header("vary", "x-lang")
                    .header("connection", "vary, content-type")
                    .header("content-type", "text/x")
            });
            let (first, second) = (get(to, &private).await, get(to, &private).await);
            assert!(first.text() != second.text() && second.header("cache-control").contains("private"), "{second:?}");
            for language in ["de", "fr"] {
                let answer = Ask::get("poison.test", &varies).header("x-lang", language).send(to).await.unwrap();
                assert_eq!((answer.text(), answer.header("content-type")), (language.to_owned(), "text/x".to_owned()));
            }
            // Of a request: who asks.
            mesh.origin.on(&cookie, |request| Reply::fresh(60, request.header("cookie")));
            if to != mesh.fronts()[0] {
                // Envoy refuses such a request.
                let mine = Ask::get("poison.test", &cookie)
                    .header("cookie", "me=1")
                    .header("connection", "cookie")
                    .send(to)
                    .await
                    .unwrap();
                assert_eq!(mine.text(), "me=1");
            }
            assert_eq!(get(to, &cookie).await.text(), "");
        }
    });
}

#[test]
fn what_a_load_says_of_the_scheme_is_what_is_keyed() {
    run(async {
        let mesh = mesh().await;
        mesh.origin.on("/scheme", |request| Reply::fresh(60, request.header("x-forwarded-proto")));
        let to = mesh.coordinators.data()[0];
        let ask = |method: &str, said: &[&str]| {
            said.iter()
                .fold(Ask::new(method, "poison.test", "/scheme"), |ask, said| ask.header("x-forwarded-proto", said))
        };
        for (said, expected) in [
            (&["http"][..], "http"),
            (&[], "http"),
            (&["HTTPS"], "https"),
            (&["ftp"], "http"),
            (&["https"], "https"),
            (&["https", "http"], "http"),
        ] {
            assert_eq!(ask("GET", said).send(to).await.unwrap().text(), expected, "{said:?}");
        }
        assert_eq!(mesh.origin.hits("/scheme"), 2, "two schemes, two keys");
        // A HEAD may update what is stored: it is asked in the same way.
        mesh.origin.on("/scheme-head", |request| {
            Reply::ok("x").header("x-said", request.header("x-forwarded-proto")).header("cache-control", "no-store")
        });
        for (said, expected) in [(&["ftp"][..], "http"), (&["https"], "https"), (&[], "http")] {
            let head = said.iter().fold(Ask::new("HEAD", "poison.test", "/scheme-head"), |ask, said| {
                ask.header("x-forwarded-proto", said)
            });
            assert_eq!(head.send(to).await.unwrap().header("x-said"), expected, "{said:?}");
        }
    });
}

#[test]
fn with_the_clients_host_a_load_sends_the_one_that_is_keyed() {
    run(async {
        let mesh = mesh().await;
        for (n, to) in ways(&mesh).into_iter().enumerate() {
            for (spellings, keyed) in [
                (
                    &[
                        "CLIENT.test",
                        "client.test:80",
                        "client.test:0080",
                        "client.test:",
                        "client.test.",
                        "client.test",
                    ][..],
                    "client.test",
                ),
                (&["cart.apps:1337", "cart.apps.svc.cluster.local", "Cart.apps.svc:80", "cart.apps"], "cart.apps"),
            ] {
                for (m, host) in spellings.iter().enumerate() {
                    // Whoever comes first leads.
                    let path = format!("/host-{n}-{m}");
                    mesh.origin.on(&path, |request| Reply::fresh(60, request.header("host")));
                    assert_eq!(Ask::get(host, &path).send(to).await.unwrap().text(), keyed, "{host} at {to}");
                    let other = Ask::get(keyed, &path).send(to).await.unwrap();
                    assert_eq!(
                        (other.text().as_str(), other.cache_status().contains("; hit")),
                        (keyed, true),
                        "after {host}: {other:?}"
                    );
                }
            }
        }
        let other = Ask::get("client.test:1337", "/host-0-0").send(mesh.coordinators.data()[0]).await.unwrap();
        assert_eq!(other.text(), "client.test:1337", "another port is another key");
    });
}

#[test]
fn a_cookie_of_the_key_that_may_be_read_in_two_ways_is_passed() {
    run(async {
        let mesh = mesh().await;
        for (n, to) in ways(&mesh).into_iter().enumerate() {
            let ambiguous = [
                &["lang=en; lang=fr"][..],
                &["lang=en", "lang=fr"],
                &["a=b", "lang=fr"],
                &["lang =fr"],
                &["lang=en,lang=fr"],
            ];
            for (m, cookies) in ambiguous.into_iter().enumerate() {
                let path = format!("/cookie-{n}-{m}");
                // A service that reads them in its own way.
                mesh.origin.on(&path, |request| {
                    let cookies = request.header("cookie");
                    Reply::fresh(
                        60,
                        if cookies.contains("fr") {
                            "fr"
                        } else if cookies.contains("en") {
                            "en"
                        } else {
                            "none"
                        },
                    )
                });
                let both =
                    cookies.iter().fold(Ask::get("lang.test", &path), |ask, cookie| ask.header("cookie", cookie));
                for _ in 0..2 {
                    let answer = both.send(to).await.unwrap();
                    assert_eq!(
                        (answer.text().as_str(), answer.cache_status().contains("; hit")),
                        ("fr", false),
                        "{cookies:?}: {answer:?}"
                    );
                }
                assert_eq!(Ask::get("lang.test", &path).send(to).await.unwrap().text(), "none", "after {cookies:?}");
                for hits in [3, 3] {
                    assert_eq!(
                        Ask::get("lang.test", &path).header("cookie", "a=b; lang=en").send(to).await.unwrap().text(),
                        "en",
                        "after {cookies:?}"
                    );
                    assert_eq!(mesh.origin.hits(&path), hits + 1, "one value is cached");
                }
            }
        }
    });
}

#[test]
fn a_field_that_a_framework_may_route_by_is_in_the_key() {
    run(async {
        let mesh = mesh().await;
        for (n, to) in ways(&mesh).into_iter().enumerate() {
            for name in REROUTING.iter().map(|name| std::str::from_utf8(name).unwrap()) {
                let path = format!("/{name}-{n}");
                mesh.origin.on(&path, move |request| Reply::fresh(60, request.header(name)));
                let evil = Ask::get("poison.test", &path).header(name, "evil").send(to).await.unwrap();
                let plain = get(to, &path).await;
                assert_eq!((evil.text().as_str(), plain.text().as_str()), ("evil", ""), "{name}");
            }
        }
    });
}

#[test]
fn equivalent_urls_are_one_answer_that_is_loaded_in_its_normal_form() {
    run(async {
        let mesh = mesh().await;
        for (n, to) in ways(&mesh).into_iter().enumerate() {
            let normal = format!("/~me-{n}/%C3%BC");
            mesh.origin.on(&normal, |request| {
                Reply::fresh(60, format!("{} {}", request.nth, request.uri.query().unwrap_or_default()))
            });
            let spellings = [
                format!("/%7Eme-{n}/%c3%bc?q=%c3"),
                format!("/%7eme-{n}/%C3%BC?q=%C3"),
                format!("/~%6de-{n}/%C3%bc?%71=%C3"),
                format!("/~me-{n}/%C3%BC?q=%C3"),
            ];
            for host in ["poison.test", "Poison.test.:80"] {
                for path in &spellings {
                    assert_eq!(Ask::get(host, path).send(to).await.unwrap().text(), "1 q=%C3", "{host}{path} at {to}");
                }
            }
            // Who knows it by another spelling purges it.
            let (status, said) = order(
                &mesh.coordinators.all[0],
                &format!(r#"{{"urls": ["http://poison.test./%7Eme-{n}/%c3%bc?q=%c3"]}}"#),
            )
            .await;
            assert_eq!(status, 200, "{said}");
            let newer = async |nth: &str| {
                Ask::get("poison.test", &spellings[0]).send(to).await.unwrap().text().starts_with(nth)
            };
            await_until(async || newer("2 ").await, SOON, "it was purged").await;
            // So does who changes it, whose own request goes as it came.
            mesh.origin.always(&format!("/%7Eme-{n}/%c3%bc"), Reply::status(204));
            let changed = Ask::new("PUT", "poison.test", &spellings[0]).body("x").send(to).await.unwrap();
            assert_eq!((changed.status, mesh.origin.hits(&format!("/%7Eme-{n}/%c3%bc"))), (204, 1));
            await_until(async || newer("3 ").await, SOON, "it was invalidated").await;
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_origin_says_to_another_spelling_that_passes_is_not_stored() {
    let origin = Origin::start().await;
    let cache = Coordinator::in_front_of(&origin.url(), &[]).await;
    let named = |path: &str| Ask::get("h.test", path).header("authorization", "Basic me");
    for path in ["/~a", "/%7ea"] {
        origin.always(path, Reply::ok(path.to_owned()).header("cache-control", "public, max-age=60"));
    }
    assert_eq!(named("/%7ea").send(cache.ports.data).await.unwrap().text(), "/%7ea", "it goes as it came");
    assert_eq!(Ask::get("h.test", "/~a").send(cache.ports.data).await.unwrap().text(), "/~a");
    assert_eq!(named("/%7ea").send(cache.ports.data).await.unwrap().text(), "/~a", "what is stored is for everybody");
}

#[test]
fn what_is_changed_through_a_gateway_is_invalid_with_and_without_what_the_gateway_adds() {
    run(async {
        let mesh = mesh().await;
        for (n, to) in ways(&mesh).into_iter().enumerate() {
            let path = format!("/changed-{n}");
            mesh.origin.on(&path, |request| {
                if request.method == "POST" { Reply::status(204) } else { Reply::fresh(60, request.nth.to_string()) }
            });
            let plain = Ask::get("poison.test", &path);
            let routed = plain.clone().header("x-forwarded-port", "443");
            let text = async |ask: &Ask| ask.send(to).await.unwrap().text();
            assert_eq!(
                [text(&plain).await, text(&routed).await, text(&plain).await, text(&routed).await],
                ["1", "2", "1", "2"]
            );
            let change = Ask::new("POST", "poison.test", &path)
                .header("x-forwarded-port", "443")
                .header("x-http-method-override", "PUT");
            assert_eq!(change.body("x").send(to).await.unwrap().status, 204);
            for ask in [plain, routed] {
                await_until(async || !["1", "2"].contains(&text(&ask).await.as_str()), SOON, "both are loaded again")
                    .await;
            }
        }
    });
}
