//! Names: of any release in any namespace, and of several in one cluster.

use std::collections::BTreeSet;

use meshcache_tests::chart;
use serde_json::Value;

use crate::{ATTACH, GROUP, hook, of_kind};

/// Everything that can be turned on at once.
fn all() -> String {
    format!(
        "{GROUP}service: {{admin: true}}\nautoscaling: {{enabled: true}}\nnetworkPolicy: {{enabled: true}}\nistio:\n  enabled: true\n{ATTACH}"
    )
}

fn release(name: &str, namespace: &str, values: &str) -> Vec<Value> {
    chart::release(name, namespace, &["--is-upgrade"], values).unwrap_or_else(|error| panic!("{error}\n{values}"))
}

#[test]
fn names_fit_whatever_the_release_is_called() {
    let long = "a".repeat(53);
    for (name, full) in [
        ("meshcache", "meshcache"),
        ("my-meshcache-2", "my-meshcache-2"),
        ("cache", "cache-meshcache"),
        ("team.cache", "team-cache-meshcache"),
        (long.as_str(), &long[..48]),
    ] {
        let objects = release(name, "mesh", &all());
        assert_eq!(of_kind(&objects, "StatefulSet")[0]["metadata"]["name"], full);
        for object in &objects {
            let (kind, name) = (&object["kind"], object["metadata"]["name"].as_str().unwrap());
            // The names of Jobs and Services are labels, too.
            assert!(name.len() <= 63, "{kind} {name}");
            assert!(
                kind != "Service" || name.starts_with(|c: char| c.is_ascii_lowercase()) && !name.contains('.'),
                "{name}"
            );
        }
    }
    assert!(chart::release("2cache", "mesh", &[], "").unwrap_err().contains("set fullnameOverride"));
    let own = release("2cache", "mesh", "fullnameOverride: everything\n");
    assert_eq!(of_kind(&own, "StatefulSet")[0]["metadata"]["name"], "everything");
    let own = release("cache", "mesh", "nameOverride: other\n");
    assert_eq!(of_kind(&own, "StatefulSet")[0]["metadata"]["name"], "cache-other");
}

#[test]
fn a_name_of_digits_is_a_name() {
    let attach = "attach: [{name: \"5\", namespace: \"6\", mode: CLIENT}]";
    let more = "fullnameOverride: c\nnameOverride: \"3\"\nserviceAccount: {name: \"4\"}\nimagePullSecrets: [{name: \"7\"}]\npriorityClassName: \"8\"\n";
    for module in ["", ", module: {url: \"oci://r/f\", pullSecret: \"9\"}"] {
        let objects = release("1", "2", &format!("{GROUP}{more}istio: {{enabled: true, {attach}{module}}}\n"));
        // Only these are numbers in what is rendered here.
        let numbers = [
            "port",
            "Port",
            "weight",
            "number",
            "replicas",
            "Seconds",
            "Threshold",
            "Limit",
            "maxSkew",
            "maxUnavailable",
            "defaultMode",
            "runAs",
            "fsGroup",
        ];
        fn wrong<'a>(value: &'a Value, at: &str, may: &dyn Fn(&str) -> bool, all: &mut Vec<(String, &'a Value)>) {
            match value {
                Value::Object(fields) => fields.iter().for_each(|(name, value)| wrong(value, name, may, all)),
                Value::Array(items) => items.iter().for_each(|value| wrong(value, at, may, all)),
                Value::Number(_) if !may(at) => all.push((at.to_owned(), value)),
                _ => {}
            }
        }
        let mut all = Vec::new();
        objects
            .iter()
            .for_each(|object| wrong(object, "", &|at| numbers.iter().any(|name| at.contains(name)), &mut all));
        assert!(all.is_empty(), "{all:?}");
    }
}

/// What an API server tells objects apart by.
fn places(objects: &[Value]) -> BTreeSet<String> {
    let place = |object: &Value| {
        format!("{} {}/{}", object["kind"], object["metadata"]["namespace"], object["metadata"]["name"])
    };
    objects.iter().map(place).collect()
}

#[test]
fn two_releases_live_in_one_cluster_under_one_name_and_in_one_namespace() {
    let (one, other, beside) =
        (release("cache", "one", &all()), release("cache", "other", &all()), release("second", "one", &all()));
    for objects in [&other, &beside] {
        let both: Vec<String> = places(&one).intersection(&places(objects)).cloned().collect();
        assert!(both.is_empty(), "{both:?}");
    }
    // Nobody's Service or policy takes the other's pods.
    let selector = |objects: &[Value]| of_kind(objects, "Service")[0]["spec"]["selector"].clone();
    assert_ne!(selector(&one), selector(&beside));
}

#[test]
fn coordinators_and_what_hooks_run_are_never_taken_for_each_other() {
    let objects = release("cache", "mesh", &all());
    let wanted = of_kind(&objects, "Service")[0]["spec"]["selector"].as_object().unwrap().clone();
    let fits = |labels: &Value| wanted.iter().all(|(name, value)| &labels[name] == value);
    assert!(fits(&of_kind(&objects, "StatefulSet")[0]["spec"]["template"]["metadata"]["labels"]));
    let jobs = of_kind(&objects, "Job");
    assert!(jobs.len() >= 5);
    for job in jobs {
        assert!(!fits(&job["spec"]["template"]["metadata"]["labels"]), "{} {job:#}", hook(job));
    }
    assert!(!fits(&of_kind(&objects, "Pod")[0]["metadata"]["labels"]));
}
