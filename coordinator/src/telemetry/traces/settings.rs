//! How traces are exported, read from the environment.

use crate::telemetry::{
    trace::{Propagators, Root, Sampler},
    traces::variables::Variables,
};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use std::{collections::BTreeMap, fmt, path::PathBuf, str::FromStr, time::Duration};

/// How traces are exported.
#[derive(Clone, PartialEq)]
pub struct TraceSettings {
    pub(super) protocol: Protocol,
    /// With the path of OTLP.
    pub(super) endpoint: Uri,
    /// They may hold a token.
    pub(super) headers: HeaderMap,
    /// The time limit of one attempt.
    pub(super) timeout: Duration,
    /// The authorities that are trusted; `None`: the system's.
    pub(super) ca: Option<PathBuf>,
    pub(super) sampler: Sampler,
    pub(super) propagators: Propagators,
    /// The attributes of this process.
    pub(super) resource: Vec<(String, String)>,
    pub(super) batch: Batch,
}

/// The protocol to a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http,
    Grpc,
}

/// How spans are gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    /// The most spans that wait.
    pub(super) queue: usize,
    /// The most spans of one message.
    pub(super) most: usize,
    /// How long the first span of a message waits for others.
    pub(super) delay: Duration,
    /// How long a message is tried.
    pub(super) timeout: Duration,
}

/// No value of a header, and no attribute: a token may be in them.
impl fmt::Debug for TraceSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, endpoint, sampler, batch, .. } = self;
        write!(f, "TraceSettings {{ {protocol:?} {endpoint} {sampler:?} {batch:?} headers: *** }}")
    }
}

const PATH: &str = "/v1/traces";
pub(super) const GRPC_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

impl TraceSettings {
    /// Reads the environment. `None`: no traces are wanted. The lines say what is wrong, and what is done instead.
    pub fn read(environment: &BTreeMap<String, String>) -> (Option<Self>, Vec<String>) {
        let mut from = Variables::new(environment);
        let settings = wanted(&mut from).then(|| Self::of(&mut from)).flatten();
        (settings, from.problems)
    }

    /// Where spans are sent.
    pub fn endpoint(&self) -> String {
        self.endpoint.to_string()
    }

    fn of(from: &mut Variables<'_>) -> Option<Self> {
        let protocol =
            from.word("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL").and_then(|(name, word)| {
                let protocol = match word {
                    "http/protobuf" => Some(Protocol::Http),
                    "grpc" => Some(Protocol::Grpc),
                    _ => None,
                };
                from.or_say(protocol, name, word, "http/protobuf or grpc", "http/protobuf is used")
            });
        let protocol = protocol.unwrap_or(Protocol::Http);
        let endpoint = endpoint(from, protocol)?;
        for name in ["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"] {
            if let Some(word) = from.text(name).filter(|word| *word != "none") {
                from.or_say(None::<()>, name, word, "none", "nothing is compressed");
            }
        }
        for name in ["OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"] {
            if from.text(name).is_some() {
                from.say(format!("{name}: client certificates are not sent to collectors: leave it out"));
            }
        }
        let ca = from.word("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE");
        Some(Self {
            protocol,
            endpoint,
            ca: ca.map(|(_, file)| PathBuf::from(file)),
            headers: headers(from),
            timeout: from.limit(&["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"], 10_000),
            sampler: sampler(from),
            propagators: from.propagators(),
            resource: resource(from),
            batch: batch(from),
        })
    }
}

/// Whether traces are to be sent.
fn wanted(from: &mut Variables<'_>) -> bool {
    if from.text("OTEL_SDK_DISABLED").is_some_and(|word| word.eq_ignore_ascii_case("true")) {
        return false;
    }
    let has_endpoint = from.word("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT").is_some();
    let Some(exporters) = from.text("OTEL_TRACES_EXPORTER") else { return has_endpoint };
    let mut wants = false;
    for exporter in exporters.split(',').map(str::trim) {
        match exporter {
            "otlp" => wants = true,
            "none" => return false,
            other => {
                let _ = from.or_say(None::<()>, "OTEL_TRACES_EXPORTER", other, "otlp or none", "it sends nothing");
            }
        }
    }
    wants
}

