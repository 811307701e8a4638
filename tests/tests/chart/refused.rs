//! Values that are refused, and what the refusal says.

use meshcache_tests::chart;

use crate::GROUP;

#[test]
fn what_no_value_can_be_is_refused_by_name() {
    let wrong = [
        ("replica: 3", "replica"),
        ("image: {tagg: x}", "tagg"),
        ("istio: {atach: []}", "atach"),
        ("istio: {attach: [{naem: x, namespace: y}]}", "naem"),
        (
            "groups: [{name: g, match: {service: s.n}, origin: {url: \"http://o\"}, freshnes: {default: 1s}}]",
            "freshnes",
        ),
        (
            "groups: [{name: g, match: {service: s.n}, origin: {url: \"http://o\"}, freshness: {default: 1x}}]",
            "default",
        ),
        ("groups: [{name: g, match: {service: s.n}}]", "origin"),
        ("resources: {limits: {memory: lots}}", "/resources/limits/memory"),
        ("hooks: {resources: {limits: {cpu: much}}}", "/hooks/resources/limits/cpu"),
        ("service: {type: Headless}", "/service/type"),
        ("service: {port: eighty}", "/service/port"),
        ("identity: xfc", "identity"),
        ("groups: [{name: g, match: {sevice: s.n}, origin: {url: \"http://o\"}}]", "sevice"),
        ("groups: [{name: g, match: {}, origin: {url: \"http://o\"}}]", "match"),
        ("groups: [{name: g, match: {service: s.n, paths: [{prefx: /a}]}, origin: {url: \"http://o\"}}]", "prefx"),
        ("groups: [{name: g, match: {service: s.n}, origin: {url: \"http://o\", maxLoad: 1}}]", "maxLoad"),
        ("groups: [{name: g, match: {service: s.n}, origin: {url: \"http://o\"}, key: {header: [a]}}]", "header"),
        (
            "groups: [{name: g, match: {service: s.n}, origin: {url: \"http://o\"}, share: {authorisation: true}}]",
            "authorisation",
        ),
        ("envoyGateway: {targets: [{kind: Gatway, name: eg}]}", "kind"),
        ("fullnameOverride: 9lives", "fullnameOverride"),
        ("replicaCount: 0", "replicaCount"),
        // Istio compares principals without the scheme: with it nobody would be one. None at all would be everybody.
        (
            "istio: {authorizationPolicy: {clients: [\"spiffe://cluster.local/ns/p/sa/s\"]}}",
            "/istio/authorizationPolicy/clients/0",
        ),
        (
            "istio: {authorizationPolicy: {admins: [\"spiffe://cluster.local/ns/p/sa/s\"]}}",
            "/istio/authorizationPolicy/admins/0",
        ),
        ("istio: {authorizationPolicy: {clients: []}}", "clients"),
        ("istio: {authorizationPolicy: {clients: null}}", "clients"),
        // Two objects of one name, or two entries of one port.
        ("istio: {overrideHost: {namespaces: [a, a]}}", "/istio/overrideHost/namespaces"),
        ("istio: {attach: [{name: a, namespace: p, mode: CLIENT, ports: [8080, 8080]}]}", "/istio/attach/0/ports"),
    ];
    for (values, field) in wrong {
        let error = chart::objects(values).expect_err(values);
        assert!(error.contains(field), "{values}: {error}");
    }
}

/// A group that does not say who may have its answers.
fn open() -> String {
    GROUP.replace("  callers: [\"*\"]\n", "")
}

/// Each is refused, and says why.
fn refused(wrong: &[(String, &str)]) {
    for (values, why) in wrong {
        let error = chart::objects(values).expect_err(values);
        assert!(error.contains(why), "{values}: {error}");
    }
}

fn istio(groups: &str, entry: &str) -> String {
    format!("{groups}istio: {{enabled: true, attach: [{entry}]}}\n")
}

#[test]
fn a_filter_where_it_must_not_be_is_refused() {
    refused(&[
        (istio(GROUP, "{name: a, namespace: platform}"), "name its `groups`"),
        (istio(GROUP, "{name: a, namespace: platform, waypoint: w}"), "name its `groups`"),
        (istio(GROUP, "{name: a, namespace: platform, groups: [other]}"), "there is no group `other`"),
        (istio(GROUP, "{name: a, namespace: istio-system, mode: CLIENT}"), "every proxy of the mesh"),
        (istio(GROUP, "{name: a, namespace: mesh, mode: CLIENT}"), "the coordinators' own proxies"),
        (
            istio(
                GROUP,
                "{name: a, namespace: mesh, mode: CLIENT, selector: {app.kubernetes.io/component: coordinator}}",
            ),
            "the coordinators' own pods",
        ),
        (
            istio(
                &format!("{GROUP}podLabels: {{team: x}}\n"),
                "{name: a, namespace: mesh, mode: CLIENT, selector: {team: x}}",
            ),
            "the coordinators' own pods",
        ),
        (
            istio(GROUP, "{name: a, namespace: p, mode: CLIENT}, {name: a, namespace: p, mode: CLIENT}"),
            "two entries are p/a",
        ),
        (
            istio(GROUP, "{name: a, namespace: p, selector: {a: b}, gateway: g}"),
            "one of selector, gateway and waypoint",
        ),
        (istio(GROUP, "{name: a, namespace: p, gateway: g, mode: SERVER}"), "has no `mode`"),
        (
            istio(GROUP, "{name: a, namespace: p, gateway: g, groups: [config-server]}"),
            "istio.attach p/a: write `routes`",
        ),
        (istio(GROUP, "{name: a, namespace: p, mode: CLIENT, hotBytesPerWorker: 1GiB}"), "at most 512MiB"),
    ]);
    chart::objects(&istio(GROUP, "{name: a, namespace: mesh, mode: CLIENT, selector: {app: other}}")).unwrap();
}

