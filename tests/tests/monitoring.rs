//! The chart's alerts and dashboard ask only for metrics, labels and words that docs/metrics.md has; coordinators are
//! held to that list elsewhere.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use meshcache_tests::{artifact, chart};
use promql_parser::{
    label::Matcher,
    parser::{Expr, VectorSelector},
    util::{ExprVisitor, walk_expr},
};
use serde_json::Value;

/// What Prometheus adds to each series of a pod, and to buckets.
const SCRAPED: [&str; 3] = ["namespace", "pod", "le"];
/// Metrics that are not ours: kube-state-metrics has one, Prometheus makes the other.
const FOREIGN: [&str; 2] = ["kube_pod_container_resource_limits", "up"];

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

fn objects() -> Vec<Value> {
    chart::objects("monitoring: {prometheusRule: {enabled: true, expectedProxies: 4}, dashboard: {enabled: true}}\n")
        .unwrap()
}

fn alerts(objects: &[Value]) -> Vec<&Value> {
    let rules = objects.iter().filter(|object| object["kind"] == "PrometheusRule");
    rules.flat_map(|rule| rule["spec"]["groups"][0]["rules"].as_array().unwrap()).collect()
}

/// All expressions: of the alerts, of the panels, of the dashboard's variables.
fn expressions() -> Vec<String> {
    let objects = objects();
    let mut all: Vec<String> = alerts(&objects).iter().map(|rule| rule["expr"].as_str().unwrap().to_owned()).collect();
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

/// What an expression asks for: series by name, with their matchers; and the labels by which it groups and joins.
#[derive(Default)]
struct Asked {
    series: Vec<(String, Vec<Matcher>)>,
    labels: Vec<String>,
}

impl ExprVisitor for Asked {
    type Error = std::convert::Infallible;

    fn pre_visit(&mut self, expression: &Expr) -> Result<bool, Self::Error> {
        match expression {
            Expr::VectorSelector(series) => self.add(series),
            Expr::MatrixSelector(range) => self.add(&range.vs),
            Expr::Aggregate(aggregate) => {
                self.labels.extend(aggregate.modifier.iter().flat_map(|by| by.labels().labels.clone()))
            }
            Expr::Binary(both) => {
                let matching = both.modifier.as_ref().and_then(|modifier| modifier.matching.as_ref());
                self.labels.extend(matching.iter().flat_map(|on| on.labels().labels.clone()));
            }
            _ => {}
        }
        Ok(true)
    }
}

impl Asked {
    /// As Prometheus reads it: what is no expression there is none here.
    fn read(expression: &str) -> Asked {
        let told = expression.replace("$__rate_interval", "1m").replace("$__range", "1h");
        let parsed = promql_parser::parser::parse(&told).unwrap_or_else(|error| panic!("`{expression}`: {error}"));
        let mut asked = Asked::default();
        walk_expr(&mut asked, &parsed).unwrap();
        asked
    }

    fn add(&mut self, series: &VectorSelector) {
        self.series.push((series.name.clone().unwrap(), series.matchers.matchers.clone()));
    }
}

#[test]
fn each_alert_leads_to_its_section_of_the_runbooks() {
    let page = std::fs::read_to_string(artifact::file("docs/runbooks.md")).unwrap();
    let sections: Vec<&str> = page.split("\n## ").skip(1).collect();
    let objects = objects();
    let alerts: BTreeSet<&str> = alerts(&objects).iter().map(|alert| alert["alert"].as_str().unwrap()).collect();
    assert_eq!(sections.iter().map(|section| section.lines().next().unwrap()).collect::<BTreeSet<_>>(), alerts);
    for section in sections {
        let name = section.lines().next().unwrap();
        let steps = ["\n**Means:** ", "\n**Look:** ", "\n**Do:** "];
        assert!(steps.iter().all(|step| section.contains(step)), "{name} lacks a step");
    }
    for alert in self::alerts(&objects) {
        let url = alert["annotations"]["runbook_url"].as_str().unwrap();
        let anchor = alert["alert"].as_str().unwrap().to_lowercase();
        assert!(url.ends_with(&format!("/docs/runbooks.md#{anchor}")), "{url}");
    }
}

#[test]
fn every_expression_asks_for_what_a_coordinator_exports() {
    let documented = documented();
    for expression in expressions() {
        // A list for the dashboard to choose from is no expression, but asks for a series and a label.
        let list = expression.strip_prefix("label_values(").and_then(|list| list.strip_suffix(')')?.rsplit_once(", "));
        let asked = match list {
            Some((series, label)) => Asked { labels: vec![label.to_owned()], ..Asked::read(series) },
            None => Asked::read(&expression),
        };
        assert!(!asked.series.is_empty(), "{expression} asks for nothing");
        let mut known: BTreeSet<&str> = SCRAPED.into();
        for (name, matchers) in asked.series.iter().filter(|(name, _)| !FOREIGN.contains(&name.as_str())) {
            let row = ["", "_bucket", "_sum", "_count"].iter().find_map(|end| documented.get(name.strip_suffix(end)?));
            let row = row.unwrap_or_else(|| panic!("docs/metrics.md has no {name}, which `{expression}` asks for"));
            known.extend(row.labels.iter().map(String::as_str));
            for matcher in matchers.iter().filter(|matcher| !SCRAPED.contains(&matcher.name.as_str())) {
                let label = &matcher.name;
                assert!(row.labels.contains(label), "{name} has no label {label}: `{expression}`");
                for value in matcher.value.split('|').filter(|value| !value.starts_with('$')) {
                    assert!(
                        row.words.contains(value),
                        "docs/metrics.md does not say that {label} of {name} may be `{value}`: `{expression}`"
                    );
                }
            }
        }
        for label in &asked.labels {
            assert!(known.contains(label.as_str()), "nothing has the label {label}: `{expression}`");
        }
    }
}

#[test]
fn what_is_shown_or_alerted_on_is_of_one_release_where_two_share_a_namespace() {
    let one_release = |matchers: &[Matcher]| {
        let of =
            |label: &str| matchers.iter().find(|matcher| matcher.name == label).map(|matcher| matcher.value.as_str());
        // Pods of `cache` and of `cache-two` begin alike.
        of("namespace").is_some() && of("pod").is_some_and(|pod| pod.ends_with("-[0-9]+"))
    };
    for expression in
        expressions().iter().filter(|expression| !expression.starts_with("label_values(meshcache_build_info"))
    {
        let series = expression
            .strip_prefix("label_values(")
            .and_then(|list| list.rsplit_once(", "))
            .map_or(expression.as_str(), |(series, _)| series);
        for (name, matchers) in Asked::read(series).series {
            assert!(one_release(&matchers), "{name} in `{expression}`");
        }
    }
}

#[test]
fn each_panel_says_what_it_shows_and_the_first_row_is_single_numbers() {
    let objects = objects();
    let dashboard = objects.iter().find_map(|object| object["data"]["meshcache.json"].as_str()).unwrap();
    let dashboard: Value = serde_json::from_str(dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        assert!(panel["description"].as_str().is_some_and(|text| text.ends_with('.')), "{title}");
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title}");
        assert_eq!(panel["type"] == "stat", panel["gridPos"]["y"] == 0, "{title}");
        // Where it leads is there.
        let url = panel["links"][0]["url"].as_str().unwrap();
        let page = url.rsplit_once("/docs/").unwrap().1;
        let (page, anchor) = page.split_once('#').unwrap_or((page, ""));
        let text = std::fs::read_to_string(artifact::file(&format!("docs/{page}"))).unwrap();
        assert!(
            text.lines().any(|line| line.to_lowercase() == format!("## {anchor}")) || anchor.is_empty(),
            "{title}: {url}"
        );
    }
    assert!(panels.iter().filter(|panel| panel["type"] == "stat").count() >= 6);
}

