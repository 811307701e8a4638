//! The headers of callouts.

use super::*;

#[test]
fn a_callout_is_the_clients_own_request_and_what_the_owner_needs_to_know() {
    let mut proxy = Proxy::new("{}");
    let Happened::CallOut(callout) = proxy.request(
        "GET",
        "/x?y",
        &[
            ("accept", "a"),
            ("x-envoy-retry-on", "5xx"),
            ("te", "trailers"),
            ("meshcache-hop", "1"),
            ("traceparent", "t"),
        ],
    ) else {
        panic!()
    };
    let snapshot = proxy.worker.snapshot().unwrap().clone();
    let lookup = proxy.worker.lookups.get(callout.lookup).unwrap();
    let headers =
        callout::compose(lookup, &snapshot, &MarkedPosition { position: "p".into(), marks: "m".into() }, None).unwrap();
    let get = |wanted: &str| {
        headers
            .iter()
            .filter(|(name, _)| *name == wanted)
            .map(|(_, value)| value.to_string())
            .collect::<Vec<_>>()
            .join("|")
    };
    for (name, value) in [
        (":method", "GET"),
        (":path", "/x?y"),
        (":authority", "h"),
        (":scheme", "http"),
        ("accept", "a"),
        ("traceparent", "t"),
        ("x-envoy-retry-on", ""),
        ("te", ""),
        ("meshcache-hop", ""),
        (
            "meshcache-wire",
            &format!(
                "1; group=g; namespace=ns; rules={}; purge=p; marks=m; ring={:016x}; patience=100; leave",
                lookup.request.group.digest(),
                snapshot.ring.version()
            ),
        ),
        ("meshcache-scheme", "http"),
        ("meshcache-peer", &lookup.peer.address),
    ] {
        assert_eq!(get(name), value, "{name}");
    }
}

#[test]
fn the_flight_that_an_owner_names_goes_back_to_it_and_to_no_other_peer() {
    let mut proxy = Proxy::new("{}");
    let lookup = proxy.look_up("/x");
    assert_eq!((said(&proxy, lookup).patience, said(&proxy, lookup).flight), (100, 0), "the first answer is due soon");
    proxy.now = 100;
    proxy.respond(lookup, "loading; flight=7", &[], "");
    assert_eq!(
        (said(&proxy, lookup).patience, said(&proxy, lookup).flight, said(&proxy, lookup).waited),
        (750, 7, 100)
    );
    proxy.respond(lookup, "loading; flight=9", &[], "");
    assert_eq!(said(&proxy, lookup).flight, 9);
    proxy.respond_with(lookup, None);
    assert_eq!((said(&proxy, lookup).patience, said(&proxy, lookup).flight), (100, 0), "another peer");
}

#[test]
fn the_route_is_in_the_key_and_in_the_callout_where_the_group_says_so() {
    let key_and_route = |group: &str, cluster: &'static str| {
        let mut proxy = Proxy::new(group);
        proxy.cluster = Some(cluster);
        let lookup = proxy.look_up("/x");
        let snapshot = proxy.worker.snapshot().unwrap().clone();
        let lookup = proxy.worker.lookups.get(lookup).unwrap();
        let headers = callout::compose(lookup, &snapshot, &MarkedPosition::default(), None).unwrap();
        let route = headers.iter().find(|(name, _)| *name == wire::header::ROUTE).map(|(_, value)| value.to_string());
        (lookup.request.key.clone(), route)
    };
    let (stable, route) = key_and_route(r#"{"key": {"route": true}}"#, "v1");
    assert_eq!(route.as_deref(), Some("v1 a%20route"));
    let (canary, _) = key_and_route(r#"{"key": {"route": true}}"#, "v2");
    assert_ne!(stable, canary);
    let (plain, none) = key_and_route("{}", "v1");
    assert_eq!((key_and_route("{}", "v2"), none), ((plain, None), None));
    // The owner's key for that callout.
    let group = snapshot(r#"{"key": {"route": true}}"#).groups.named("g").unwrap().clone();
    let request = Request::read(b"GET", b"http", b"h", b"/x", &[]).unwrap();
    assert_eq!(Key::of(&group, &request, route.as_deref().map(str::as_bytes)), stable);
}
