//! TRACE, OTELCONFIG_EXPORTER and OTEL_*: what kubecache sends by the means of its time is sent by OTLP.

use super::variables::{BadVariable, Variables};
use crate::telemetry::traces::TraceSettings;
use std::collections::BTreeMap;

/// The port of Jaeger's own protocol, and that of OTLP over HTTP: one collector listens on both.
const PORTS: (&str, &str) = (":14268", ":4318");

/// Reads how traces are exported. `None`: they are not.
pub(super) fn read(from: &mut Variables<'_>) -> Result<Option<TraceSettings>, BadVariable> {
    if !from.bool("TRACE", true)? {
        return Ok(None);
    }
    let mut standard: BTreeMap<String, String> = from.all_with("OTEL_");
    let set = |standard: &mut BTreeMap<String, String>, name: &str, value: &str| {
        standard.insert(name.to_owned(), value.to_owned());
    };
    let is_set = |standard: &BTreeMap<String, String>, name: &str| standard.contains_key(name);
    let exporter = from.text("OTELCONFIG_EXPORTER")?;
    let is_jaeger =
        exporter == Some("jaeger") || standard.get("OTEL_TRACES_EXPORTER").is_some_and(|exporter| exporter == "jaeger");
    let protocol = match exporter {
        _ if is_jaeger => Some("http/protobuf"),
        Some("http") => Some("http/protobuf"),
        Some("grpc") => Some("grpc"),
        None if is_set(&standard, "OTEL_EXPORTER_OTLP_PROTOCOL") => None,
        // Its default.
        None => Some("grpc"),
        Some(other) => {
            from.warn(format!("OTELCONFIG_EXPORTER: `{other}` is not there: write grpc or http; no traces are sent"));
            return Ok(None);
        }
    };
    if let Some(protocol) = protocol {
        set(&mut standard, "OTEL_EXPORTER_OTLP_PROTOCOL", protocol);
    }
    if is_jaeger {
        let mut moved = String::new();
        if let Some(endpoint) = standard.get_mut("OTEL_EXPORTER_OTLP_ENDPOINT")
            && let Some(host) = endpoint.trim_end_matches('/').strip_suffix(PORTS.0)
        {
            *endpoint = format!("{host}{}", PORTS.1);
            moved = format!(", to {endpoint}");
        }
        from.warn(format!("OTELCONFIG_EXPORTER: `jaeger` is OTLP over HTTP here{moved}: write http and that address"));
        if is_set(&standard, "OTEL_EXPORTER_OTLP_ENDPOINT") {
            set(&mut standard, "OTEL_TRACES_EXPORTER", "otlp");
        }
    }
    if !standard.keys().any(|name| name == "OTEL_SERVICE_NAME" || name == "OTEL_RESOURCE_ATTRIBUTES") {
        set(&mut standard, "OTEL_SERVICE_NAME", "kubecache");
    }
    let (settings, problems) = TraceSettings::read(&standard);
    problems.into_iter().for_each(|problem| from.warn(problem));
    match &settings {
        Some(settings) => from.info(format!("TRACE: traces go to {}", settings.endpoint())),
        None => from.info("TRACE: no collector is named (OTEL_EXPORTER_OTLP_ENDPOINT): no traces are sent"),
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What goes where, and the lines.
    fn read(variables: &[(&str, &str)]) -> (Option<String>, Vec<String>) {
        let all = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut from = Variables::new(&all);
        let settings = super::read(&mut from).unwrap();
        (settings.map(|settings| settings.endpoint()), from.notes.iter().map(ToString::to_string).collect())
    }

    const GRPC: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

    #[test]
    fn the_values_of_its_chart_send_otlp_to_the_same_jaeger_and_say_so() {
        let (to, lines) = read(&[
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.01"),
            ("OTELCONFIG_EXPORTER", "jaeger"),
            ("OTEL_TRACES_EXPORTER", "jaeger"),
            ("OTEL_PROPAGATORS", "b3multi"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://jaeger-collector:14268"),
        ]);
        assert_eq!(to.as_deref(), Some("http://jaeger-collector:4318/v1/traces"));
        assert_eq!(
            lines,
            [
                "warning: OTELCONFIG_EXPORTER: `jaeger` is OTLP over HTTP here, to http://jaeger-collector:4318: write http and that address",
                "TRACE: traces go to http://jaeger-collector:4318/v1/traces",
            ]
        );
    }

    #[test]
    fn traces_are_off_where_no_collector_is_named_or_trace_is_false() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317");
        assert_eq!(read(&[("TRACE", "false"), endpoint]), (None, vec![]));
        let (to, lines) = read(&[("OTEL_SERVICE_NAME", "x")]);
        assert!(to.is_none() && lines.len() == 1, "{lines:?}");
        assert_eq!(read(&[endpoint]).0, Some(format!("http://c:4317{GRPC}")), "its default is gRPC");
        let http = ("OTELCONFIG_EXPORTER", "http");
        assert_eq!(read(&[endpoint, http]).0.as_deref(), Some("http://c:4317/v1/traces"));
        let (to, lines) = read(&[endpoint, ("OTELCONFIG_EXPORTER", "stdout")]);
        assert!(to.is_none() && lines[0].starts_with("warning: OTELCONFIG_EXPORTER: `stdout` is not there"));
    }
}