#[test]
fn in_a_mesh_and_in_a_gateway_a_group_says_who_may_have_its_answers() {
    let closed = |more: &str| {
        format!(
            "{}istio: {{enabled: true, authorizationPolicy: {{clients: [cluster.local/ns/p/sa/s]}}, attach: [{more}]}}\n",
            open()
        )
    };
    let asked_by =
        |clients: &str| format!("{}istio: {{enabled: true, authorizationPolicy: {{clients: [{clients}]}}}}\n", open());
    let by_itself = "existingConfigMap: mine\n";
    let said = "write the `callers` of group `config-server`";
    refused(&[
        // Whoever has an identity could ask a coordinator, which the service lets in.
        (istio(&open(), ""), said),
        (istio(&open(), "{name: a, namespace: platform, groups: [config-server]}"), said),
        (format!("{}istio: {{enabled: true, authorizationPolicy: {{enabled: false, clients: [x]}}}}\n", open()), said),
        // Each of two that may ask could ask for what the other's service gives nobody else; and a pattern may be any
        // number of them.
        (asked_by("cluster.local/ns/p/sa/s, cluster.local/ns/p/sa/t"), said),
        (asked_by("cluster.local/*"), said),
        (asked_by("\"*/sa/s\""), said),
        // The service does not see what callers' proxies and gateways answer.
        (closed("{name: a, namespace: clients, mode: CLIENT}"), said),
        (closed("{name: a, namespace: gateways, routes: plain, gateway: g}"), said),
        (closed("{name: a, namespace: gateways, routes: plain, gateway: g, groups: [config-server]}"), said),
        (crate::gateway::values("patchPolicy: true, gateway: eg").replace("  callers: [\"*\"]\n", ""), said),
        (istio(by_itself, ""), "then set callersAreWritten"),
        (istio(by_itself, "{name: a, namespace: gateways, routes: plain, gateway: g}"), "then set callersAreWritten"),
    ]);
    // Where one alone may ask, all groups are its own.
    chart::objects(&asked_by("cluster.local/ns/p/sa/s, cluster.local/ns/p/sa/s")).unwrap();
    chart::objects(&closed("{name: a, namespace: platform, groups: [config-server]}")).unwrap();
    chart::objects(&closed("{name: a, namespace: platform, waypoint: w, groups: [config-server]}")).unwrap();
    chart::objects(&istio(
        &format!("{by_itself}callersAreWritten: true\n"),
        "{name: a, namespace: gateways, routes: plain, gateway: g}",
    ))
    .unwrap();
}

#[test]
fn what_coordinators_would_refuse_at_their_start_is_refused_before() {
    let callers = GROUP.replace("[\"*\"]", "[\"spiffe://*/ns/a/sa/*\"]");
    let twice = format!("{GROUP}{}", GROUP.trim_start().trim_start_matches("groups:\n"));
    let fills = format!("{GROUP}  fill: proxy\n  fillers: [\"spiffe://d/ns/shop/sa/web\"]\n");
    refused(&[
        (callers.clone(), "set identity: xfcc"),
        (fills, "`fillers` of group `config-server`"),
        (twice, "two are named `config-server`"),
        (format!("{GROUP}existingConfigMap: mine\n"), "write only one of them"),
        ("storeBytes: 900MiB\n".into(), "storeBytes 900MiB does not fit into resources.limits.memory 1Gi"),
        ("resources: {requests: {memory: 1G}}\nstoreBytes: 858993459\n".into(), "does not fit"),
        // The names of older releases.
        ("replicas: 3\n".into(), "replicas: this value is replicaCount now"),
        ("memory: 2Gi\n".into(), "memory: this value is resources.limits.memory now"),
        ("cpu: 1\n".into(), "cpu: this value is resources.requests.cpu now"),
        (
            "autoscaling: {enabled: true, minReplicas: 4, maxReplicas: 3}\n".into(),
            "minReplicas 4 is more than maxReplicas 3",
        ),
    ]);
    chart::objects(&format!("{callers}identity: xfcc\nresources: {{limits: {{memory: 1.5Gi}}}}\nstoreBytes: 1GiB\n"))
        .unwrap();
}
