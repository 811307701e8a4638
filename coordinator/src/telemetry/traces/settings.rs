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
const GRPC_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

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
            timeout: from.millis(&["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"], 10_000),
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
    let uri = from.or_say(parsed, name, text, "http://HOST:PORT", "no traces are sent")?;
    let path = match protocol {
        Protocol::Grpc => GRPC_PATH.to_owned(),
        // The variable for all signals has the path before which each signal puts its own.
        Protocol::Http if name == own && name_is_set(from, own) => uri.path().to_owned(),
        Protocol::Http => format!("{}{PATH}", uri.path().trim_end_matches('/')),
    };
    Uri::builder().scheme(uri.scheme_str()?).authority(uri.authority()?.as_str()).path_and_query(path).build().ok()
}

fn name_is_set(from: &Variables<'_>, name: &str) -> bool {
    from.text(name).is_some()
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
            _ => from.say(format!("{name}: the header `{key}` cannot be sent: it is left out")),
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
        timeout: from.millis(&["OTEL_BSP_EXPORT_TIMEOUT"], 30_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> (Option<TraceSettings>, Vec<String>) {
        TraceSettings::read(&variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
    }

    fn good(variables: &[(&str, &str)]) -> TraceSettings {
        let (settings, problems) = read(variables);
        assert!(problems.is_empty(), "{problems:?}");
        settings.unwrap()
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");

    #[test]
    fn traces_are_off_unless_an_endpoint_or_the_exporter_is_set() {
        for off in [
            &[][..],
            &[("OTEL_SERVICE_NAME", "x")],
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")],
            &[ENDPOINT, ("OTEL_SDK_DISABLED", "TRUE")],
            &[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")],
        ] {
            assert!(matches!(read(off), (None, problems) if problems.is_empty()), "{off:?}");
        }
        assert_eq!(good(&[("OTEL_TRACES_EXPORTER", "otlp")]).endpoint, "http://localhost:4318/v1/traces");
    }

    #[test]
    fn the_endpoint_is_that_of_all_signals_or_of_traces() {
        let own = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
        assert_eq!(good(&[ENDPOINT]).endpoint, "http://c:4318/v1/traces");
        assert_eq!(good(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "https://c/otlp/")]).endpoint, "https://c/otlp/v1/traces");
        assert_eq!(good(&[ENDPOINT, (own, "http://t:1/as/it/is")]).endpoint, "http://t:1/as/it/is");
        let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
        let path = format!("http://c:4317{GRPC_PATH}");
        assert_eq!(good(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "c:4317"), grpc]).endpoint, path.as_str());
    }

    #[test]
    fn what_is_said_once_for_traces_counts_more_than_what_is_said_for_all() {
        let settings = good(&[
            ENDPOINT,
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=1"),
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "authorization=Bearer%20s3cret, x=2"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "2500"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=old,deployment.environment=a%2Cb"),
            ("OTEL_SERVICE_NAME", "new"),
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
            ("OTEL_PROPAGATORS", "b3multi,tracecontext,baggage"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "10"),
        ]);
        assert_eq!(settings.headers.get("authorization").unwrap(), "Bearer s3cret");
        assert!(settings.headers.get("a").is_none() && settings.headers.len() == 2);
        assert!(!format!("{settings:?}").contains("s3cret"), "a token is in no debug format");
        assert_eq!(settings.timeout, Duration::from_millis(2500));
        let resource = [("deployment.environment", "a,b"), ("service.name", "new")];
        assert_eq!(settings.resource, resource.map(|(key, value)| (key.to_owned(), value.to_owned())));
        assert_eq!(settings.sampler, Sampler { follows_parent: false, root: Root::Ratio(0.25) });
        assert_eq!(settings.propagators.0.len(), 2);
        assert_eq!((settings.batch.queue, settings.batch.most), (10, 10));
    }

    #[test]
    fn a_value_that_is_not_known_is_one_line_with_the_variable_and_what_is_done() {
        for (variable, value, line) in [
            ("OTEL_TRACES_EXPORTER", "zipkin", "OTEL_TRACES_EXPORTER: `zipkin` is not otlp or none: it sends nothing"),
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                "collector",
                "OTEL_EXPORTER_OTLP_ENDPOINT: `collector` is not http://HOST:PORT: no traces are sent",
            ),
            (
                "OTEL_EXPORTER_OTLP_PROTOCOL",
                "http/json",
                "OTEL_EXPORTER_OTLP_PROTOCOL: `http/json` is not http/protobuf or grpc: http/protobuf is used",
            ),
            (
                "OTEL_EXPORTER_OTLP_COMPRESSION",
                "gzip",
                "OTEL_EXPORTER_OTLP_COMPRESSION: `gzip` is not none: nothing is compressed",
            ),
            (
                "OTEL_EXPORTER_OTLP_TIMEOUT",
                "10s",
                "OTEL_EXPORTER_OTLP_TIMEOUT: `10s` is not a number of milliseconds: 10000 counts",
            ),
            (
                "OTEL_TRACES_SAMPLER",
                "xray",
                "OTEL_TRACES_SAMPLER: `xray` is not always_on, always_off, traceidratio, or one of them after parentbased_: parentbased_always_on counts",
            ),
            (
                "OTEL_PROPAGATORS",
                "jaeger",
                "OTEL_PROPAGATORS: `jaeger` is not tracecontext, baggage, b3, b3multi or none: it is left out",
            ),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "OTEL_BSP_MAX_QUEUE_SIZE: `0` is not a number from 1 on: 2048 counts"),
            (
                "OTEL_RESOURCE_ATTRIBUTES",
                "a",
                "OTEL_RESOURCE_ATTRIBUTES: each is NAME=VALUE, with a comma between them: the rest counts",
            ),
        ] {
            let endpoint = [ENDPOINT].into_iter().filter(|_| !variable.ends_with("ENDPOINT"));
            let (_, problems) = read(&endpoint.chain([(variable, value)]).collect::<Vec<_>>());
            assert_eq!(problems, [line], "{variable}");
        }
        let (_, problems) =
            read(&[ENDPOINT, ("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "10%")]);
        assert_eq!(problems, ["OTEL_TRACES_SAMPLER_ARG: `10%` is not a number from 0 to 1: 1 counts"]);
        let (_, problems) = read(&[ENDPOINT, ("OTEL_EXPORTER_OTLP_HEADERS", "a b=s3cret")]);
        assert_eq!(problems, ["OTEL_EXPORTER_OTLP_HEADERS: the header `a b` cannot be sent: it is left out"]);
    }
}
