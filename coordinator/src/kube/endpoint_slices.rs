//! Merges a Service's EndpointSlices into peers. What cannot be a peer is a named problem.

use crate::kube::view::{Fault, Problem, Source, View};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use meshcache_protocol::Peer;
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

/// The name of the data port in the Service.
const DATA_PORT: &str = "http2";
/// The name of the peer port in the Service.
const PEER_PORT: &str = "tcp-peer";

/// The slices of one Service.
pub(super) struct Slices;

impl Source for Slices {
    type Object = EndpointSlice;
    const RESOURCE: &'static str = "endpointslices.discovery.k8s.io";

    fn view<'a>(&self, slices: impl Iterator<Item = &'a EndpointSlice>) -> View {
        view(slices)
    }
}

/// The address of a Pod, ordered by preference. Coordinators that see the same slices choose the same address, in
/// whatever order they saw them, so that their rings agree.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct PodAddress {
    v4: bool,
    address: IpAddr,
    data: u16,
    peer: u16,
}

/// Merges all slices of a Service, in any order.
fn view<'a>(slices: impl IntoIterator<Item = &'a EndpointSlice>) -> View {
    let mut pods: BTreeMap<&str, PodAddress> = BTreeMap::new();
    let mut problems = Vec::new();
    for slice in slices {
        let name = slice.metadata.name.as_deref().unwrap_or_default();
        let mut problem = |fault, about: &str| {
            problems.push(Problem { fault, place: format!("EndpointSlice {name}"), about: about.to_owned() })
        };
        let ready: Vec<&Endpoint> =
            slice.endpoints.iter().filter(|endpoint| is_ready(endpoint.conditions.as_ref())).collect();
        // A Service without endpoints has a placeholder without ports. That is no problem: nothing is left out.
        if ready.is_empty() {
            continue;
        }
        let ports = slice.ports.as_deref().unwrap_or_default();
        let (data, peer) = (port(ports, DATA_PORT), port(ports, PEER_PORT));
        let missing = [(data, DATA_PORT), (peer, PEER_PORT)].into_iter().filter(|(port, _)| port.is_none());
        missing.for_each(|(_, name)| problem(Fault::NoPort, name));
        let (Some(data), Some(peer)) = (data, peer) else { continue };
        for endpoint in ready {
            let target = endpoint.target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod"));
            let pod = target.and_then(|target| target.name.as_deref()).filter(|name| !name.is_empty());
            // Only the first address counts, as the API says of the list.
            let address = endpoint.addresses.first().map(String::as_str);
            match (pod, address, address.map(str::parse)) {
                (None, address, _) => problem(Fault::NoTarget, address.unwrap_or("without an address")),
                (Some(pod), None, _) => problem(Fault::NoAddress, &format!("the endpoint of Pod {pod}")),
                (Some(_), Some(text), Some(Err(_)) | None) => problem(Fault::BadAddress, text),
                (Some(pod), Some(_), Some(Ok(address))) => {
                    let candidate = PodAddress { v4: IpAddr::is_ipv4(&address), address, data, peer };
                    if pods.get(pod).is_none_or(|known| candidate < *known) {
                        pods.insert(pod, candidate);
                    }
                }
            }
        }
    }
    problems.sort();
    problems.dedup();
    View { ready: pods.iter().map(|(pod, address)| address.peer(pod)).collect(), problems, ..View::default() }
}

impl PodAddress {
    fn peer(&self, pod: &str) -> Peer {
        let at = |port| SocketAddr::new(self.address, port).to_string();
        Peer { name: pod.to_owned(), data: at(self.data), peer: at(self.peer) }
    }
}

/// Whether an endpoint is ready. A missing condition means ready, as the API has it. A Service with
/// publishNotReadyAddresses calls all ready, terminating ones included: `terminating` tells these apart. They own no
/// keys; peers that know them ask them for the entries that they still have.
pub(super) fn is_ready(conditions: Option<&EndpointConditions>) -> bool {
    conditions.and_then(|c| c.ready).unwrap_or(true) && !conditions.and_then(|c| c.terminating).unwrap_or(false)
}

