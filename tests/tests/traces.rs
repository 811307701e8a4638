//! Traces through a real Envoy, real coordinators and a real collector of OpenTelemetry, with the configuration of
//! docs/traces.md.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use meshcache_tests::{
    Ask, Collector, Coordinator, EnvoyConfig, Gate, Mesh, Origin, Reply, artifact, await_until, collector::Span,
    groups::SHOP, port, run, wait::SOON,
};
use serde_json::{Value, json};

const CLIENT: &str = "00f067aa0ba902b7";

/// The blocks of YAML of docs/traces.md: the filter before ours, and the tracing of the connection manager.
fn page() -> [Value; 2] {
    let page = std::fs::read_to_string(artifact::file("docs/traces.md")).unwrap();
    let blocks = page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let blocks: Vec<Value> = blocks.map(|block| serde_saphyr::from_str(block).unwrap()).collect();
    blocks.try_into().unwrap()
}

/// An Envoy that traces all, with what mends the chain.
fn tracing(mut envoy: EnvoyConfig, collector: &Collector) -> EnvoyConfig {
    let [filter, tracing] = page();
    let clusters = envoy.bootstrap["static_resources"]["clusters"].as_array_mut().unwrap();
    let mut cluster = clusters.iter().find(|cluster| cluster["name"] == "meshcache").unwrap().clone();
    cluster["name"] = "collector".into();
    cluster.as_object_mut().unwrap().remove("load_balancing_policy");
    clusters.push(cluster);
    // By default it sends its spans every five seconds.
    let soon = json!({"tracing.opentelemetry.flush_interval_ms": 50, "tracing.opentelemetry.min_flush_spans": 1});
    envoy.bootstrap["layered_runtime"] = json!({"layers": [{"name": "test", "static_layer": soon}]});
    let manager =
        &mut envoy.bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
    manager["tracing"] = tracing;
    manager["http_filters"].as_array_mut().unwrap().insert(0, filter);
    envoy.cluster("collector", &[collector.grpc])
}

#[test]
fn the_example_has_the_filter_of_the_page_as_a_comment() {
    let example = std::fs::read_to_string(artifact::file("envoy/front.yaml")).unwrap();
    let comment = example.lines().skip_while(|line| !line.contains("# - name: envoy.filters.http.header_mutation"));
    let lines = comment.map_while(|line| line.trim_start().strip_prefix("# "));
    let lines: Vec<&str> = lines.collect();
    let shown: Value = serde_saphyr::from_str(&lines.join("\n")).unwrap();
    assert_eq!(shown, json!([page()[0]]));
}

/// A request of a client that traces. Returns its trace.
async fn ask(mesh: &Mesh, path: &str, trace: u128) -> (String, String) {
    let trace = format!("{trace:032x}");
    let answer =
        Ask::get(SHOP, path).header("traceparent", format!("00-{trace}-{CLIENT}-01")).send(mesh.fronts()[0]).await;
    (trace, answer.unwrap().cache_status())
}

/// The spans from the client's on, each the parent of the next: `SERVICE KIND`.
fn chain(spans: &[Span]) -> Vec<String> {
    let below = |parent: &str| spans.iter().find(|span| span.parent == parent);
    std::iter::successors(below(CLIENT), |span| below(&span.id))
        .map(|span| format!("{} {}", span.service, span.kind))
        .collect()
}

/// The whole way of a load by the owner that another coordinator asks.
const LOADED: [&str; 7] = [
    "front server",
    "cache server",
    "cache internal",
    "cache client",
    "cache server",
    "cache internal",
    "cache client",
];

#[test]
fn one_trace_goes_from_the_client_through_envoy_to_the_origin_whatever_the_cache_does() {
    run(async {
        let Some(collector) = Collector::start().await else { return };
        for (protocol, endpoint, base) in [("http/protobuf", collector.http, 0x100), ("grpc", collector.grpc, 0x200)] {
            let mesh = mesh(&collector, protocol, &format!("http://{endpoint}")).await;
            outcomes(&mesh, &collector, base).await;
        }
    });
}

