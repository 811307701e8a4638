//! The chart's alerts and dashboard ask only for metrics, labels and words that docs/metrics.md has; coordinators are held to that list elsewhere.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use meshcache_tests::{artifact, chart};
use serde_json::Value;

/// What Prometheus adds to each series of a pod, and to buckets.
const SCRAPED: [&str; 3] = ["namespace", "pod", "le"];
/// A metric that is not ours: kube-state-metrics has it.
const FOREIGN: &str = "kube_pod_container_resource_limits";

/// A metric of docs/metrics.md: its labels, and the words that its row has in backticks.
struct Row {
    labels: BTreeSet<String>,
    words: BTreeSet<String>,
}

fn documented() -> BTreeMap<String, Row> {
    let page = std::fs::read_to_string(artifact::file("docs/metrics.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")).map(|line| {
        let (name, rest) = line.split_once('`').unwrap();
        let (name, labels) = name.split_once('{').unwrap_or((name, ""));
        let labels = labels.trim_end_matches('}').split(',').map(str::to_owned).collect();
        (name.to_owned(), Row { labels, words: rest.split('`').skip(1).step_by(2).map(str::to_owned).collect() })
    });
    rows.collect()
}

/// All expressions: of the alerts, of the panels, of the dashboard's variables.
fn expressions() -> Vec<String> {
    let objects = chart::objects("monitoring: {prometheusRule: {enabled: true, expectedProxies: 4}, dashboard: {enabled: true}}\n").unwrap();
    let rules = objects.iter().filter(|object| object["kind"] == "PrometheusRule").flat_map(|rule| rule["spec"]["groups"][0]["rules"].as_array().unwrap());
    let mut all: Vec<String> = rules.map(|rule| rule["expr"].as_str().unwrap().to_owned()).collect();
    assert!(all.len() >= 9, "{all:?}");
    let dashboard = objects.iter().find_map(|object| object["data"]["meshcache.json"].as_str()).unwrap();
    fn collect(value: &Value, all: &mut Vec<String>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, field)| match field.as_str() {
                Some(text) if name == "expr" || text.starts_with("label_values(") => all.push(text.to_owned()),
                _ => collect(field, all),
            }),
            Value::Array(items) => items.iter().for_each(|item| collect(item, all)),
            _ => {}
        }
    }
    collect(&serde_json::from_str(dashboard).unwrap(), &mut all);
    assert!(all.len() >= 30, "{all:?}");
    all
}

/// A label and the words that it may have.
type Matcher = (String, Vec<String>);

/// The series that an expression asks for, by name.
fn series(expression: &str) -> Vec<(String, Vec<Matcher>)> {
    let ours = |word: &str| ["meshcache_", "groupcache_", "kubegroup_", "process_", "kube_"].iter().any(|prefix| word.starts_with(prefix));
    let name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let starts: Vec<usize> = expression.char_indices().filter(|(at, c)| name(*c) && !expression[..*at].ends_with(name)).map(|(at, _)| at).collect();
    let mut all = Vec::new();
    for at in starts.into_iter().filter(|at| ours(&expression[*at..])) {
        let end = expression[at..].find(|c| !name(c)).map_or(expression.len(), |length| at + length);
        let matchers = expression[end..].strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(matchers, _)| matchers);
        let labels = matchers.split(',').filter(|matcher| !matcher.is_empty()).map(|matcher| {
            let (label, values) = matcher.split_once('=').unwrap();
            let values = values.trim_start_matches('~').trim_matches('"').split('|').map(str::to_owned).collect();
            (label.trim_end_matches('!').to_owned(), values)
        });
        all.push((expression[at..end].to_owned(), labels.collect()));
    }
    all
}

/// The labels that an expression groups by.
fn grouped(expression: &str) -> Vec<&str> {
    let lists = expression.split("by (").skip(1).map(|rest| rest.split_once(')').unwrap().0);
    lists.flat_map(|list| list.split(',').map(str::trim)).collect()
}

#[test]
fn every_expression_asks_for_what_a_coordinator_exports() {
    let documented = documented();
    for expression in expressions() {
        let all = series(&expression);
        assert!(!all.is_empty(), "{expression} asks for nothing");
        let mut known: BTreeSet<&str> = SCRAPED.into();
        for (name, matchers) in all.iter().filter(|(name, _)| name != FOREIGN) {
            let row = ["", "_bucket", "_sum", "_count"].iter().find_map(|end| documented.get(name.strip_suffix(end)?));
            let row = row.unwrap_or_else(|| panic!("docs/metrics.md has no {name}, which `{expression}` asks for"));
            known.extend(row.labels.iter().map(String::as_str));
            for (label, values) in matchers.iter().filter(|(label, _)| !SCRAPED.contains(&label.as_str())) {
                assert!(row.labels.contains(label), "{name} has no label {label}: `{expression}`");
                for value in values.iter().filter(|value| !value.starts_with('$')) {
                    assert!(row.words.contains(value), "docs/metrics.md does not say that {label} of {name} may be `{value}`: `{expression}`");
                }
            }
        }
        for label in grouped(&expression) {
            assert!(known.contains(label), "nothing has the label {label}: `{expression}`");
        }
    }
}

#[test]
fn expressions_are_read_as_prometheus_reads_them() {
    let read = series(r#"a(meshcache_x{namespace="n",reason=~"b|c"}[5m]) / kubegroup_peers"#);
    let matchers = vec![("namespace".to_owned(), vec!["n".to_owned()]), ("reason".to_owned(), vec!["b".to_owned(), "c".to_owned()])];
    assert_eq!(read, [("meshcache_x".to_owned(), matchers), ("kubegroup_peers".to_owned(), vec![])]);
    assert_eq!(grouped("sum by (le, group) (x) or min by (pod) (y)"), ["le", "group", "pod"]);
}
