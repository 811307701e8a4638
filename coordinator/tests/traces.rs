//! Traces as a collector gets them: who is whose parent, what each span says, and that no request waits for a collector.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use meshcache_coordinator::{config::Config, telemetry::traces::TraceSettings};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::any_value::Value,
    trace::v1::{Span, span::SpanKind},
};
use prost::Message;
use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};
use support::{Origin, Running, config, get, send, until};
use tokio::net::TcpListener;

/// A collector that answers as it is told, and keeps what it took.
#[derive(Clone)]
struct Collector {
    endpoint: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    answers: Vec<u16>,
    asked: usize,
    spans: Vec<Span>,
    resource: String,
}

impl Collector {
    /// Answers so at first, and with 200 later. 0: no answer.
    async fn start(answers: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State { answers: answers.to_vec(), ..State::default() }));
        let collector = Self { endpoint, state };
        let answering = collector.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let collector = answering.clone();
                let service = service_fn(move |request| collector.clone().answer(request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        collector
    }

    async fn answer(self, request: http::Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        assert_eq!(request.uri().path(), "/v1/traces");
        assert_eq!(request.headers().get("content-type").unwrap(), "application/x-protobuf");
        let message = ExportTraceServiceRequest::decode(request.into_body().collect().await.unwrap().to_bytes());
        let status = {
            let mut state = self.state.lock().unwrap();
            state.asked += 1;
            if state.answers.is_empty() { 200 } else { state.answers.remove(0) }
        };
        if status == 0 {
            return std::future::pending().await;
        }
        if status == 200 {
            let mut state = self.state.lock().unwrap();
            for of in message.unwrap().resource_spans {
                state.resource = format!("{:?}", of.resource);
                state.spans.extend(of.scope_spans.into_iter().flat_map(|scope| scope.spans));
            }
        }
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        Ok(response)
    }

    fn spans(&self) -> Vec<Span> {
        self.state.lock().unwrap().spans.clone()
    }

    /// Waits for so many spans.
    async fn wait(&self, count: usize) -> Vec<Span> {
        until(&format!("{count} spans"), async || self.spans().len() >= count).await;
        let spans = self.spans();
        assert_eq!(spans.len(), count, "{spans:#?}");
        spans
    }
}

/// The configuration of these arguments, with traces as these variables say.
fn traced(arguments: &[&str], variables: &[(&str, &str)]) -> Config {
    let soon = [("OTEL_BSP_SCHEDULE_DELAY", "5")];
    let all = variables.iter().chain(&soon).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let (traces, problems) = TraceSettings::read(&all.collect());
    assert!(problems.is_empty(), "{problems:?}");
    Config { traces, ..config(arguments) }
}

async fn start(origin: &Origin, collector: &Collector, variables: &[(&str, &str)]) -> Running {
    let endpoint = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint.as_str())];
    Running::with(traced(&["--origin", &origin.url], &[&endpoint, variables].concat())).await
}

fn kind(spans: &[Span], kind: SpanKind) -> Vec<&Span> {
    spans.iter().filter(|span| span.kind() == kind).collect()
}

fn attribute(span: &Span, name: &str) -> String {
    let value = span.attributes.iter().find(|attribute| attribute.key == name);
    match value.and_then(|attribute| attribute.value.as_ref()?.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::ArrayValue(list)) => format!("{:?}", list.values),
        _ => String::new(),
    }
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

fn parent(flags: &str) -> String {
    format!("00-{TRACE}-{SPAN}-{flags}")
}

#[tokio::test]
async fn a_miss_is_one_trace_from_the_client_to_the_origin_and_a_hit_ends_here() {
    let (origin, collector) = (Origin::start().await, Collector::start(&[]).await);
    let node = start(&origin, &collector, &[("OTEL_SERVICE_NAME", "shop-cache")]).await;
    let parent = parent("01");
    send(node.ports.data, "GET", "/a?secret=1", &[("traceparent", &parent)], "").await;
    let spans = collector.wait(3).await;
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE));
    let [server] = kind(&spans, SpanKind::Server)[..] else { panic!("{spans:#?}") };
    let [load] = kind(&spans, SpanKind::Internal)[..] else { panic!("{spans:#?}") };
    let [client] = kind(&spans, SpanKind::Client)[..] else { panic!("{spans:#?}") };
    assert_eq!(hex(&server.parent_span_id), SPAN);
    assert_eq!((&load.parent_span_id, &client.parent_span_id), (&server.span_id, &load.span_id));
    let sent = origin.received("traceparent");
    assert_eq!(sent, [format!("00-{TRACE}-{}-01", hex(&client.span_id))]);
    for (name, value) in [
        ("http.request.method", "GET"),
        ("url.path", "/a"),
        ("http.response.status_code", "200"),
        ("meshcache.group", "default"),
        ("meshcache.outcome", "miss"),
    ] {
        assert_eq!(attribute(server, name), value, "{name}");
    }
    assert!(attribute(server, "http.response.header.cache-status").contains("fwd=uri-miss"));
    assert!(!format!("{spans:?}").contains("secret"), "no query in a span");
    assert!(collector.state.lock().unwrap().resource.contains("shop-cache"));
    assert!(server.start_time_unix_nano <= client.start_time_unix_nano);
    assert!(client.end_time_unix_nano <= server.end_time_unix_nano);

    get(node.ports.data, "/a?secret=1").await;
    let spans = collector.wait(4).await;
    let hit = spans.last().unwrap();
    assert_eq!(
        (attribute(hit, "meshcache.outcome").as_str(), hit.parent_span_id.len()),
        ("hit", 0),
        "a trace of its own"
    );
    assert_ne!(hex(&hit.trace_id), TRACE);
}

