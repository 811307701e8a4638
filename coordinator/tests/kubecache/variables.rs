//! Variables that are wrong, and what is printed of those that are right.

use crate::{pod::program, support};
use std::process::Command;

#[test]
fn a_wrong_variable_is_one_line_and_status_2() {
    for (name, value) in
        [("RESTRICT_ROUTE_REGEXP", "[\"(\"]"), ("RESTRICT_METHOD", "GET"), ("BACKEND_URL", "x"), ("COMPUTE", "ecs")]
    {
        let ended = program(&[(name, value)]).output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(2), "{said}");
        assert!(said.starts_with(&format!("{name}: ")) && said.lines().count() == 1, "{said}");
    }
}

#[test]
fn what_print_prints_is_good_for_check_and_is_what_is_served() {
    let printed = program(&[("CACHE_TTL", "10s"), ("RESTRICT_METHOD", "[\"GET\"]")]).arg("--print").output().unwrap();
    assert!(printed.status.success(), "{printed:?}");
    let text = String::from_utf8(printed.stdout).unwrap();
    let (_folder, path) = support::file(&text);
    let checked =
        Command::new(env!("CARGO_BIN_EXE_meshcache-coordinator")).args(["check", "--config", &path]).output().unwrap();
    assert!(checked.status.success(), "{checked:?}\n{text}");
    assert!(text.contains("--listen [::]:8080") && text.contains("\"2xx\": 10s"), "{text}");
}

const PAGE: &str = include_str!("../../../docs/kubecache.md");

#[test]
fn the_page_shows_what_print_prints() {
    let (command, shown) = PAGE.split_once("$ env ").unwrap().1.split_once('\n').unwrap();
    let (shown, _) = shown.split_once("```").unwrap();
    let variables: Vec<(&str, &str)> = command.split(' ').filter_map(|word| word.split_once('=')).collect();
    assert!(command.ends_with(" meshcache-coordinator kubecache --print"), "{command}");
    let printed = program(&variables).arg("--print").output().unwrap();
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), shown, "{}", String::from_utf8_lossy(&printed.stderr));
}

#[test]
fn the_page_names_each_variable_of_kubecache() {
    for name in [
        "TRACE",
        "DEBUG_LOG",
        "LISTEN_ADDR",
        "BACKEND_URL",
        "RESTRICT_ROUTE_REGEXP",
        "RESTRICT_METHOD",
        "BACKEND_TIMEOUT",
        "CACHE_TTL",
        "CACHE_ERROR_TTL",
        "HEALTH_ADDR",
        "HEALTH_PATH",
        "METRICS_ADDR",
        "METRICS_PATH",
        "METRICS_NAMESPACE",
        "METRICS_BUCKETS_LATENCY_HTTP",
        "EMF_SEND_LOGS",
        "EMF_ENABLE",
        "PROMETHEUS_ENABLE",
        "DOGSTATSD_ENABLE",
        "DOGSTATSD_*",
        "GROUPCACHE_VERSION",
        "GROUPCACHE_PORT",
        "GROUPCACHE_SIZE_BYTES",
        "GROUPCACHE_DISABLE_PURGE_EXPIRED",
        "GROUPCACHE_EXPIRED_KEYS_EVICTION_INTERVAL",
        "KUBEGROUP_METRICS_NAMESPACE",
        "KUBEGROUP_DEBUG",
        "KUBEGROUP_LABEL_SELECTOR",
        "KUBEGROUP_FORCE_NAMESPACE_DEFAULT",
        "COMPUTE",
        "FORCE_SINGLE_TASK",
        "ECS_*",
        "SECRET_ROLE_ARN",
        "OTEL_*",
        "OTELCONFIG_EXPORTER",
        "AUTOMEMLIMIT*",
    ] {
        let is_there = PAGE.contains(&format!("`{name}`")) || PAGE.contains(&format!("`{name}="));
        assert!(is_there, "{name}");
    }
}
