//! Leases of coordinators that answer, refuse, freeze, are cut off, and start anew.

use super::*;
use crate::consistency::unknown::MAX_UNPROVEN;

fn lease(peers: &[&str]) -> Lease {
    let lease = Lease::default();
    lease.set_peers(peers.iter().copied(), 0);
    lease
}

/// Records a claimed purge. Returns whether it is lost.
fn claims_lost(lease: &Lease, source: &str, n: u64, now: u64) -> bool {
    lease.note_unknown(source, n, now) == Unknown::Lost
}

fn claims_unproven_lost(lease: &Lease, source: &str, n: u64, now: u64) -> bool {
    lease.note_unproven(source, n, now) == Unknown::Lost
}

#[test]
fn alone_it_holds_forever_and_with_peers_only_while_they_answer() {
    assert!(lease(&[]).holds(u64::MAX - 1));
    let pair = lease(&["b"]);
    assert_eq!(pair.peer_answered("b", 100, "b.1", true, 110), Renewal::Unchanged);
    assert!(pair.holds(100 + LEASE - 1) && !pair.holds(100 + LEASE), "counted from the request");
    assert_eq!(pair.peer_answered("b", 50, "b.1", true, 120), Renewal::Unchanged, "a late answer to an early question");
    assert!(pair.holds(100 + LEASE - 1));
    assert_eq!(pair.peer_answered("b", 5000, "b.1", true, 5010), Renewal::Regained(5010 - 100 - LEASE));
}

#[test]
fn a_peer_that_refuses_is_not_waited_for_and_an_unresponsive_one_is_outvoted() {
    let three = lease(&["b", "c"]);
    three.peer_answered("b", 1000, "b.1", true, 1000);
    three.peer_answered("c", 1000, "c.1", true, 1000);
    // c freezes: b is enough.
    three.peer_answered("b", 2400, "b.1", true, 2400);
    assert!(three.holds(2400 + LEASE - 1), "two of three");
    // b becomes unresponsive, too.
    assert!(!three.holds(2400 + LEASE));
    // b is dead: of two that may be alive one is no majority.
    assert_eq!(three.peer_refused("b", 4000, 4000), Renewal::Unchanged);
    assert!(!three.holds(4000));
    assert_eq!(three.peer_answered("c", 4100, "c.1", true, 4100), Renewal::Regained(200));
    assert!(three.holds(4000 + LEASE - 1) && !three.holds(4000 + LEASE), "as long as the refusal of b is valid");
    three.peer_refused("c", 4200, 4200);
    three.peer_refused("b", 4300, 4300);
    assert!(three.holds(4200 + LEASE - 1), "this is the only live one");
}

#[test]
fn a_coordinator_that_cannot_learn_what_it_missed_flushes_its_store() {
    let pair = lease(&["b"]);
    pair.peer_answered("b", 100, "b.1", true, 100);
    assert_eq!(pair.peer_answered("b", 9000, "b.2", true, 9000), Renewal::Flush, "it has started anew");
    assert!(!pair.holds(9000));
    pair.renew_after_flush(9010);
    assert!(pair.holds(9010));
    assert_eq!(pair.peer_answered("b", 20_000, "b.2", true, 20_000), Renewal::Regained(20_000 - 9000 - LEASE));
    assert_eq!(pair.peer_refused("b", 40_000, 40_000), Renewal::Flush, "what it purged before it ended is unknown");

    let three = lease(&["b", "c"]);
    three.peer_answered("b", 100, "b.1", true, 100);
    three.peer_answered("c", 100, "c.1", true, 100);
    assert_eq!(
        three.peer_answered("c", 9000, "c.2", true, 9000),
        Renewal::Unchanged,
        "only c has answered, which started anew; b may know"
    );
    assert!(
        matches!(three.peer_answered("b", 9000, "b.1", true, 9010), Renewal::Regained(_)),
        "b did not start anew and knows all"
    );
    three.peer_answered("c", 19_000, "c.3", true, 19_000);
    assert_eq!(
        three.peer_answered("b", 19_000, "b.2", true, 19_010),
        Renewal::Flush,
        "all have answered, and none knows"
    );
}