#[tokio::test]
async fn who_joins_a_load_has_a_link_to_it_and_a_pass_goes_on_in_its_own_trace() {
    let (origin, collector) = (Origin::start().await, Collector::start(&[]).await);
    let node = start(&origin, &collector, &[]).await;
    let data = node.ports.data;
    let ask = || tokio::spawn(async move { get(data, "/wait").await });
    let first = ask();
    until("it loads", async || origin.asked.load(std::sync::atomic::Ordering::SeqCst) == 1).await;
    let second = ask();
    until("it waits", async || node.metrics().await.contains("meshcache_waiters 2")).await;
    origin.released.notify_one();
    assert_eq!((first.await.unwrap().status, second.await.unwrap().status), (200, 200));
    let spans = collector.wait(4).await;
    let [load] = kind(&spans, SpanKind::Internal)[..] else { panic!("{spans:#?}") };
    let servers = kind(&spans, SpanKind::Server);
    let (leader, joined) =
        if servers[0].span_id == load.parent_span_id { (servers[0], servers[1]) } else { (servers[1], servers[0]) };
    assert!(leader.links.is_empty() && leader.trace_id == load.trace_id);
    let [link] = &joined.links[..] else { panic!("{joined:#?}") };
    assert_eq!((&link.span_id, &link.trace_id), (&load.span_id, &load.trace_id));
    assert_ne!(joined.trace_id, load.trace_id);

    send(data, "POST", "/b", &[], "x").await;
    let spans = collector.wait(6).await;
    let [server, client] = [SpanKind::Server, SpanKind::Client].map(|of| *kind(&spans[4..], of).first().unwrap());
    assert_eq!((&client.parent_span_id, &client.trace_id), (&server.span_id, &server.trace_id));
    assert_eq!(
        (attribute(server, "meshcache.outcome"), attribute(server, "meshcache.reason")),
        ("pass".into(), "method".into())
    );
}

#[tokio::test]
async fn what_is_not_recorded_goes_on_as_it_came_with_traces_and_without() {
    let (origin, collector) = (Origin::start().await, Collector::start(&[]).await);
    let (on, off) = (start(&origin, &collector, &[]).await, Running::start(&["--origin", &origin.url]).await);
    let (unsampled, sampled) = (parent("00"), parent("01"));
    send(on.ports.data, "GET", "/a", &[("traceparent", &unsampled), ("tracestate", "x=y")], "").await;
    send(off.ports.data, "GET", "/a", &[("traceparent", &sampled), ("tracestate", "x=y")], "").await;
    assert_eq!(origin.received("traceparent"), [unsampled, sampled]);
    assert_eq!(origin.received("tracestate"), ["x=y", "x=y"]);
    send(on.ports.data, "GET", "/b", &[], "").await;
    let spans = collector.wait(3).await;
    assert!(spans.iter().all(|span| hex(&span.trace_id) != TRACE), "only the request that came later");
}

#[tokio::test]
async fn a_sampler_of_our_own_does_not_follow_the_client_and_tells_the_origin() {
    let (origin, collector) = (Origin::start().await, Collector::start(&[]).await);
    let none = [("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0")];
    let node = start(&origin, &collector, &none).await;
    send(node.ports.data, "GET", "/a", &[("traceparent", &parent("01"))], "").await;
    assert_eq!(origin.received("traceparent"), [parent("00")]);
    assert!(collector.spans().is_empty());
}