fn endpoint(from: &mut Variables<'_>, protocol: Protocol) -> Option<Uri> {
    let default = if protocol == Protocol::Grpc { "http://localhost:4317" } else { "http://localhost:4318" };
    let own = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    let (name, text) = from.word(own, "OTEL_EXPORTER_OTLP_ENDPOINT").unwrap_or((own, default));
    // OTLP over gRPC has been given addresses without a scheme, too.
    let full =
        if protocol == Protocol::Grpc && !text.contains("://") { format!("http://{text}") } else { text.to_owned() };
    let parsed = Uri::from_str(&full).ok().filter(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    });
    let shown = if text.contains('@') { "***" } else { text };
    let uri = from.or_say(parsed, name, shown, "http://HOST:PORT", "no traces are sent")?;
    let authority = uri.authority()?.as_str();
    let authority = match authority.rsplit_once('@') {
        Some((_, host)) => {
            from.say(format!("{name}: user and password are not sent: OTEL_EXPORTER_OTLP_HEADERS has what is"));
            host
        }
        None => authority,
    };
    let path = match protocol {
        Protocol::Grpc => GRPC_PATH.to_owned(),
        // The variable for all signals has the path before which each signal puts its own.
        Protocol::Http if name == own && from.text(own).is_some() => uri.path().to_owned(),
        Protocol::Http => format!("{}{PATH}", uri.path().trim_end_matches('/')),
    };
    Uri::builder().scheme(uri.scheme_str()?).authority(authority).path_and_query(path).build().ok()
}

/// `NAME=VALUE,..`, with values percent-encoded. No line has a value.
fn headers(from: &mut Variables<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let Some((name, _)) = from.word("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS") else {
        return headers;
    };
    for (key, value) in from.pairs(name) {
        match (HeaderName::from_str(&key), HeaderValue::from_str(&value)) {
            (Ok(key), Ok(mut value)) => {
                value.set_sensitive(true);
                headers.insert(key, value);
            }
            // Nor its name: of `authorization: Basic ME==` all that is secret is before the sign.
            _ => from.say(format!("{name}: a header cannot be sent: it is left out")),
        }
    }
    headers
}

fn sampler(from: &mut Variables<'_>) -> Sampler {
    let name = "OTEL_TRACES_SAMPLER";
    let argument = "OTEL_TRACES_SAMPLER_ARG";
    let Some(word) = from.text(name) else { return Sampler { follows_parent: true, root: Root::On } };
    let (follows_parent, kind) = match word.strip_prefix("parentbased_") {
        Some(kind) => (true, kind),
        None => (false, word),
    };
    let root = match kind {
        "always_on" => Some(Root::On),
        "always_off" => Some(Root::Off),
        "traceidratio" => {
            let ratio = from.text(argument).and_then(|text| {
                let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
                from.or_say(ratio, argument, text, "a number from 0 to 1", "1 counts")
            });
            Some(Root::Ratio(ratio.unwrap_or(1.0)))
        }
        _ => None,
    };
    let all = "always_on, always_off, traceidratio, or one of them after parentbased_";
    match from.or_say(root, name, word, all, "parentbased_always_on counts") {
        Some(root) => Sampler { follows_parent, root },
        None => Sampler { follows_parent: true, root: Root::On },
    }
}

fn resource(from: &mut Variables<'_>) -> Vec<(String, String)> {
    let mut attributes = from.pairs("OTEL_RESOURCE_ATTRIBUTES");
    if let Some(service) = from.text("OTEL_SERVICE_NAME") {
        attributes.retain(|(key, _)| key != "service.name");
        attributes.push(("service.name".into(), service.into()));
    }
    attributes
}

fn batch(from: &mut Variables<'_>) -> Batch {
    let queue = from.number("OTEL_BSP_MAX_QUEUE_SIZE", 2048);
    Batch {
        queue,
        most: from.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512).min(queue),
        delay: from.millis(&["OTEL_BSP_SCHEDULE_DELAY"], 5000),
        timeout: from.limit(&["OTEL_BSP_EXPORT_TIMEOUT"], 30_000),
    }
}