#[test]
fn every_part_of_an_expression_is_looked_at() {
    let asked = Asked::read(
        r#"sum by (le) (rate(a_bucket{reason=~"b|c"}[5m])) / on (group) (d or min by (pod) (max_over_time(e[1h:5m])))"#,
    );
    let series: Vec<&str> = asked.series.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(series, ["a_bucket", "d", "e"]);
    assert_eq!((asked.series[0].1[0].name.as_str(), asked.series[0].1[0].value.as_str()), ("reason", "b|c"));
    assert_eq!(asked.labels, ["group", "le", "pod"]);
}

#[test]
fn proxies_that_are_missing_are_an_alert_as_soon_as_the_filter_is_attached() {
    let least = |values: &str| {
        let objects = chart::objects(&format!("{values}monitoring: {{prometheusRule: {{enabled: true}}}}\n")).unwrap();
        let rule = objects.iter().find(|object| object["kind"] == "PrometheusRule").unwrap();
        let mut rules = rule["spec"]["groups"][0]["rules"].as_array().unwrap().iter();
        let missing = rules.find(|rule| rule["alert"] == "MeshcacheProxiesMissing")?;
        missing["expr"].as_str().unwrap().rsplit_once("< ").map(|(_, least)| least.to_owned())
    };
    let attached = "groups: [{name: g, match: {service: s.n}, origin: {url: \"http://o\"}, callers: [\"*\"]}]\n\
        istio: {enabled: true, filter: native, attach: [{name: a, namespace: p, selector: {app: a}, groups: [g]}]}\n";
    assert_eq!((least(""), least(attached)), (None, Some("1".to_owned())));
}
