//! A real OpenTelemetry collector (tests/collector), and the traces that it has taken.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, process::Command};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    port,
    process::Process,
    wait::{SOON, await_some, await_until},
};

/// A running collector. Dropping it kills it.
pub struct Collector {
    /// Where it takes OTLP over gRPC.
    pub grpc: SocketAddr,
    /// Where it takes OTLP over HTTP.
    pub http: SocketAddr,
    _process: Process,
    folder: TempDir,
}

/// A span as the collector wrote it.
#[derive(Clone, Debug)]
pub struct Span {
    /// Its trace.
    pub trace: String,
    /// Its own id.
    pub id: String,
    /// Its parent's id; empty: it has none.
    pub parent: String,
    /// `server`, `client` or `internal`.
    pub kind: &'static str,
    /// The process that it is of: its `service.name`.
    pub service: String,
    /// Its attributes, as text.
    pub attributes: BTreeMap<String, String>,
    /// The spans that it has links to.
    pub links: Vec<String>,
}

impl Collector {
    /// Starts one on free ports. None where there is none: `scripts/setup collector` builds it.
    pub async fn start() -> Option<Collector> {
        Collector::start_at(port::unused(), port::unused()).await
    }

    /// Starts one at addresses that are known before.
    pub async fn start_at(grpc: SocketAddr, http: SocketAddr) -> Option<Collector> {
        let folder = tempfile::tempdir().unwrap();
        let configuration = json!({
            "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": grpc.to_string()}, "http": {"endpoint": http.to_string()}}}},
            "exporters": {"file": {"path": folder.path().join("spans.json"), "flush_interval": "50ms"}},
            "service": {
                "telemetry": {"metrics": {"level": "none"}},
                "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["file"]}},
            },
        });
        let Some(program) = program() else {
            eprintln!("there is no OpenTelemetry collector here: scripts/setup collector");
            return None;
        };
        let mut command = Command::new(program);
        command.arg("--config").arg(format!("yaml:{configuration}"));
        let mut process = Process::start("collector", command, &folder.path().join("log"));
        let ready = || {
            let is_up = process.log().contains("Everything is ready");
            is_up.then_some(None).or_else(|| process.exited().map(Some))
        };
        match await_some(ready, SOON).await {
            Some(None) => Some(Collector { grpc, http, _process: process, folder }),
            _ => process.give_up("it does not start"),
        }
    }

    /// All spans that it has taken.
    pub fn spans(&self) -> Vec<Span> {
        let written = std::fs::read_to_string(self.folder.path().join("spans.json")).unwrap_or_default();
        // The last line may be half written.
        let lines = written.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines
            .flat_map(|message| list(&message["resourceSpans"]).iter().flat_map(of_process).collect::<Vec<_>>())
            .collect()
    }

    /// The spans of one trace.
    pub fn trace(&self, trace: &str) -> Vec<Span> {
        self.spans().into_iter().filter(|span| span.trace == trace).collect()
    }

    /// Waits until the spans of one trace are as they should be.
    pub async fn wait(&self, trace: &str, what: &str, is_there: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        let seen = std::sync::Mutex::new(Vec::new());
        let there = async || {
            let spans = self.trace(trace);
            let is = is_there(&spans);
            *seen.lock().unwrap() = spans;
            is
        };
        let waited = tokio::time::timeout(SOON, await_until(there, 2 * SOON, what)).await;
        let seen = seen.into_inner().unwrap();
        assert!(waited.is_ok(), "{what}: {seen:#?}");
        seen
    }
}

/// `MESHCACHE_COLLECTOR_BIN`, else what `scripts/setup collector` built.
fn program() -> Option<PathBuf> {
    let cache = || Some(PathBuf::from(std::env::var_os("XDG_CACHE_HOME")?));
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
    let built = || Some(cache().or_else(home)?.join("meshcache/collector/collector"));
    std::env::var_os("MESHCACHE_COLLECTOR_BIN").map(PathBuf::from).or_else(built).filter(|program| program.exists())
}

fn of_process(of: &Value) -> Vec<Span> {
    let service = attributes(&of["resource"]).remove("service.name").unwrap_or_default();
    let spans = list(&of["scopeSpans"]).iter().flat_map(|scope| list(&scope["spans"]));
    spans.map(|written| span(written, &service)).collect()
}

fn span(written: &Value, service: &str) -> Span {
    Span {
        trace: text(&written["traceId"]),
        id: text(&written["spanId"]),
        parent: text(&written["parentSpanId"]),
        kind: match written["kind"].as_u64() {
            Some(2) => "server",
            Some(3) => "client",
            _ => "internal",
        },
        service: service.to_owned(),
        attributes: attributes(written),
        links: list(&written["links"]).iter().map(|link| text(&link["spanId"])).collect(),
    }
}

fn attributes(of: &Value) -> BTreeMap<String, String> {
    let value = |attribute: &Value| match &attribute["value"]["stringValue"] {
        Value::String(text) => text.clone(),
        _ => attribute["value"].to_string(),
    };
    list(&of["attributes"]).iter().map(|attribute| (text(&attribute["key"]), value(attribute))).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
