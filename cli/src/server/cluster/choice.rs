//! Which Pods are asked. Pure: Pods in, a choice out.

use k8s_openapi::api::core::v1::{Container, Pod};
use std::collections::BTreeSet;

/// The port of administrators where the Pod names none.
const PORT: u16 = 8081;

/// The coordinators of one release.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) release: String,
    /// The names of those that are ready.
    pub(super) pods: Vec<String>,
    /// Their admin port.
    pub(super) port: u16,
    /// The Secret with its tokens; none: the Pods mount none.
    pub(super) secret: Option<String>,
}

/// Chooses a release and its ready coordinators. The error is what follows a namespace's name.
pub(super) fn choose(pods: &[Pod], release: Option<&str>) -> Result<Choice, String> {
    let ours = || pods.iter().filter(|pod| is_ours(pod));
    let releases: BTreeSet<&str> = ours().filter_map(|pod| label(pod, "app.kubernetes.io/instance")).collect();
    let all = releases.iter().copied().collect::<Vec<_>>().join(", ");
    let release = match (release, releases.first()) {
        (_, None) => {
            return Err(
                "there is no coordinator of meshcache: -n NAMESPACE or --context CONTEXT names another place".into()
            );
        }
        (Some(asked), Some(_)) if !releases.contains(asked) => {
            return Err(format!("there is no release {asked}: --release names one of: {all}"));
        }
        (Some(asked), Some(_)) => asked,
        (None, Some(_)) if releases.len() > 1 => {
            return Err(format!("there are several releases: --release names one of: {all}"));
        }
        (None, Some(only)) => only,
    };
    let of_release: Vec<&Pod> =
        ours().filter(|pod| label(pod, "app.kubernetes.io/instance") == Some(release)).collect();
    let mut ready: Vec<&Pod> = of_release.iter().copied().filter(|pod| is_ready(pod)).collect();
    ready.sort_by_key(|pod| pod.metadata.name.clone());
    let Some(first) = ready.first() else {
        return Err(format!(
            "none of the {} coordinators of release {release} is ready: kubectl get pods -l app.kubernetes.io/instance={release} shows them",
            of_release.len()
        ));
    };
    if containers(first).any(|container| container.args.iter().flatten().any(|one| one.starts_with("--tls-cert"))) {
        return Err(format!(
            "the admin port of release {release} speaks TLS: kubectl port-forward {} {PORT}, then --admin https://NAME:{PORT} --ca FILE with a name of its certificate that leads here",
            name(first)
        ));
    }
    let port = containers(first)
        .flat_map(|container| container.ports.iter().flatten())
        .find(|port| port.name.as_deref() == Some("http-admin"))
        .and_then(|port| u16::try_from(port.container_port).ok());
    Ok(Choice {
        release: release.to_owned(),
        pods: ready.iter().map(|pod| name(pod)).collect(),
        port: port.unwrap_or(PORT),
        secret: secret(first),
    })
}

/// Other charts have components of that name, too.
fn is_ours(pod: &Pod) -> bool {
    label(pod, "helm.sh/chart").is_some_and(|chart| chart.starts_with("meshcache-"))
        || label(pod, "app.kubernetes.io/name") == Some("meshcache")
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = || pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    pod.metadata.deletion_timestamp.is_none()
        && conditions().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The Secret that is mounted as the chart mounts it, by whatever name.
fn secret(pod: &Pod) -> Option<String> {
    let volumes = pod.spec.as_ref()?.volumes.as_deref()?;
    volumes.iter().find(|volume| volume.name == "tokens")?.secret.as_ref()?.secret_name.clone()
}

fn containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    pod.spec.iter().flat_map(|spec| &spec.containers)
}

fn label<'a>(pod: &'a Pod, name: &str) -> Option<&'a str> {
    pod.metadata.labels.as_ref()?.get(name).map(String::as_str)
}

fn name(pod: &Pod) -> String {
    pod.metadata.name.clone().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, release: &str, ready: &str) -> Pod {
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": {
                "app.kubernetes.io/name": "meshcache", "app.kubernetes.io/instance": release,
                "app.kubernetes.io/component": "coordinator", "helm.sh/chart": "meshcache-0.1.0"}},
            "spec": {
                "containers": [{"name": "coordinator", "args": ["--name=$(POD_NAME)"], "ports": [
                    {"name": "http2", "containerPort": 8080}, {"name": "http-admin", "containerPort": 9081}]}],
                "volumes": [{"name": "tokens", "secret": {"secretName": "my-tokens"}}]},
            "status": {"conditions": [{"type": "Ready", "status": ready}]},
        }))
        .unwrap()
    }

    #[test]
    fn the_ready_coordinators_of_the_only_release_are_asked_at_the_port_that_they_name() {
        let mut foreign = pod("x-0", "x", "True");
        let labels = foreign.metadata.labels.as_mut().unwrap();
        labels.insert("app.kubernetes.io/name".into(), "cassandra".into());
        labels.insert("helm.sh/chart".into(), "cassandra-1".into());
        let pods = [pod("m-1", "m", "True"), pod("m-2", "m", "False"), pod("m-0", "m", "True"), foreign];
        let choice = choose(&pods, None).unwrap();
        assert_eq!(
            choice,
            Choice {
                release: "m".into(),
                pods: vec!["m-0".into(), "m-1".into()],
                port: 9081,
                secret: Some("my-tokens".into())
            }
        );
        assert_eq!(choose(&pods, Some("m")), Ok(choice));
    }

    #[test]
    fn what_cannot_be_chosen_is_said_with_what_to_do() {
        let two = [pod("m-0", "m", "True"), pod("n-0", "n", "True")];
        let mut tls = pod("t-0", "t", "True");
        tls.spec.as_mut().unwrap().containers[0].args = Some(vec!["--tls-cert=/c".into()]);
        for (pods, release, part) in [
            (&[][..], None, "there is no coordinator of meshcache: -n NAMESPACE"),
            (&two[..], None, "there are several releases: --release names one of: m, n"),
            (&two[..], Some("o"), "there is no release o: --release names one of: m, n"),
            (&[pod("m-0", "m", "False")][..], None, "none of the 1 coordinators of release m is ready"),
            (&[tls][..], None, "speaks TLS"),
        ] {
            let why = choose(pods, release).unwrap_err();
            assert!(why.contains(part), "{why}");
        }
        assert_eq!(choose(&two, Some("n")).unwrap().pods, ["n-0"]);
    }
}