/// Two coordinators, of which the Envoy knows the first alone: what the second owns is asked for there.
async fn mesh(collector: &Collector, protocol: &str, endpoint: &str) -> Mesh {
    let variables = [
        format!("OTEL_EXPORTER_OTLP_ENDPOINT={endpoint}"),
        format!("OTEL_EXPORTER_OTLP_PROTOCOL={protocol}"),
        "OTEL_SERVICE_NAME=cache".to_owned(),
        "OTEL_BSP_SCHEDULE_DELAY=50".to_owned(),
    ];
    let arguments: Vec<&str> = variables.iter().map(String::as_str).collect();
    let mesh = Mesh::of(2, 0).arguments(&arguments).start_cold().await;
    let Mesh { origin, coordinators, groups, .. } = mesh;
    let envoy = tracing(EnvoyConfig::example("front.yaml"), collector)
        .cluster("service", &[origin.addr])
        .cluster("meshcache", &coordinators.data()[..1])
        .start()
        .await;
    let mesh = Mesh { origin, coordinators, envoys: vec![envoy], groups };
    mesh.wait_cached().await;
    mesh
}

async fn outcomes(mesh: &Mesh, collector: &Collector, base: u128) {
    let path = |stem: &str| mesh.owned_by(1, SHOP, stem);
    let sent = |path: &str| {
        mesh.origin.received().iter().filter(|seen| seen.uri.path() == path).last().unwrap().header("traceparent")
    };

    // A miss.
    let miss = path("/miss");
    mesh.origin.always(&miss, Reply::fresh(600, "answer"));
    let (trace, status) = ask(mesh, &miss, base + 1).await;
    assert!(status.contains("fwd=uri-miss"), "{status}");
    let spans = collector.wait(&trace, "a miss", |spans| chain(spans) == LOADED).await;
    let last = spans.iter().find(|span| sent(&miss).contains(&span.id)).expect("the origin's parent is in the trace");
    assert_eq!((last.kind, sent(&miss)), ("client", format!("00-{trace}-{}-01", last.id)));
    let front = spans.iter().find(|span| span.service == "front").unwrap();
    assert!(front.attributes["cache.status"].contains("fwd=uri-miss"), "{front:?}");

    // A hit at the owner.
    let hit = path("/hit");
    mesh.origin.always(&hit, Reply::fresh(600, "answer"));
    Ask::get(SHOP, &hit).send(mesh.coordinators.data()[1]).await.unwrap();
    let (trace, _) = ask(mesh, &hit, base + 2).await;
    collector.wait(&trace, "a hit", |spans| chain(spans) == LOADED[..5] && is(spans, "hit")).await;
    assert_eq!(mesh.origin.hits(&hit), 1);

    // Again and again: the proxy answers from its own memory, and the trace is Envoy's span with the tag.
    let nth = std::cell::Cell::new(base + 0x10);
    await_until(
        async || {
            nth.set(nth.get() + 1);
            ask(mesh, &miss, nth.get()).await.1.contains("detail=proxy")
        },
        SOON,
        "it is in the proxy's hot cache",
    )
    .await;
    let spans = collector.wait(&format!("{:032x}", nth.get()), "a hot copy", |spans| !spans.is_empty()).await;
    assert_eq!(chain(&spans), ["front server"]);
    assert!(spans[0].attributes["cache.status"].contains("detail=proxy"), "{spans:?}");

    // A join: the second has a link to the load of the first.
    let (join, gate) = (path("/join"), Gate::shut());
    mesh.origin.always(&join, Reply::fresh(600, "answer").behind(&gate));
    let wait = async {
        let waits = async || mesh.coordinators.sum("meshcache_waiters", &[]).await >= 3.0;
        await_until(waits, SOON, "both wait").await;
        gate.open();
    };
    let plain = async {
        // At the owner itself, by a client that traces as well.
        await_until(async || mesh.origin.hits(&join) == 1, SOON, "it loads").await;
        let trace = format!("{:032x}", base + 4);
        let ask = Ask::get(SHOP, &join).header("traceparent", format!("00-{trace}-{CLIENT}-01"));
        ask.send(mesh.coordinators.data()[1]).await.unwrap();
        trace
    };
    let ((first, _), second, ()) = tokio::join!(ask(mesh, &join, base + 3), plain, wait);
    let leader = collector.wait(&first, "the leader", |spans| chain(spans).len() >= LOADED.len()).await;
    let joined = collector.wait(&second, "who joins", |spans| !spans.is_empty()).await;
    let loads: Vec<&String> = leader.iter().filter(|span| span.kind == "internal").map(|span| &span.id).collect();
    assert!(joined[0].links.iter().any(|link| loads.contains(&link)), "{joined:#?} {leader:#?}");

    // A pass: Envoy itself sends it on.
    let (trace, status) = ask(mesh, &private(mesh, &path("/pass")).await, base + 5).await;
    assert!(status.contains("fwd="), "{status}");
    let pass = path("/pass");
    collector.wait(&trace, "a pass", |spans| chain(spans).first().is_some_and(|first| first == "front server")).await;
    assert!(sent(&pass).starts_with(&format!("00-{trace}-")), "{}", sent(&pass));

    // A revalidation.
    let again = path("/again");
    let reply = Reply::ok("answer").header("etag", "\"1\"").header("cache-control", "max-age=0, must-revalidate");
    mesh.origin.on(&again, move |request| {
        if request.header("if-none-match").is_empty() {
            reply.clone()
        } else {
            Reply::status(304).header("etag", "\"1\"")
        }
    });
    ask(mesh, &again, base + 6).await;
    let (trace, _) = ask(mesh, &again, base + 7).await;
    collector.wait(&trace, "a revalidation", |spans| chain(spans) == LOADED && is(spans, "revalidated")).await;
}