/// The number of a TCP port by its name.
pub(super) fn port(ports: &[EndpointPort], name: &str) -> Option<u16> {
    let tcp = |port: &&EndpointPort| port.protocol.as_deref().unwrap_or("TCP") == "TCP";
    let port = ports.iter().filter(tcp).find(|port| port.name.as_deref() == Some(name))?;
    u16::try_from(port.port?).ok().filter(|port| *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn slice(name: &str, family: &str, endpoints: Value) -> EndpointSlice {
        serde_json::from_value(json!({
            "metadata": {"name": name}, "addressType": family, "endpoints": endpoints,
            "ports": [{"name": "http-status", "port": 8082, "protocol": "TCP"}, {"name": DATA_PORT, "port": 8080, "protocol": "TCP"}, {"name": PEER_PORT, "port": 8083}],
        }))
        .unwrap()
    }

    fn pod(name: &str, address: &str, conditions: Value) -> Value {
        json!({"addresses": [address], "conditions": conditions, "targetRef": {"kind": "Pod", "name": name}})
    }

    fn ready() -> Value {
        json!({"ready": true, "serving": true, "terminating": false})
    }

    fn lines(peers: &[Peer]) -> Vec<String> {
        peers.iter().map(|p| format!("{} {} {}", p.name, p.data, p.peer)).collect()
    }

    #[test]
    fn slices_merge_whatever_their_order_and_a_pod_counts_once() {
        let one = slice("s-1", "IPv4", json!([pod("c-1", "10.0.0.2", ready()), pod("c-0", "10.0.0.1", ready())]));
        let two = slice("s-2", "IPv4", json!([pod("c-2", "10.0.0.3", ready()), pod("c-0", "10.0.0.1", ready())]));
        let seen = view([&one, &two]);
        assert_eq!(
            lines(&seen.ready),
            ["c-0 10.0.0.1:8080 10.0.0.1:8083", "c-1 10.0.0.2:8080 10.0.0.2:8083", "c-2 10.0.0.3:8080 10.0.0.3:8083"]
        );
        assert_eq!(seen, view([&two, &one]));
        assert!(seen.problems.is_empty());
    }

    #[test]
    fn of_two_families_ipv6_comes_first() {
        let four = slice("s-4", "IPv4", json!([pod("c-0", "10.0.0.1", ready()), pod("c-1", "10.0.0.2", ready())]));
        let six = slice("s-6", "IPv6", json!([pod("c-0", "fd00::1", ready())]));
        assert_eq!(
            lines(&view([&four, &six]).ready),
            ["c-0 [fd00::1]:8080 [fd00::1]:8083", "c-1 10.0.0.2:8080 10.0.0.2:8083"]
        );
    }

    #[test]
    fn endpoints_that_are_not_ready_or_terminate_are_left_out() {
        let seen = view([&slice(
            "s",
            "IPv4",
            json!([
                pod("starting", "10.0.0.1", json!({"ready": false, "serving": false, "terminating": false})),
                pod("leaving", "10.0.0.2", json!({"ready": false, "serving": true, "terminating": true})),
                pod("gone", "10.0.0.3", json!({"ready": false, "serving": false, "terminating": true})),
                pod("published", "10.0.0.4", json!({"ready": true, "serving": true, "terminating": true})),
                pod("silent", "10.0.0.5", json!({})),
                {"addresses": ["10.0.0.6"], "targetRef": {"kind": "Pod", "name": "quiet"}},
            ]),
        )]);
        let names = |peers: &[Peer]| peers.iter().map(|p| p.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&seen.ready), ["quiet", "silent"]);
    }

    #[test]
    fn a_pod_that_came_back_under_its_name_is_where_it_is_ready() {
        let old = slice(
            "a",
            "IPv6",
            json!([pod("c-0", "fd00::1", json!({"ready": false, "serving": true, "terminating": true}))]),
        );
        let new = slice("b", "IPv4", json!([pod("c-0", "10.0.0.9", ready())]));
        let seen = view([&old, &new]);
        assert_eq!(lines(&seen.ready), ["c-0 10.0.0.9:8080 10.0.0.9:8083"]);
    }

    #[test]
    fn what_cannot_be_a_peer_is_named_and_the_rest_is_the_ring() {
        let bad = slice(
            "s",
            "IPv4",
            json!([
                {"addresses": ["10.0.0.1"]},
                {"addresses": ["10.0.0.2"], "targetRef": {"kind": "Node", "name": "n"}},
                {"addresses": [], "targetRef": {"kind": "Pod", "name": "bare"}},
                {"addresses": null, "targetRef": {"kind": "Pod", "name": "null"}},
                {"addresses": []},
                pod("named", "cache.example", ready()),
                pod("good", "10.0.0.3", ready()),
            ]),
        );
        let mut portless = slice("t", "IPv4", json!([pod("other", "10.0.0.4", ready())]));
        portless.ports.as_mut().unwrap().retain(|port| port.name.as_deref() != Some(PEER_PORT));
        let seen = view([&bad, &portless]);
        assert_eq!(lines(&seen.ready), ["good 10.0.0.3:8080 10.0.0.3:8083"]);
        let lines: Vec<String> = seen.problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "EndpointSlice s: endpoint 10.0.0.1 names no Pod and is left out",
                "EndpointSlice s: endpoint 10.0.0.2 names no Pod and is left out",
                "EndpointSlice s: endpoint without an address names no Pod and is left out",
                "EndpointSlice s: the endpoint of Pod bare has no address and is left out",
                "EndpointSlice s: the endpoint of Pod null has no address and is left out",
                "EndpointSlice s: `cache.example` is no IP address and is left out",
                "EndpointSlice t has no TCP port named tcp-peer: its endpoints are left out",
            ]
        );
    }

    #[test]
    fn a_port_of_another_protocol_or_without_a_number_is_not_the_port() {
        for ports in [
            json!(null),
            json!([]),
            json!([{"name": DATA_PORT, "port": 1, "protocol": "UDP"}, {"name": PEER_PORT, "port": 2}]),
            json!([{"name": DATA_PORT}, {"name": PEER_PORT, "port": 2}]),
        ] {
            let mut one = slice("s", "IPv4", json!([pod("c", "10.0.0.1", ready())]));
            one.ports = serde_json::from_value(ports).unwrap();
            let seen = view([&one]);
            assert!(
                seen.ready.is_empty()
                    && seen.problems.iter().all(|p| p.fault == Fault::NoPort)
                    && !seen.problems.is_empty(),
                "{seen:?}"
            );
        }
    }

    #[test]
    fn the_placeholder_of_a_service_without_endpoints_is_no_problem() {
        let placeholder = serde_json::from_value(
            json!({"metadata": {"name": "s"}, "addressType": "IPv4", "endpoints": null, "ports": null}),
        )
        .unwrap();
        assert_eq!(view([&placeholder]), View::default());
        assert_eq!(view([]), View::default());
    }

    #[test]
    fn a_thousand_endpoints_in_ten_slices_are_one_ring() {
        let slices: Vec<EndpointSlice> = (0..10)
            .map(|s| {
                let endpoints: Vec<Value> = (0..100)
                    .map(|e| {
                        if e == 50 {
                            json!({"addresses": ["10.9.9.9"]})
                        } else {
                            pod(&format!("c-{s}-{e}"), &format!("10.0.{s}.{e}"), ready())
                        }
                    })
                    .collect();
                slice(&format!("s-{s}"), "IPv4", endpoints.into())
            })
            .collect();
        let seen = view(&slices);
        assert_eq!((seen.ready.len(), seen.problems.len()), (990, 10));
        assert_eq!(seen, view(slices.iter().rev()));
    }
}
