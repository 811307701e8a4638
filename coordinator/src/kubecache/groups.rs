//! The group that stands for kubecache's cache, as YAML for `--config`.

use super::{
    backend,
    variables::{BadVariable, Variables},
};
use meshcache_protocol::{groups::PathRule, units::Span};
use serde_json::json;
use std::fmt::Write;

/// The group's name, as on kubecache's dashboards.
pub(super) const NAME: &str = "path";
const ROUTES: &str = r#"["^/develop", "^/homolog", "^/prod", "/develop/?$", "/homolog/?$", "/prod/?$"]"#;
const METHODS: &str = r#"["GET", "HEAD"]"#;
/// The timeout that stands for none.
const NO_TIMEOUT: u64 = 86_400_000;
/// The most that a group's freshness is without `max`.
const DEFAULT_MAX: u64 = 7 * 86_400_000;

/// Returns the YAML of the group.
pub(super) fn yaml(from: &mut Variables<'_>) -> Result<String, BadVariable> {
    let origin = backend::read(from)?;
    let timeout = match from.millis("BACKEND_TIMEOUT", 300_000)? {
        0 => {
            from.warn("BACKEND_TIMEOUT: no limit is 24h here");
            NO_TIMEOUT
        }
        timeout => timeout,
    };
    let routes = list(from, "RESTRICT_ROUTE_REGEXP", ROUTES)?;
    let mode = methods(from)?;
    let (ttl, error_ttl) = (from.millis("CACHE_TTL", 300_000)?, from.millis("CACHE_ERROR_TTL", 60_000)?);

    let mut yaml = format!("version: 1\ngroups:\n- name: {NAME}\n{mode}  match:\n    hosts: [\"*\"]\n");
    for (n, route) in routes.iter().enumerate() {
        let head = if n == 0 { "    paths:\n" } else { "" };
        let rule = json!({"target": {"regex": route, "search": true}});
        serde_json::from_value::<PathRule>(rule).map_err(|error| BadVariable::new("RESTRICT_ROUTE_REGEXP", error))?;
        let _ = writeln!(yaml, "{head}    - target: {{regex: {}, search: true}}", json!(route));
    }
    let (timeout, ttl, error_ttl) = (Span::millis(timeout), Span::millis(ttl), Span::millis(error_ttl));
    let _ = write!(
        yaml,
        "  request: {{drop: [\"*\"], acceptEncoding: [gzip]}}
  key: {{host: none}}
  passThrough: {{methods: [\"*\"], otherPaths: true}}
  origin: {{url: \"{origin}\", timeout: {timeout}, passTimeout: {timeout}}}
  freshness:
    ignore: [no-store, private, vary]
    status: {{\"2xx\": {ttl}, {errors}}}
",
        errors = ["3xx", "4xx", "428", "429", "431", "5xx", "511"]
            .map(|status| format!("\"{status}\": {error_ttl}"))
            .join(", "),
    );
    let longest = ttl.max(error_ttl);
    if longest > Span::millis(DEFAULT_MAX) {
        let _ = writeln!(yaml, "    max: {longest}");
    }
    Ok(yaml)
}

/// Returns the lines that say which methods are cached. kubecache's list may name any; `[]` is all.
fn methods(from: &mut Variables<'_>) -> Result<&'static str, BadVariable> {
    let methods: Vec<String> =
        list(from, "RESTRICT_METHOD", METHODS)?.iter().map(|method| method.to_uppercase()).collect();
    let has = |method: &str| methods.is_empty() || methods.iter().any(|one| one == method);
    if methods.is_empty() || methods.iter().any(|method| method != "GET" && method != "HEAD") {
        from.warn(
            "RESTRICT_METHOD: only GET and HEAD are answered from the cache; all other methods go to the backend",
        );
    }
    Ok(match (has("GET"), has("HEAD")) {
        (true, true) => "",
        (true, false) => "  methods: [GET]\n",
        (false, true) => "  methods: [HEAD]\n",
        (false, false) => "  mode: off\n",
    })
}

/// Reads a list of texts as Go reads JSON: null is an empty list, or an empty text in it.
fn list(from: &Variables<'_>, name: &str, default: &str) -> Result<Vec<String>, BadVariable> {
    let text = from.text(name)?.unwrap_or(default);
    let list: Option<Vec<Option<String>>> = serde_json::from_str(text).map_err(|error| {
        BadVariable::new(name, format!("`{text}` is not a JSON list of texts such as [\"^/prod\"]: {error}"))
    })?;
    Ok(list.unwrap_or_default().into_iter().map(Option::unwrap_or_default).collect())
}
