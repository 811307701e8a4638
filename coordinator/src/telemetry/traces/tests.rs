//! What each variable means, and what is said of a value that means nothing.

use super::{TraceSettings, settings::GRPC_PATH};
use crate::telemetry::trace::{Root, Sampler};
use std::time::Duration;

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
fn a_time_limit_of_0_is_none() {
    let none = good(&[ENDPOINT, ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"), ("OTEL_BSP_EXPORT_TIMEOUT", "0")]);
    assert!(none.timeout > Duration::from_secs(3600) && none.batch.timeout > Duration::from_secs(3600));
    assert_eq!(good(&[ENDPOINT, ("OTEL_BSP_SCHEDULE_DELAY", "0")]).batch.delay, Duration::ZERO);
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
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "OTEL_BSP_MAX_QUEUE_SIZE: `0` is not a number from 1 to 1000000: 2048 counts"),
        (
            "OTEL_BSP_SCHEDULE_DELAY",
            "18446744073709551615",
            "OTEL_BSP_SCHEDULE_DELAY: `18446744073709551615` is not a number of milliseconds: 5000 counts",
        ),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "http://me:s3cret@c:1",
            "OTEL_EXPORTER_OTLP_ENDPOINT: user and password are not sent: OTEL_EXPORTER_OTLP_HEADERS has what is",
        ),
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
    let (_, problems) = read(&[ENDPOINT, ("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "10%")]);
    assert_eq!(problems, ["OTEL_TRACES_SAMPLER_ARG: `10%` is not a number from 0 to 1: 1 counts"]);
    for header in ["a b=s3cret", "authorization: Bearer s3cret==", "x=s3cret%0A"] {
        let (_, problems) = read(&[ENDPOINT, ("OTEL_EXPORTER_OTLP_HEADERS", header)]);
        assert_eq!(problems, ["OTEL_EXPORTER_OTLP_HEADERS: a header cannot be sent: it is left out"], "{header}");
    }
}
