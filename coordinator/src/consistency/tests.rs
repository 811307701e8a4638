//! What coordinators make of claims: proven and made-up ones, while peers answer and while they do not.

use super::*;
use crate::{
    clock::{Clock, simulated},
    telemetry::metrics::Metrics,
};
use std::sync::atomic::Ordering::Relaxed;

fn consistency() -> Arc<Consistency> {
    Consistency::new("a", Cluster::new("a", Clock::new(), Metrics::new().unwrap()))
}

#[test]
fn a_purge_that_arrives_after_it_was_claimed_is_not_abandoned() {
    simulated::set(1000);
    let consistency = consistency();
    consistency.set_peers(["b", "c"].into_iter());
    consistency.peer_answered("b", 1000, "b.1", true);
    // A proxy is quicker than b itself; c is unresponsive all the time.
    assert_eq!(consistency.record_claim(Claim::Peer("b.1:1,x.1:1")), Standing::Behind);
    consistency.append(&Purge { source: "b.1".into(), n: 1, ..Purge::default() }, |_| ()).unwrap();
    for (now, source) in [(2000, "b.1"), (3000, "b.2")] {
        simulated::set(now);
        consistency.peer_answered("b", now, source, true);
    }
    assert_eq!(consistency.unresolvable(), [("x.1".to_owned(), 1)], "b has started anew, and what it purged is known");
}

/// One of three. At 1,000 ms it has answers of b and c, whose sources are `b.1` and `c.1`.
fn one_of_three() -> Arc<Consistency> {
    simulated::set(1000);
    let consistency = consistency();
    consistency.set_tokens(&["new".to_owned(), "old".to_owned()]);
    consistency.set_peers(["b", "c"].into_iter());
    answer(&consistency, &["b", "c"], 1000);
    consistency
}

fn answer(consistency: &Consistency, peers: &[&str], now: u64) {
    simulated::set(now);
    for peer in peers {
        consistency.peer_answered(peer, now, &format!("{peer}.1"), true);
    }
}

fn marked(token: &str, position: &str) -> String {
    let signer = MarkSigner::new(&[token.to_owned()]);
    mark::write(&Position::parse(position).unwrap(), |source, n| signer.sign(source, n))
}

#[test]
fn a_question_with_a_made_up_position_flushes_nothing_and_has_no_peer_asked() {
    let consistency = one_of_three();
    let requests = consistency.catch_up_requests();
    let own = format!("{}:7", consistency.log.source());
    // The mark of another number, of an unknown token, none at all; a live source, the own one; and no position.
    let invented = ["x.1:1", "x.1:18446744073709551615", "b.1:5", "c.1:5", &own, "x.1:1,y.1:1"];
    let marks = [String::new(), marked("old", "x.1:2"), marked("stolen", "x.1:1"), "0".repeat(16)];
    // c becomes unresponsive.
    for now in (1100..9000).step_by(200) {
        answer(&consistency, &["b"], now);
        for (position, marks) in
            invented.iter().flat_map(|position| marks.iter().map(move |marks| (*position, marks.as_str())))
        {
            assert_eq!(
                consistency.record_claim(Claim::Unauthenticated { position, marks }),
                Standing::Unproven,
                "{position} {marks} at {now}"
            );
        }
        assert_eq!(
            consistency.record_claim(Claim::Unauthenticated { position: "nonsense", marks: "" }),
            Standing::Unproven
        );
        assert_eq!(consistency.unresolvable(), []);
        assert_eq!(
            consistency.record_claim(Claim::Unauthenticated { position: "", marks: "" }),
            Standing::Current,
            "an empty claim is answered"
        );
    }
    assert!(!requests.has_changed().unwrap());
    answer(&consistency, &["b", "c"], 9000);
    for position in invented {
        assert_eq!(
            consistency.record_claim(Claim::Unauthenticated { position, marks: "" }),
            Standing::Current,
            "{position}: all peers have answered, and none knows it"
        );
    }
}

