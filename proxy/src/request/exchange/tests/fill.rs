//! The one request that fills while the others wait for what it brings.

use super::*;

const GRANTED: &str = "loading; flight=7; fill=000000000000000000000000000000ab";

fn asks_again(lookup: u32) -> Happened {
    Happened::CallOut(Callout { lookup, timeout: 10_000 })
}

fn filling() -> Proxy {
    let mut proxy = Proxy::new("{}");
    proxy.worker.fills = true;
    proxy
}

#[test]
fn the_lookups_own_request_fills_and_the_others_wait_for_it() {
    let mut proxy = filling();
    let lookup = proxy.look_up("/x");
    assert!(said(&proxy, lookup).fills);
    proxy.get("/x");
    let happened = proxy.respond(lookup, GRANTED, &[], "");
    assert_eq!(happened, [(1, Happened::Pass(Reason::Fill)), (2, asks_again(lookup))]);
    let again = said(&proxy, lookup);
    assert_eq!((again.flight, again.fills), (7, false), "what is asked is not their own request");
    assert_eq!(replied(&proxy.respond(lookup, SHARED, &[], "body"), "body"), [2]);
}

#[test]
fn a_grant_whose_client_has_left_is_nobodys() {
    let mut proxy = filling();
    let lookup = proxy.look_up("/x");
    proxy.get("/x");
    proxy.worker.lookups.leave(1);
    let happened = proxy.respond(lookup, GRANTED, &[], "");
    assert!(matches!(happened.as_slice(), [(_, Happened::CallOut(_))]), "{happened:?}");
    assert!(!said(&proxy, lookup).fills);
}

#[test]
fn only_a_host_that_can_says_that_it_fills() {
    let mut proxy = Proxy::new("{}");
    let lookup = proxy.look_up("/x");
    assert!(!said(&proxy, lookup).fills);
    let mut proxy = filling();
    let Happened::CallOut(head) = proxy.request("HEAD", "/x", &[]) else { panic!("it is not looked up") };
    assert!(!said(&proxy, head.lookup).fills, "a HEAD brings no body");
}

#[test]
fn what_a_load_would_not_send_fills_nothing() {
    let group = r#"{"request": {"drop": ["cookie"], "acceptEncoding": ["gzip"]}}"#;
    for (name, value, fills) in [
        ("x-a", "1", true),
        ("accept-encoding", "gzip", true),
        ("x-envoy-internal", "true", true),
        ("cookie", "a=b", false),
        ("accept-encoding", "gzip, br", false),
        ("connection", "x-tenant", false),
        ("x-envoy-upstream-rq-timeout-ms", "1", false),
    ] {
        let mut proxy = Proxy::new(group);
        proxy.worker.fills = true;
        let Happened::CallOut(sent) = proxy.request("GET", "/x", &[(name, value), ("x-tenant", "acme")]) else {
            panic!("it is not looked up: {name}")
        };
        assert_eq!(said(&proxy, sent.lookup).fills, fills, "{name}: {value}");
    }
}

#[test]
fn a_copy_goes_to_the_peer_that_granted_the_load() {
    let mut proxy = Proxy::new(r#"{"hedge": "50ms", "patience": "400ms"}"#);
    proxy.worker.fills = true;
    let lookup = proxy.look_up("/x");
    let owner = proxy.peer(lookup);
    proxy.attend_until(50);
    proxy.hedge();
    assert_ne!(proxy.peer(lookup).address, owner.address, "the second is asked as well");
    let response = PeerResponse::read(&response_map(GRANTED), Vec::new(), false).ok().unwrap();
    let mut call = PendingCall::new(lookup, proxy.worker.lookups.get(lookup).unwrap());
    call.peer = owner.clone();
    let LookupStep::Leave(mut one, _) =
        (Lookups { worker: &mut proxy.worker, now: proxy.now }).receive(&call, Ok(response))
    else {
        panic!("nobody passes")
    };
    let Some((_, Step::Pass(Pass { fill: Some(call), .. }))) = one.next(&mut proxy.worker, proxy.now) else {
        panic!("it does not fill")
    };
    assert!(call.fields.contains(&(wire::header::PEER, owner.address)));
}