#[tokio::test]
async fn b3_is_read_and_written_where_it_is_asked_for() {
    let (origin, collector) = (Origin::start().await, Collector::start(&[]).await);
    let node = start(&origin, &collector, &[("OTEL_PROPAGATORS", "b3multi,b3")]).await;
    let fields = [("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN), ("x-b3-sampled", "1")];
    send(node.ports.data, "GET", "/a", &fields, "").await;
    let spans = collector.wait(3).await;
    let [client] = kind(&spans, SpanKind::Client)[..] else { panic!("{spans:#?}") };
    let id = hex(&client.span_id);
    assert_eq!(origin.received("x-b3-traceid"), [TRACE]);
    assert_eq!(origin.received("x-b3-spanid"), [id.clone()]);
    assert_eq!(origin.received("b3"), [format!("{TRACE}-{id}-1")]);
}

#[tokio::test]
async fn a_trace_goes_through_the_owner_of_a_key() {
    let (origin, collector) = (Origin::start().await, Collector::start(&[]).await);
    let (_folder, token) = support::file("token");
    let ports: Vec<_> = (0..2).map(|_| [support::port::unused(), support::port::unused()]).collect();
    let peers: Vec<String> =
        ports.iter().enumerate().map(|(n, [data, peer])| format!("n{n}={data}/{}", peer.port())).collect();
    let mut nodes = Vec::new();
    for (n, [data, peer]) in ports.iter().enumerate() {
        let (name, peers) = (format!("n{n}"), peers.join(","));
        let at = [data, peer].map(ToString::to_string);
        let arguments = [
            "--origin",
            &origin.url,
            "--name",
            &name,
            "--peers",
            &peers,
            "--peer-token-file",
            &token,
            "--listen",
            &at[0],
            "--peer-listen",
            &at[1],
        ];
        let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint.as_str()), ("OTEL_SERVICE_NAME", &name)];
        nodes.push(Running::with(traced(&arguments, &variables)).await);
    }
    // About every second key is the other's. A pass because a lease is not there yet has no load.
    let mut asked = 0;
    until("a key of the other's is loaded there", async || {
        asked += 1;
        let parent = format!("00-{asked:032x}-{SPAN}-01");
        send(nodes[0].ports.data, "GET", &format!("/{asked}"), &[("traceparent", &parent)], "").await;
        use SpanKind::{Client, Internal, Server};
        let spans = collector.spans();
        (1..=asked).any(|n| chain(&spans, n) == [Server, Internal, Client, Server, Internal, Client])
    })
    .await;
}

/// The kinds of a trace's spans, each the parent of the next.
fn chain(spans: &[Span], trace: u128) -> Vec<SpanKind> {
    let below =
        |parent: &[u8]| spans.iter().find(|span| span.trace_id == trace.to_be_bytes() && span.parent_span_id == parent);
    let first = spans.iter().find(|span| span.trace_id == trace.to_be_bytes() && hex(&span.parent_span_id) == SPAN);
    std::iter::successors(first, |span| below(&span.span_id)).map(Span::kind).collect()
}

#[tokio::test]
async fn no_request_waits_for_a_collector_that_is_down_slow_or_refuses() {
    let origin = Origin::start().await;
    // 429 is tried again, 400 is not, and one that never answers has its time.
    let collector = Collector::start(&[429, 400, 0]).await;
    let few =
        [("OTEL_BSP_MAX_QUEUE_SIZE", "4"), ("OTEL_EXPORTER_OTLP_TIMEOUT", "200"), ("OTEL_BSP_EXPORT_TIMEOUT", "3000")];
    let node = start(&origin, &collector, &few).await;
    let count = async |outcome: &str| {
        let (page, name) = (node.metrics().await, format!("meshcache_spans_total{{outcome=\"{outcome}\"}} "));
        page.lines().find_map(|line| line.strip_prefix(&name)?.parse::<u64>().ok()).unwrap()
    };
    let began = std::time::Instant::now();
    for n in 0..50 {
        assert_eq!(get(node.ports.data, &format!("/{n}")).await.status, 200);
    }
    assert!(began.elapsed() < Duration::from_secs(20));
    assert!(count("queue-full").await > 0, "the queue is bounded");
    until("one message is refused", async || {
        get(node.ports.data, "/0").await;
        count("refused").await > 0
    })
    .await;
    until("the collector has spans again", async || {
        get(node.ports.data, "/0").await;
        !collector.spans().is_empty() && count("sent").await > 0
    })
    .await;
}

#[tokio::test]
async fn the_end_of_the_process_sends_what_waits_and_waits_for_nobody_long() {
    let (origin, collector) = (Origin::start().await, Collector::start(&[]).await);
    let late = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "600000")];
    let traces = TraceSettings::read(&late.map(|(name, value)| (name.to_owned(), value.to_owned())).into()).0;
    let mut node = Running::with(Config { traces: traces.clone(), ..config(&["--origin", &origin.url]) }).await;
    get(node.ports.data, "/a").await;
    node.stop();
    node.ended().await;
    assert_eq!(collector.spans().len(), 3);

    collector.state.lock().unwrap().answers = vec![0];
    let mut node = Running::with(Config { traces, ..config(&["--origin", &origin.url]) }).await;
    get(node.ports.data, "/a").await;
    node.stop();
    let began = std::time::Instant::now();
    node.ended().await;
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}