async fn private(mesh: &Mesh, path: &str) -> String {
    mesh.origin.always(path, Reply::ok("yours").header("cache-control", "private"));
    path.to_owned()
}

/// Whether a coordinator answered so.
fn is(spans: &[Span], outcome: &str) -> bool {
    spans.iter().any(|span| span.attributes.get("meshcache.outcome").is_some_and(|is| is == outcome))
}

#[test]
fn a_collector_that_is_down_is_one_line_and_that_it_is_back_another() {
    run(async {
        let (grpc, http) = (port::unused(), port::unused());
        let origin = Origin::start().await;
        origin.always("/a", Reply::fresh(600, "answer"));
        let to = format!("OTEL_EXPORTER_OTLP_ENDPOINT=http://{http}");
        let arguments = [to.as_str(), "OTEL_BSP_SCHEDULE_DELAY=20", "OTEL_BSP_EXPORT_TIMEOUT=100"];
        let coordinator = Coordinator::in_front_of(&origin.url(), &arguments).await;
        let dropped = async || {
            Ask::get("h", "/a").send(coordinator.ports.data).await.unwrap();
            coordinator.metrics().await.sum("meshcache_spans_total", &[("outcome", "no-answer")])
        };
        await_until(async || dropped().await > 3.0, SOON, "spans are dropped").await;
        let Some(_collector) = Collector::start_at(grpc, http).await else { return };
        let sent = async || {
            Ask::get("h", "/a").send(coordinator.ports.data).await.unwrap();
            coordinator.metrics().await.sum("meshcache_spans_total", &[("outcome", "sent")])
        };
        await_until(async || sent().await > 3.0, SOON, "the collector has spans").await;
        let log = coordinator.process.log();
        let count = |words: &str| log.lines().filter(|line| line.contains(words)).count();
        assert_eq!(
            (count("WARN the collector does not take traces"), count("INFO the collector takes traces again")),
            (1, 1),
            "{log}"
        );
    });
}

#[test]
fn a_line_of_a_json_log_names_the_trace_of_its_request_without_an_exporter_too() {
    run(async {
        let coordinator = Coordinator::in_front_of("http://127.0.0.1:9", &["--log-format", "json"]).await;
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let ask = Ask::get("h", "/a").header("traceparent", format!("00-{trace}-{CLIENT}-00"));
        assert_eq!(ask.send(coordinator.ports.data).await.unwrap().status, 502);
        let named = async || {
            let log = coordinator.process.log();
            let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            lines.filter(|line| line["trace_id"] == trace && line["span_id"] == CLIENT).count() == 1
        };
        await_until(named, SOON, "the line about the origin has the trace").await;
    });
}
