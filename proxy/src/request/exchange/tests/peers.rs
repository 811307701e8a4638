//! Peers that are loading, silent, failed or back.

use super::*;

#[test]
fn an_owner_that_is_loading_is_asked_again_until_two_loads_had_their_time() {
    let mut proxy = Proxy::new(r#"{"origin": {"url": "http://o", "timeout": "2s"}, "patience": "500ms"}"#);
    let lookup = proxy.look_up("/x");
    let owner = proxy.peer(lookup);
    for now in [375, 1000, 4499] {
        proxy.now = now;
        assert_eq!(
            proxy.respond(lookup, "loading", &[], ""),
            [(1, Happened::CallOut(Callout { lookup, timeout: 5_000 }))]
        );
        assert_eq!(proxy.peer(lookup), owner);
    }
    proxy.now = 4500;
    assert_eq!(proxy.respond(lookup, "loading", &[], ""), [(1, Happened::Pass(Reason::TooSlow))]);
}

#[test]
fn a_lookup_that_is_repeated_after_loading_has_not_joined_itself() {
    for (first, last) in [("loading", "stored"), ("loading; collapsed", "stored; collapsed")] {
        let mut proxy = Proxy::new("{}");
        let lookup = proxy.look_up("/x");
        proxy.respond(lookup, first, &[], "");
        let replied = proxy.respond(lookup, &format!("{SHARED}; collapsed"), &[], "body");
        assert!(matches!(&replied[..], [(1, Happened::Reply(_, _, said))] if said.ends_with(last)), "{replied:?}");
    }
}

#[test]
fn when_the_owner_does_not_answer_the_next_peer_is_asked_once_and_then_all_pass() {
    let mut proxy = Proxy::new("{}");
    let lookup = proxy.look_up("/x");
    let owner = proxy.peer(lookup);
    proxy.get("/x");
    assert_eq!(proxy.respond_with(lookup, None), [(1, Happened::CallOut(Callout { lookup, timeout: 10_000 }))]);
    let next = proxy.peer(lookup);
    assert!(!owner.hop && next.hop && owner.address != next.address);
    assert_eq!(
        proxy.respond_with(lookup, None),
        [(1, Happened::Pass(Reason::PeersFailed)), (2, Happened::Pass(Reason::PeersFailed))]
    );
    let third = proxy.look_up("/x");
    let third = proxy.peer(third);
    assert!(
        third.hop && third.address != next.address && third.address != owner.address,
        "its first two peers rest for a second"
    );
}

#[test]
fn one_lookup_at_a_time_tries_whether_a_peer_is_back() {
    let mut proxy = Proxy::new("{}");
    let lookup = proxy.look_up("/x");
    let owner = proxy.peer(lookup);
    proxy.respond_with(lookup, None);
    proxy.respond(lookup, SHARED, &[], "body");
    let look_up = |proxy: &mut Proxy| {
        let lookup = proxy.request("GET", "/x", &[("authorization", "me")]);
        let Happened::CallOut(callout) = lookup else { panic!("{lookup:?}") };
        (callout.lookup, proxy.peer(callout.lookup))
    };
    assert_ne!(look_up(&mut proxy).1, owner);
    proxy.now = 1000;
    let (trial, peer) = look_up(&mut proxy);
    assert_eq!(peer, owner);
    assert_ne!(look_up(&mut proxy).1, owner, "the trial is in flight");
    proxy.respond(trial, "miss", &[], "");
    assert_eq!((look_up(&mut proxy).1, look_up(&mut proxy).1), (owner.clone(), owner), "it is back");
}

#[test]
fn a_group_that_hedges_asks_the_next_peer_too_when_the_owner_is_silent() {
    let mut proxy = Proxy::new(r#"{"hedge": "50ms", "patience": "400ms"}"#);
    let lookup = proxy.look_up("/x");
    let owner = proxy.peer(lookup);
    proxy.attend_until(49);
    assert!(proxy.hedge().is_empty() && proxy.worker.lookups.may_hedge());
    proxy.attend_until(50);
    assert_eq!(proxy.hedge(), [(1, Happened::CallOut(Callout { lookup, timeout: 5_000 }))]);
    let next = proxy.peer(lookup);
    assert!(next.hop && proxy.hedge().is_empty(), "once");
    // The owner fails at last. The next peer is still awaited.
    proxy.now = 400;
    assert!(proxy.respond_from(lookup, &owner, None).is_empty());
    assert!(matches!(
        &proxy.respond_from(lookup, &next, PeerResponse::read(&response_map(SHARED), Vec::new(), false).ok())[..],
        [(1, Happened::Reply(..))]
    ));
    // A later response has no effect, except that the peer has answered.
    assert!(
        proxy
            .respond_from(lookup, &owner, PeerResponse::read(&response_map(SHARED), Vec::new(), false).ok())
            .is_empty()
    );
    assert_eq!(
        proxy
            .worker
            .peers
            .choose(&proxy.worker.snapshot().unwrap().clone().ring, meshcache_protocol::Hash::of(b"any"), 401)
            .map(|peer| peer.hop),
        Some(false)
    );
}

#[test]
fn an_owner_that_is_loading_is_not_silent() {
    let mut proxy = Proxy::new(r#"{"hedge": "50ms", "patience": "400ms"}"#);
    let lookup = proxy.look_up("/x");
    assert_eq!(
        proxy.worker.lookups.get(lookup).unwrap().announced_patience(),
        36,
        "it says so before the next peer is asked"
    );
    proxy.attend_until(40);
    proxy.respond(lookup, "loading", &[], "");
    assert_eq!(proxy.worker.lookups.get(lookup).unwrap().announced_patience(), 300);
    proxy.attend_until(399);
    assert!(proxy.hedge().is_empty() && !proxy.worker.lookups.may_hedge());
}

#[test]
fn when_all_peers_have_failed_none_is_asked_until_a_coordinator_answers_the_feed() {
    let mut proxy = Proxy::new("{}");
    for n in 0..100 {
        if let Happened::CallOut(callout) = proxy.get(&format!("/{n}")) {
            while proxy.worker.lookups.get(callout.lookup).is_some() {
                proxy.respond_with(callout.lookup, None);
            }
        }
    }
    proxy.now = 1000;
    assert_eq!(proxy.get("/x"), Happened::Pass(Reason::NoPeer));
    proxy.worker.note_contact(1000);
    assert!(matches!(proxy.get("/x"), Happened::CallOut(_)));
}

#[test]
fn a_silent_owner_is_given_up_after_its_patience_and_may_still_answer() {
    let mut proxy = Proxy::new("{}");
    let lookup = proxy.look_up("/x");
    let owner = proxy.peer(lookup);
    let token = proxy.send(lookup);
    proxy.attend_until(999);
    assert!(proxy.give_up_silent().is_empty());
    proxy.attend_until(1000);
    assert_eq!(proxy.give_up_silent(), [(1, Happened::CallOut(Callout { lookup, timeout: 10_000 }))]);
    assert!(proxy.peer(lookup).hop && proxy.give_up_silent().is_empty());
    let second = proxy.send(lookup);
    let first = proxy.worker.lookups.take_call(token).unwrap();
    assert!(first.is_given_up && first.peer == owner);
    // Envoy gives up the call long after. The failure has been counted.
    proxy.worker.peers.note_answer(&owner.address);
    assert!(proxy.call_returns(lookup, &owner, true, Err(PeerFailure::Peer)).is_empty());
    let ring = proxy.worker.snapshot().unwrap().ring.clone();
    assert_eq!(
        proxy.worker.peers.choose(&ring, proxy.worker.lookups.get(lookup).unwrap().request.key.hash(), proxy.now),
        Some(owner.clone())
    );
    let late = PeerResponse::read(&response_map(SHARED), b"late".to_vec(), false);
    assert_eq!(replied(&proxy.call_returns(lookup, &owner, true, late), "late"), [1]);
    assert!(proxy.worker.lookups.take_call(second).is_some() && proxy.worker.lookups.is_empty());
}

#[test]
fn when_both_peers_are_silent_all_pass() {
    let mut proxy = Proxy::new("{}");
    let lookup = proxy.look_up("/x");
    proxy.send(lookup);
    proxy.attend_until(1000);
    assert!(matches!(proxy.give_up_silent()[..], [(1, Happened::CallOut(_))]));
    proxy.send(lookup);
    proxy.attend_until(1999);
    assert!(proxy.give_up_silent().is_empty());
    proxy.attend_until(2000);
    assert_eq!(proxy.give_up_silent(), [(1, Happened::Pass(Reason::PeersFailed))]);
    assert!(!proxy.worker.lookups.awaits_calls(), "no peer is awaited any longer");
}

#[test]
fn time_in_which_the_worker_sleeps_is_not_its_peers_silence() {
    let mut proxy = Proxy::new("{}");
    let lookup = proxy.look_up("/x");
    proxy.send(lookup);
    // Ten seconds with ten checks a second, each 90 ms late.
    for _ in 0..49 {
        proxy.now += 100;
        proxy.worker.attention.advance(proxy.now);
    }
    assert!(proxy.give_up_silent().is_empty(), "49 checks of 20 ms");
    proxy.now += 100;
    proxy.worker.attention.advance(proxy.now);
    assert!(matches!(proxy.give_up_silent()[..], [(1, Happened::CallOut(_))]), "a silent peer is given up in the end");
}

#[test]
fn a_peer_that_answers_anything_is_not_silent() {
    let mut proxy = Proxy::new("{}");
    let one = proxy.look_up("/x");
    proxy.send(one);
    let owner = proxy.peer(one);
    let others: Vec<u32> = (0..50).map(|n| proxy.look_up(&format!("/{n}"))).collect();
    let other = others.into_iter().find(|other| proxy.peer(*other) == owner).unwrap();
    proxy.attend_until(900);
    assert!(matches!(proxy.respond(other, "loading", &[], "")[..], [(_, Happened::CallOut(_))]));
    proxy.attend_until(1899);
    assert!(proxy.give_up_silent().is_empty());
    proxy.attend_until(1900);
    assert!(matches!(proxy.give_up_silent()[..], [(1, Happened::CallOut(_))]));
}

#[test]
fn the_silence_of_an_idle_peer_starts_with_the_lookup() {
    let mut proxy = Proxy::new(r#"{"hedge": "20ms"}"#);
    proxy.now = 240;
    proxy.look_up("/x");
    proxy.now = 259;
    proxy.worker.attention.advance(259);
    assert!(proxy.hedge().is_empty());
    proxy.worker.attention.advance(260);
    assert_eq!(proxy.hedge().len(), 1);
}

#[test]
fn after_a_reset_stream_the_next_peer_is_asked_and_the_first_stays_healthy() {
    let mut proxy = Proxy::new("{}");
    let lookup = proxy.look_up("/x");
    let owner = proxy.peer(lookup);
    assert!(matches!(
        proxy.call_returns(lookup, &owner, false, Err(PeerFailure::Stream))[..],
        [(1, Happened::CallOut(_))]
    ));
    let next = proxy.peer(lookup);
    assert!(next.hop);
    assert_eq!(
        proxy.call_returns(lookup, &next, false, Err(PeerFailure::Stream)),
        [(1, Happened::Pass(Reason::PeersFailed))]
    );
    let again = proxy.look_up("/x");
    assert_eq!(proxy.peer(again), owner, "the response may have been at fault");
    assert!(matches!(
        proxy.call_returns(again, &owner, false, Err(PeerFailure::Stream))[..],
        [(2, Happened::CallOut(_))]
    ));
    let Happened::CallOut(third) = proxy.request("GET", "/x", &[("authorization", "me")]) else { panic!() };
    assert!(proxy.peer(third.lookup).hop, "twice in a row");
}

#[test]
fn a_lookup_that_envoy_forgot_ends_in_time() {
    let mut proxy = Proxy::new("{}");
    let lookup = proxy.look_up("/x");
    proxy.send(lookup);
    assert!(proxy.worker.lookups.take_overdue(11_000).is_empty() && proxy.worker.lookups.awaits_calls());
    assert_eq!(proxy.worker.lookups.take_overdue(11_001), [lookup]);
    assert!(proxy.worker.lookups.has_no_calls());
}
