//! One request that passes by the owner's leave while its load goes on for the others.

use super::*;

const LEAVE: &str = "loading; flight=7; leave";

fn asks_again(lookup: u32) -> Happened {
    Happened::CallOut(Callout { lookup, timeout: 10_000 })
}

#[test]
fn the_first_who_waits_passes_and_the_lookup_goes_on_for_the_others() {
    let mut proxy = Proxy::new("{}");
    let lookup = proxy.look_up("/x");
    assert!(said(&proxy, lookup).leave);
    proxy.get("/x");
    proxy.get("/x");
    assert_eq!(
        proxy.respond(lookup, LEAVE, &[], ""),
        [(1, Happened::Pass(Reason::Leave)), (2, asks_again(lookup))],
        "the carrier of the next call still waits"
    );
    assert_eq!(said(&proxy, lookup).flight, 7);
    assert_eq!(proxy.get("/x"), Happened::Wait, "who comes later joins the others");
    assert_eq!(replied(&proxy.respond(lookup, SHARED, &[], "body"), "body"), [2, 3, 4]);
    assert_eq!(proxy.get("/x"), hot("body"));
}

#[test]
fn who_left_meanwhile_leaves_it_to_the_next_who_waits() {
    let mut proxy = Proxy::new("{}");
    let lookup = proxy.look_up("/x");
    proxy.get("/x");
    proxy.get("/x");
    proxy.worker.lookups.leave(1);
    assert_eq!(proxy.respond(lookup, LEAVE, &[], ""), [(2, Happened::Pass(Reason::Leave)), (3, asks_again(lookup))]);
    proxy.worker.lookups.leave(3);
    assert_eq!(proxy.respond(lookup, LEAVE, &[], ""), [], "nobody is left");
    assert!(proxy.worker.lookups.is_empty());
}

#[test]
fn nothing_is_asked_again_where_nobody_else_waits() {
    let mut proxy = Proxy::new("{}");
    let lookup = proxy.look_up("/x");
    assert_eq!(proxy.respond(lookup, LEAVE, &[], ""), [(1, Happened::Pass(Reason::Leave))]);
    assert!(proxy.worker.lookups.is_empty());
    assert!(matches!(proxy.get("/x"), Happened::CallOut(_)), "its response is not kept");
}

#[test]
fn leave_is_asked_for_where_it_is_of_use() {
    let mut proxy = Proxy::new("{}");
    let Happened::CallOut(head) = proxy.request("HEAD", "/x", &[]) else { panic!("it is not looked up") };
    assert!(!said(&proxy, head.lookup).leave, "a HEAD has no first byte");
    proxy.worker.streams = true;
    let streamed = proxy.look_up("/y");
    assert!(!said(&proxy, streamed).leave, "who takes streams has the first byte anyway");
}

#[test]
fn once_all_pass_they_do_so_as_too_slow() {
    let mut proxy = Proxy::new(r#"{"origin": {"url": "http://o", "timeout": "1s"}}"#);
    let lookup = proxy.look_up("/x");
    proxy.get("/x");
    proxy.now = 3000;
    let passed = Happened::Pass(Reason::TooSlow);
    assert_eq!(proxy.respond(lookup, LEAVE, &[], ""), [(1, passed.clone()), (2, passed)]);
}