#[test]
fn peers_that_slept_together_wait_for_one_that_did_not() {
    let three = lease(&["b", "c"]);
    three.peer_answered("b", 100, "b.1", true, 100);
    three.peer_answered("c", 100, "c.1", true, 100);
    assert_eq!(three.peer_answered("b", 9000, "b.1", false, 9000), Renewal::Unchanged, "b does not know either");
    assert!(matches!(three.peer_answered("c", 9100, "c.1", true, 9100), Renewal::Regained(_)));

    let three = lease(&["b", "c"]);
    three.peer_answered("b", 100, "b.1", true, 100);
    three.peer_answered("c", 100, "c.1", true, 100);
    three.peer_answered("b", 9000, "b.1", false, 9000);
    assert_eq!(three.peer_answered("b", 9999, "b.1", false, 9999), Renewal::Unchanged);
    assert_eq!(three.peer_answered("b", 10_000, "b.1", false, 10_000), Renewal::Flush, "c stays unresponsive");
    three.renew_after_flush(10_000);
    assert!(three.holds(10_001));

    let three = lease(&["b", "c"]);
    three.peer_answered("b", 9000, "b.1", false, 9000);
    assert!(
        matches!(three.peer_answered("c", 9000, "c.1", false, 9000), Renewal::Regained(_) | Renewal::Flush),
        "all have answered"
    );
}

#[test]
fn peers_that_were_cut_off_together_keep_their_stores_when_the_others_answer_again() {
    let five = lease(&["b", "c", "d", "e"]);
    for at in (0..=3000).step_by(500) {
        for peer in ["b", "c", "d", "e"] {
            five.peer_answered(peer, at, "1", true, at);
        }
    }
    // With b it is cut off for long.
    for at in (3500..=9000).step_by(500) {
        assert_eq!(five.peer_answered("b", at, "1", at < 4500, at), Renewal::Unchanged);
    }
    assert!(!five.holds(9000));
    assert_eq!(
        five.peer_answered("c", 9100, "1", true, 9110),
        Renewal::Unchanged,
        "one of three that hold their leases"
    );
    assert!(
        matches!(five.peer_answered("d", 9100, "1", true, 9120), Renewal::Regained(_)),
        "a majority of five knows what was purged"
    );
}

#[test]
fn a_peer_that_comes_is_waited_for_and_one_that_goes_is_not() {
    let two = lease(&["b"]);
    two.peer_answered("b", 1000, "b.1", true, 1000);
    two.set_peers(["b", "c", "d"].into_iter(), 1100);
    assert!(two.holds(1100) && !two.holds(1000 + LEASE), "as long as before");
    two.peer_answered("c", 2000, "c.1", true, 2000);
    two.peer_answered("b", 2000, "b.1", true, 2000);
    assert!(two.holds(2000 + LEASE - 1), "three of four");
    assert_eq!(two.set_peers(std::iter::empty(), 3000), Renewal::Unchanged);
    assert!(two.holds(u64::MAX - 1), "what they purged is known");

    let pair = lease(&["b"]);
    pair.peer_answered("b", 1000, "b.1", true, 1000);
    assert_eq!(pair.set_peers(std::iter::empty(), 9999), Renewal::Flush, "no peer knows any more what b purged since");
    assert!(!pair.holds(9999));
    pair.renew_after_flush(9999);
    assert!(pair.holds(u64::MAX - 1));
}

#[test]
fn a_peer_that_slept_at_the_same_time_does_not_speak_for_one_that_is_gone() {
    let three = lease(&["b", "c"]);
    three.peer_answered("b", 100, "b.1", true, 100);
    three.peer_answered("c", 100, "c.1", true, 100);
    three.peer_answered("c", 9000, "c.1", false, 9000);
    assert_eq!(three.peer_refused("b", 9010, 9010), Renewal::Flush, "b may have purged while both slept");
}

