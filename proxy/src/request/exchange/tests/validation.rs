//! Responses that need validation, and the requests that may have them.

use super::*;

#[test]
fn requests_that_arrive_during_a_load_look_up_again_together_for_what_needs_validation() {
    let mut proxy = Proxy::new("{}");
    let lookup = proxy.look_up("/x");
    proxy.now = 20;
    proxy.get("/x");
    for now in [30, 500] {
        proxy.now = now;
        proxy.get("/x");
    }
    proxy.now = 1000;
    // The load began at 25.
    let all = proxy.respond(lookup, "miss; ttl=0; age=0; fwd-status=200; shared; load=975", &[("etag", "e")], "first");
    assert_eq!(replied(&all, "first"), [1, 2]);
    let [_, _, (3, Happened::CallOut(callout)), (4, Happened::Wait)] = &all[..] else { panic!("{all:?}") };
    assert_eq!(said(&proxy, callout.lookup).waited, 500, "what was loaded since the last of them arrived is theirs");
    // Another one arrives meanwhile, after their load has begun.
    proxy.now = 1100;
    assert_eq!(proxy.get("/x"), Happened::Wait);
    proxy.now = 2000;
    let all = proxy.respond(callout.lookup, "miss; ttl=0; age=0; fwd-status=200; shared; load=995", &[], "second");
    assert_eq!(replied(&all, "second"), [3, 4]);
    assert!(matches!(all[..], [_, _, (5, Happened::CallOut(_))]), "{all:?}");
    assert_eq!(proxy.worker.lookups.len(), 1);
}

#[test]
fn requests_that_look_up_again_join_a_lookup_that_began_meanwhile() {
    let mut proxy = Proxy::new("{}");
    let lookup = proxy.look_up("/x");
    for now in [10, 11] {
        proxy.now = now;
        proxy.get("/x");
    }
    proxy.now = 500;
    let call = PendingCall::new(lookup, proxy.worker.lookups.get(lookup).unwrap());
    let response = PeerResponse::read(&response_map("revalidated; ttl=-5; age=5; shared"), b"first".to_vec(), false);
    let mut lookups = Lookups { worker: &mut proxy.worker, now: 500 };
    let LookupStep::Finish(mut fan_out) = lookups.receive(&call, response) else { panic!() };
    assert!(matches!(fan_out.next(&mut proxy.worker, 500), Some((1, Step::Reply(_)))));
    let newer = proxy.look_up("/x");
    assert!(matches!(fan_out.next(&mut proxy.worker, 500), Some((2, Step::Wait))));
    assert!(matches!(fan_out.next(&mut proxy.worker, 500), Some((3, Step::Wait))));
    assert_eq!(
        replied(&proxy.respond(newer, "miss; ttl=0; age=0; shared", &[], "second"), "second"),
        [4, 2, 3],
        "they arrived before it was sent"
    );
}

#[test]
fn a_load_that_answers_several_is_one_herd_and_a_stored_response_is_none() {
    let mut proxy = Proxy::new("{}");
    let lookup = proxy.look_up("/x");
    for _ in 0..3 {
        proxy.get("/x");
    }
    assert_eq!(replied(&proxy.respond(lookup, "miss; ttl=9; age=0; shared", &[], "x"), "x").len(), 4);
    let lookup = proxy.look_up("/alone");
    proxy.respond(lookup, "miss; ttl=9; age=0; shared", &[], "x");
    let lookup = proxy.look_up("/stored");
    proxy.get("/stored");
    proxy.respond(lookup, "hit; ttl=9; age=0; shared", &[], "x");
    let counted = proxy.worker.all_counters().groups();
    let of = |word: &str| counted["g"].get(word).copied().unwrap_or(0);
    assert_eq!((of("miss"), of("hit"), of("herd"), of("shared")), (5, 2, 1, 3));
}

#[test]
fn an_owner_that_does_not_say_when_it_loaded_is_asked_again_by_all_that_joined() {
    let mut proxy = Proxy::new("{}");
    let lookup = proxy.look_up("/x");
    proxy.now = 1;
    proxy.get("/x");
    let all = proxy.respond(lookup, "miss; ttl=0; age=0; shared", &[], "first");
    let [(1, Happened::Reply(..)), (2, Happened::CallOut(callout))] = &all[..] else { panic!("{all:?}") };
    assert_eq!(said(&proxy, callout.lookup).waited, 0);
}

#[test]
fn a_response_that_is_fresh_or_stored_or_for_all_waiters_is_given_whenever_they_arrived() {
    for outcome in [
        "miss; ttl=1; age=0; shared; load=1",
        "hit; ttl=0; age=0; shared",
        "stale; ttl=-9; age=9; shared",
        "miss; ttl=0; age=0; fwd-status=503; load=1; waiters",
    ] {
        let mut proxy = Proxy::new("{}");
        let Happened::CallOut(callout) = proxy.request("GET", "/x", &[("accept-language", "de")]) else { panic!() };
        proxy.now = 500;
        proxy.request("GET", "/x", &[("accept-language", "de")]);
        proxy.request("GET", "/x", &[("accept-language", "en")]);
        let all = proxy.respond(callout.lookup, outcome, &[("vary", "accept-language")], "one");
        assert_eq!(replied(&all, "one"), [1, 2], "{outcome}");
        assert!(matches!(all.last(), Some((3, Happened::CallOut(_)))), "{outcome}: it varies");
    }
}

#[test]
fn a_failure_is_for_all_waiters_once_a_second_load_has_brought_it_too() {
    let fails = |proxy: &mut Proxy, lookup: u32, status: &str, outcome: &str| {
        let map = header_map::encode(
            [(&b":status"[..], status.as_bytes()), (b"meshcache-outcome", outcome.as_bytes())].into_iter(),
        );
        let response = PeerResponse::read(&map, b"failed".to_vec(), false).ok();
        proxy.respond_with(lookup, response)
    };
    const FIRST: &str = "miss; ttl=0; age=0; fwd-status=503; shared";
    for second in ["miss; ttl=0; age=0; fwd-status=503; waiters", FIRST] {
        let mut proxy = Proxy::new("{}");
        let lookup = proxy.look_up("/x");
        (0..3).for_each(|_| assert_eq!(proxy.get("/x"), Happened::Wait));
        let all = fails(&mut proxy, lookup, "503", FIRST);
        let [(1, Happened::Reply(503, ..)), (2, Happened::CallOut(callout)), (3, Happened::Wait), (4, Happened::Wait)] =
            &all[..]
        else {
            panic!("{all:?}")
        };
        assert_eq!(proxy.get("/x"), Happened::Wait);
        let all = fails(&mut proxy, callout.lookup, "404", second);
        let given = all.iter().filter(|(_, happened)| matches!(happened, Happened::Reply(404, ..))).count();
        let alone = all.iter().filter(|(_, happened)| matches!(happened, Happened::CallOut(_))).count();
        assert_eq!((given, alone), if second == FIRST { (1, 3) } else { (4, 0) }, "{all:?}");
    }
}
