//! How many coordinators there are when the chart does not decide it.

use std::collections::BTreeSet;

use meshcache_tests::{Origin, Reply, chart};
use serde_json::{Value, json};

use crate::of_kind;

const AUTOSCALING: &str = "autoscaling: {enabled: true, maxReplicas: 5}\n";

#[test]
fn the_autoscaler_looks_at_the_coordinator_and_not_at_its_sidecar() {
    let objects = chart::objects(AUTOSCALING).unwrap();
    let scaler = &of_kind(&objects, "HorizontalPodAutoscaler")[0]["spec"];
    assert_eq!(
        (&scaler["scaleTargetRef"]["kind"], &scaler["minReplicas"], &scaler["maxReplicas"]),
        (&"StatefulSet".into(), &3.into(), &5.into())
    );
    assert_eq!(
        (&scaler["metrics"][0]["containerResource"]["container"], scaler["metrics"].as_array().unwrap().len()),
        (&"coordinator".into(), 1)
    );
}

/// An object as an API server answers.
pub(crate) fn answer(object: &Value) -> Reply {
    Reply::ok(object.to_string()).header("content-type", "application/json")
}

/// An API server that has every kind that the chart renders with these values, and these kinds (version, kind).
pub(crate) async fn api(values: &str, more: &[(&str, &str)]) -> Origin {
    let api = Origin::start().await;
    let json = |body: Value| answer(&body);
    let objects = chart::objects(values).unwrap();
    let rendered =
        objects.iter().map(|object| (object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap()));
    let kinds: BTreeSet<(&str, &str)> = rendered.chain(more.iter().copied()).collect();
    let versions: BTreeSet<&str> = kinds.iter().map(|(version, _)| *version).collect();
    let mut groups = Vec::new();
    for version in versions {
        let resource = |kind: &str| json!({"name": format!("{}s", kind.to_lowercase()), "namespaced": true, "kind": kind, "verbs": ["get"]});
        let resources: Vec<Value> =
            kinds.iter().filter(|(of, _)| *of == version).map(|(_, kind)| resource(kind)).collect();
        let list = json!({"kind": "APIResourceList", "groupVersion": version, "resources": resources});
        let group = version.split_once('/');
        api.always(&format!("/{}/{version}", if group.is_some() { "apis" } else { "api" }), json(list));
        groups.extend(
            group.map(|(name, short)| json!({"name": name, "versions": [{"groupVersion": version, "version": short}]})),
        );
    }
    api.always("/version", json(json!({"major": "1", "minor": "36", "gitVersion": "v1.36.0"})));
    api.always("/api", json(json!({"kind": "APIVersions", "versions": ["v1"]})));
    api.always("/apis", json(json!({"kind": "APIGroupList", "groups": groups})));
    api
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_stay_as_there_are_when_the_autoscaler_takes_over_and_from_then_on_it_alone_decides() {
    let replicas = |objects: &[Value]| of_kind(objects, "StatefulSet")[0]["spec"]["replicas"].clone();
    // Who applies the whole, and whether the number of pods is its own.
    let owner = |who: &str, replicas: bool| {
        let mut spec = json!({"f:template": {}});
        if replicas {
            spec["f:replicas"] = json!({});
        }
        json!({"manager": "helm", "operation": who, "fieldsV1": {"f:spec": spec}})
    };
    let scaler = json!({"manager": "kube-controller-manager", "operation": "Update", "subresource": "scale", "fieldsV1": {"f:spec": {"f:replicas": {}}}});
    let status = json!({"manager": "kube-controller-manager", "operation": "Update", "subresource": "status", "fieldsV1": {"f:status": {}}});
    for (fields, expected) in [
        // Left out, what helm has written would become the default: one.
        (json!([owner("Apply", true), status]), json!(7)),
        // Written, it would be a conflict as soon as the autoscaler changes it again.
        (json!([owner("Apply", false), scaler, status]), Value::Null),
        // Helm 3 takes away what it does not write any more, whosever it is.
        (json!([owner("Update", true), status]), json!(7)),
        (json!([owner("Update", false), scaler, status]), json!(7)),
    ] {
        let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "cache-meshcache", "managedFields": fields}, "spec": {"replicas": 7}});
        let api = api(AUTOSCALING, &[]).await;
        api.always("/apis/apps/v1/namespaces/mesh/statefulsets/cache-meshcache", answer(&set));
        assert_eq!(replicas(&chart::upgraded(&api.url(), AUTOSCALING).unwrap()), expected, "{fields}");
        assert_eq!(replicas(&chart::upgraded(&api.url(), "").unwrap()), 3);
    }
    // There is nothing to look it up in for what renders and applies by itself, and nothing to keep for an install.
    for more in [&[][..], &["--is-upgrade"]] {
        assert_eq!(replicas(&chart::release("cache", "mesh", more, AUTOSCALING).unwrap()), Value::Null);
    }
}