#[test]
fn a_purge_is_lost_when_all_live_peers_have_answered_since_and_none_is_its_source() {
    assert!(claims_lost(&lease(&[]), "x.1", 1, 5), "there is no peer to ask");
    let three = lease(&["b", "c"]);
    three.peer_answered("b", 100, "b.1", true, 100);
    three.peer_answered("c", 100, "c.1", true, 100);
    assert!(!claims_lost(&three, "x.1", 1, 200), "they may know it by now");
    three.peer_answered("b", 300, "b.1", true, 300);
    assert!(!claims_lost(&three, "x.1", 1, 300), "c may");
    three.peer_answered("c", 300, "c.2", true, 300);
    assert!(
        claims_lost(&three, "x.1", 1, 300) && !claims_lost(&three, "x.1", 2, 300),
        "another purge is recorded by itself"
    );
    claims_lost(&three, "c.2", 7, 300);
    three.peer_answered("b", 400, "b.1", true, 400);
    three.peer_answered("c", 400, "c.2", true, 400);
    assert!(!claims_lost(&three, "c.2", 7, 400), "c is alive, and will list it");
    three.peer_refused("c", 500, 500);
    assert!(claims_lost(&three, "c.2", 7, 500), "c is gone");
    assert!(!claims_lost(&three, "c.2", 8, 501), "or was, at the last request");
}

#[test]
fn a_purge_that_only_an_unresponsive_peer_can_know_is_abandoned_for_a_flush() {
    let three = lease(&["b", "c"]);
    let answer = |names: &[&str], at| {
        for name in names {
            three.peer_answered(name, at, &format!("{name}.1"), true, at);
        }
    };
    answer(&["b", "c"], 1000);
    assert!(
        !claims_lost(&three, "x.1", 3, 1100)
            && !claims_lost(&three, "b.1", 7, 1100)
            && !claims_lost(&three, "c.1", 9, 1100)
    );
    answer(&["b"], 2000);
    assert_eq!(three.unresolvable(2000 + 100), [], "c may still answer");
    answer(&["b"], 3000);
    let unresolvable = three.unresolvable(3000);
    assert_eq!(unresolvable.len(), 2, "c is unresponsive; b is alive, and will list it: {unresolvable:?}");
    assert!(!claims_lost(&three, "x.1", 3, 3000), "not before the flush");
    three.abandon(&unresolvable);
    assert!(
        claims_lost(&three, "x.1", 3, 3000)
            && claims_lost(&three, "x.1", 2, 3000)
            && !claims_lost(&three, "x.1", 4, 3000)
    );
    assert!(claims_lost(&three, "c.1", 9, 3000) && !claims_lost(&three, "b.1", 7, 3000));
    assert_eq!(three.unresolvable(3000), [], "once is enough");
    assert!(!claims_lost(&three, "y.1", 1, 3100));
    answer(&["b", "c"], 3200);
    assert!(claims_lost(&three, "y.1", 1, 3200), "c has answered: no peer knows that one");
    answer(&["b"], 9000);
    assert_eq!(three.unresolvable(9000), []);
}

