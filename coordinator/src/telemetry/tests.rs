//! The page of metrics.

use crate::telemetry::metrics::Metrics;
use meshcache_protocol::Reason;
use std::sync::Arc;

#[test]
fn a_groups_metrics_are_resolved_once() {
    let metrics = Metrics::new().unwrap();
    assert!(Arc::ptr_eq(&metrics.group("g"), &metrics.group("g")));
    metrics.group("g").gets.inc();
    metrics.group("g").count_response("hit");
    metrics.group("g").count_response("hit");
    metrics.group("g").count_request("pass", Reason::Private);
    let page = String::from_utf8(metrics.page().unwrap()).unwrap();
    for line in [
        r#"groupcache_gets_total{group="g"} 1"#,
        r#"meshcache_requests_total{group="g",outcome="hit",reason=""} 2"#,
        r#"meshcache_requests_total{group="g",outcome="pass",reason="private"} 1"#,
    ] {
        assert!(page.contains(line), "{line} in\n{page}");
    }
}

#[test]
fn only_the_configuration_in_use_is_shown() {
    let metrics = Metrics::new().unwrap();
    metrics.set_config("0123");
    metrics.set_config("4567");
    let page = String::from_utf8(metrics.page().unwrap()).unwrap();
    assert!(page.contains(r#"meshcache_config_info{digest="4567"} 1"#) && !page.contains("0123"), "{page}");
}