#[tokio::test]
async fn a_claim_that_may_be_made_up_passes_at_once_and_keeps_no_other_from_waiting() {
    let consistency = one_of_three();
    let mut requests = consistency.catch_up_requests();
    assert!(!consistency.catch_up(Claim::Unauthenticated { position: "x.1:1", marks: "" }).await);
    assert_eq!((requests.has_changed().unwrap(), consistency.catch_up.failed.load(Relaxed)), (false, 0));
    let marks = marked("old", "x.1:1");
    assert!(!consistency.catch_up(Claim::Unauthenticated { position: "x.1:1", marks: &marks }).await);
    assert_eq!(
        (requests.has_changed().unwrap(), consistency.catch_up.failed.load(Relaxed)),
        (true, 1000),
        "peers are asked for what a coordinator announced"
    );
    requests.mark_unchanged();
    let many = (0..=MAX_CLAIMED).map(|n| format!("x{n}.1:1")).collect::<Vec<_>>().join(",");
    let marks = marked("old", &many);
    assert!(!consistency.catch_up(Claim::Unauthenticated { position: &many, marks: &marks }).await);
    assert!(!requests.has_changed().unwrap(), "no proxy claims that many");
}

#[test]
fn a_marked_purge_that_only_an_unresponsive_peer_may_know_flushes_the_store_after_a_second() {
    for token in ["new", "old"] {
        let consistency = one_of_three();
        let marks = marked(token, "c.1:5,x.1:1");
        let claim = Claim::Unauthenticated { position: "c.1:5,x.1:1", marks: &marks };
        answer(&consistency, &["b"], 1500);
        assert_eq!(consistency.record_claim(claim), Standing::Behind, "{token}");
        answer(&consistency, &["b"], 2499);
        assert_eq!(consistency.unresolvable(), [], "not before");
        answer(&consistency, &["b"], 2500);
        let unresolvable = consistency.unresolvable();
        assert_eq!(unresolvable.len(), 2, "{token}: {unresolvable:?}");
        consistency.abandon(&unresolvable, || ());
        assert_eq!(
            (consistency.record_claim(claim), consistency.unresolvable()),
            (Standing::Current, vec![]),
            "once is enough"
        );
        assert_eq!(
            consistency.record_claim(Claim::Unauthenticated { position: "c.1:5", marks: "" }),
            Standing::Current,
            "the flush covers that, too"
        );
    }
}

#[test]
fn proxies_without_marks_are_answered_within_three_seconds_after_all_coordinators_started_anew() {
    simulated::set(50_000);
    let consistency = consistency();
    consistency.set_tokens(&["token".to_owned()]);
    consistency.set_peers(["b", "c"].into_iter());
    // Claims of coordinators that are gone: without marks, or with those of a token that is gone.
    let (gone, position) = (marked("gone", "a.0:3,b.0:9"), "a.0:3,b.0:9");
    let standing = |marks: &str| consistency.record_claim(Claim::Unauthenticated { position, marks });
    assert_eq!((standing(""), standing(&gone)), (Standing::Unproven, Standing::Unproven));
    let answered = (50_400..53_000).step_by(400).find(|now| {
        answer(&consistency, &["b", "c"], *now);
        standing("") == Standing::Current && standing(&gone) == Standing::Current
    });
    assert_eq!(answered, Some(50_400), "with the first answers of the peers");
}

#[test]
fn without_peers_an_unknown_number_is_lost_at_once() {
    simulated::set(1000);
    for tokens in [&[][..], &["token".to_owned()]] {
        let consistency = consistency();
        consistency.set_tokens(tokens);
        let marks = marked("token", "x.1:1");
        for marks in ["", &marks] {
            assert_eq!(
                consistency.record_claim(Claim::Unauthenticated { position: "x.1:1", marks }),
                Standing::Current
            );
        }
    }
}