#[test]
fn what_may_be_made_up_is_lost_once_every_peer_has_answered_and_abandons_nothing() {
    assert!(claims_unproven_lost(&lease(&[]), "x.1", 1, 5), "there is no peer to ask");
    let three = lease(&["b", "c"]);
    let answer = |names: &[&str], at| {
        for name in names {
            three.peer_answered(name, at, &format!("{name}.1"), true, at);
        }
    };
    answer(&["b", "c"], 1000);
    assert!(!claims_unproven_lost(&three, "x.1", 1, 1100) && !claims_unproven_lost(&three, "b.1", 99, 1100));
    // c is unresponsive: it may know, for as long as it may be alive.
    for at in (1500..=9000).step_by(500) {
        answer(&["b"], at);
        assert_eq!(
            (three.unresolvable(at), claims_unproven_lost(&three, "x.1", 1, at), three.holds(at)),
            (vec![], false, true),
            "{at}"
        );
    }
    answer(&["b", "c"], 9100);
    assert!(claims_unproven_lost(&three, "x.1", 1, 9100), "no peer knows it");
    assert!(claims_unproven_lost(&three, "b.1", 99, 9100), "not even its source");
    assert!(!claims_unproven_lost(&three, "x.1", 2, 9100), "another one is recorded by itself");
    three.peer_refused("c", 9200, 9200);
    answer(&["b"], 9300);
    assert!(claims_unproven_lost(&three, "x.1", 2, 9300), "c is gone");
}

#[test]
fn a_flood_of_made_up_numbers_displaces_none_that_a_coordinator_announced() {
    let three = lease(&["b", "c"]);
    for at in [1000, 2000] {
        three.peer_answered("b", at, "b.1", true, at);
    }
    assert!(!claims_lost(&three, "x.1", 3, 2100));
    for n in 1..=2 * MAX_UNPROVEN as u64 {
        assert!(!claims_unproven_lost(&three, "made-up", n, 2100));
    }
    assert_eq!(three.unknown.unproven_len(), MAX_UNPROVEN);
    for at in [2600, 3200] {
        three.peer_answered("b", at, "b.1", true, at);
    }
    assert_eq!(three.unresolvable(3200), [("x.1".to_owned(), 3)]);
}

#[test]
fn a_coordinator_that_is_cut_off_abandons_nothing() {
    let three = lease(&["b", "c"]);
    three.peer_answered("b", 1000, "b.1", true, 1000);
    assert!(!claims_lost(&three, "x.1", 3, 1100));
    assert_eq!((three.holds(5000), three.unresolvable(5000)), (false, vec![]));
}

#[test]
fn a_newcomer_begins_with_the_rest_of_a_members_lease_and_never_again() {
    let new = Lease::default();
    new.await_peers();
    assert!(!new.holds(0), "it does not know yet who purges");
    new.take_over(900);
    new.set_electorate(["b", "c", "d"].into_iter(), Some(2), 10);
    assert!(new.holds(899) && !new.holds(900));
    new.peer_answered("b", 100, "b.1", true, 110);
    assert!(!new.holds(900), "one of three others is not enough");
    new.peer_answered("c", 120, "c.1", true, 130);
    assert!(new.holds(100 + LEASE - 1) && !new.holds(100 + LEASE));
    new.take_over(9000);
    assert!(!new.holds(8000), "what was purged meanwhile is unknown here");
}

#[test]
fn the_number_of_answers_that_a_list_needs_holds_whoever_of_it_has_ended() {
    // Two of five have ended: both others are needed. Among those that live, one would be a majority.
    let of_five = Lease::default();
    of_five.set_electorate(["b", "c"].into_iter(), Some(2), 0);
    of_five.peer_answered("b", 1000, "b.1", true, 1000);
    assert!(!of_five.holds(LEASE));
    of_five.peer_answered("c", 1000, "c.1", true, 1000);
    assert!(of_five.holds(1000 + LEASE - 1));
    let lease = lease(&["b", "c"]);
    lease.peer_answered("b", 1000, "b.1", true, 1000);
    assert!(lease.holds(LEASE));
}

#[test]
fn a_lease_without_others_ends_for_who_is_no_member_any_more() {
    let alone = lease(&[]);
    alone.limit(5000);
    assert!(alone.holds(5000 + LEASE - 1) && !alone.holds(5000 + LEASE));
    alone.limit(5100);
    assert!(!alone.holds(5000 + LEASE), "it does not go on");
    let pair = lease(&["b"]);
    pair.peer_answered("b", 100, "b.1", true, 100);
    pair.limit(500);
    assert!(!pair.holds(100 + LEASE), "one that ends anyway is not made longer");
}
