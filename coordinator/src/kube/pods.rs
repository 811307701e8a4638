//! Pods of a label as peers. All of them listen on the same port numbers.

use crate::kube::view::{Fault, Problem, Source, View};
use k8s_openapi::api::core::v1::Pod;
use meshcache_protocol::Peer;
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

/// What the Pods have in common with this one.
pub(super) struct Pods {
    /// This Pod's name.
    me: String,
    /// The number of the data port.
    data: u16,
    /// The number of the peer port.
    peer: u16,
    /// The Pods in words: labels and namespace.
    what: String,
}

impl Pods {
    /// Pods that listen on the port numbers of `me`.
    pub(super) fn like(me: &Peer, what: String) -> Self {
        let port = |at: &str| at.parse().map_or(0, |at: SocketAddr| at.port());
        Self { me: me.name.clone(), data: port(&me.data), peer: port(&me.peer), what }
    }
}

impl Source for Pods {
    type Object = Pod;
    const RESOURCE: &'static str = "pods";

    /// The ready Pods, and this one whether it is ready or not: it must not take itself for somebody else's.
    fn view<'a>(&self, pods: impl Iterator<Item = &'a Pod>) -> View {
        let (mut ready, mut runs, mut problems) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        let mut is_selected = false;
        for pod in pods {
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            let is_me = name == self.me;
            is_selected |= is_me;
            if !is_me && !is_ready(pod) {
                continue;
            }
            let mut problem = |fault, about: &str| {
                problems.push(Problem { fault, place: "Pods".into(), about: about.to_owned() });
            };
            // The first address, as the API says: with two families all see the same one.
            let address = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()).filter(|ip| !ip.is_empty());
            match address.map(|text| text.parse::<IpAddr>().map_err(|_| text)) {
                // While this Pod starts, it is known here before its address is known there.
                None if is_me => {}
                None => problem(Fault::NoAddress, name),
                Some(Err(text)) => problem(Fault::BadAddress, text),
                Some(Ok(ip)) => {
                    let at = |port| SocketAddr::new(ip, port).to_string();
                    let peer = Peer { name: name.to_owned(), data: at(self.data), peer: at(self.peer) };
                    ready.insert(name, peer);
                    runs.insert(name.to_owned(), run(pod));
                }
            }
        }
        if !is_selected {
            let place = format!("this Pod ({})", self.me);
            problems.push(Problem { fault: Fault::NotSelected, place, about: self.what.clone() });
        }
        problems.sort();
        View { ready: ready.into_values().collect(), problems, runs }
    }
}

/// Whether a Pod is ready, and not about to end.
fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    pod.metadata.deletion_timestamp.is_none()
        && conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// What tells a run of a Pod's containers from the one before: another image may have taken its place.
fn run(pod: &Pod) -> String {
    let containers = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let restarts: i64 = containers.map(|container| i64::from(container.restart_count)).sum();
    let address = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()).unwrap_or_default();
    format!("{} {restarts} {address}", pod.metadata.uid.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pods() -> Pods {
        let me = Peer { name: "me".into(), data: "0.0.0.0:8080".into(), peer: "[::]:5000".into() };
        Pods::like(&me, "the Pods with app=a in n".into())
    }

    fn pod(name: &str, address: Value, ready: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": name, "uid": format!("uid-{name}")},
            "status": {"podIP": address, "conditions": [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": ready}]},
        }))
        .unwrap()
    }

    fn lines(view: &View) -> Vec<String> {
        view.ready.iter().map(|p| format!("{} {} {}", p.name, p.data, p.peer)).collect()
    }

    #[test]
    fn ready_pods_are_candidates_whatever_their_order_and_this_one_always() {
        let all = [
            pod("z", json!("10.0.0.3"), "True"),
            pod("me", json!("10.0.0.1"), "False"),
            pod("six", json!("fd00::2"), "True"),
            pod("starting", json!("10.0.0.4"), "False"),
            pod("pending", json!(null), "False"),
        ];
        let seen = pods().view(all.iter());
        assert_eq!(
            lines(&seen),
            ["me 10.0.0.1:8080 10.0.0.1:5000", "six [fd00::2]:8080 [fd00::2]:5000", "z 10.0.0.3:8080 10.0.0.3:5000"]
        );
        assert_eq!(seen, pods().view(all.iter().rev()));
        assert!(seen.problems.is_empty());
    }

    #[test]
    fn a_pod_that_terminates_is_no_candidate_though_it_is_ready() {
        let mut leaving = pod("leaving", json!("10.0.0.2"), "True");
        leaving.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        assert_eq!(lines(&pods().view([leaving, pod("me", json!("10.0.0.1"), "True")].iter())).len(), 1);
    }

    #[test]
    fn what_cannot_be_a_peer_is_named_and_a_pod_that_others_do_not_find_too() {
        let seen = pods().view([pod("bare", json!(null), "True"), pod("odd", json!("nowhere"), "True")].iter());
        assert_eq!(
            seen.problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "Pods: bare has no address and is left out",
                "Pods: `nowhere` is no IP address and is left out",
                "this Pod (me) is not among the Pods with app=a in n: the others do not find it (see its labels, --name, --discovery-namespace)",
            ]
        );
        let own = pods().view([pod("me", json!(null), "False")].iter());
        assert!(own.ready.is_empty() && own.problems.is_empty(), "its address comes");
    }

    #[test]
    fn a_restart_and_a_new_pod_of_the_same_name_are_new_runs() {
        let first = pod("a", json!("10.0.0.1"), "True");
        let mut restarted = first.clone();
        restarted.status.as_mut().unwrap().container_statuses = serde_json::from_value(
            json!([{"name": "c", "image": "i", "imageID": "", "ready": true, "restartCount": 1}]),
        )
        .unwrap();
        let mut other = first.clone();
        other.metadata.uid = Some("other".into());
        let run = |pod: &Pod| pods().view([pod.clone()].iter()).runs["a"].clone();
        assert!(run(&first) == run(&first.clone()) && run(&first) != run(&restarted) && run(&first) != run(&other));
    }
}
