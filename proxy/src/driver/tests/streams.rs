//! Responses that their leaders get as they come, and callouts that end with their streams.

use super::*;
use crate::http::peer_response::{PeerFailure, PeerHead, PeerResponse};

const MISS: &[u8] = b"miss; ttl=60000; age=0; fwd-status=200; shared; stored";

fn head(outcome: &[u8]) -> PeerHead {
    let fields: [Field<'_>; 3] = [(b":status", b"200"), (b"meshcache-outcome", outcome), (b"content-length", b"4")];
    PeerHead::of(fields.into_iter()).unwrap()
}

fn whole(outcome: &[u8]) -> PeerResponse {
    head(outcome).complete(b"body".to_vec(), false).unwrap()
}

/// Requests for one path, the first of which leads the lookup. Returns the token of its callout.
fn asked(run: &mut Run, streams: &[u32]) -> u32 {
    streams.iter().for_each(|id| {
        run.request(*id, "GET", "/x");
    });
    run.flush();
    run.host.calls.len() as u32
}

fn lookups(run: &Run) -> usize {
    run.host.calls.iter().filter(|call| call[":path"] == "/x").count()
}

#[test]
fn the_leader_gets_head_and_body_as_they_come_and_the_others_the_whole_if_it_is_soon_there() {
    let mut run = Run::with_snapshot();
    let token = asked(&mut run, &[1, 2]);
    let begun = run.driver.begin_stream(token, &head(MISS), run.now).unwrap();
    assert_eq!((begun.status, begun.may_share), (200, true));
    let map: Vec<_> = HeaderMap::parse(&begun.map).unwrap().collect();
    assert!(map.iter().any(|(name, value)| *name == b"cache-status" && value.starts_with(b"meshcache; fwd=uri-miss")));
    assert_eq!(run.flush(), CHECK_PERIOD, "another one waits for the rest");
    run.driver.lookup_returned(token, Ok(whole(MISS)), run.now);
    run.flush();
    assert_eq!(run.host.replies, [(2, 200, "body".into())], "the leader had it already");
    let hot = run.request(3, "GET", "/x");
    assert!(matches!(hot.state, StreamState::Replied(_)), "the copy is hot");
}

#[test]
fn those_that_joined_a_long_response_look_up_for_themselves_and_the_leader_goes_on() {
    let mut run = Run::with_snapshot();
    let token = asked(&mut run, &[1, 2, 3]);
    run.driver.begin_stream(token, &head(MISS), run.now).unwrap();
    assert_eq!(lookups(&run), 1);
    run.now += 2 * CHECK_PERIOD;
    run.tick();
    assert_eq!(lookups(&run), 3, "one for each that joined");
    run.request(4, "GET", "/x");
    run.flush();
    assert_eq!(lookups(&run), 4, "nobody joins what has begun");
    run.driver.lookup_returned(token, Ok(whole(MISS)), run.now);
    run.flush();
    assert_eq!(run.host.replies, [], "the others wait for their own");
    assert!(matches!(run.request(5, "GET", "/x").state, StreamState::Replied(_)), "the copy is hot all the same");
}

#[test]
fn a_long_response_is_not_given_up_for_being_long() {
    let mut run = Run::with_snapshot();
    let token = asked(&mut run, &[1]);
    run.driver.begin_stream(token, &head(MISS), run.now).unwrap();
    for _ in 0..1000 {
        run.now += TICK;
        run.tick();
    }
    assert_eq!((lookups(&run), run.host.metrics.get("meshcache_filter_peer_failures")), (1, None));
    run.driver.end_stream(token, true, run.now);
    assert!(run.driver.worker.lookups.is_empty() && run.driver.worker.lookups.has_no_calls());
}

#[test]
fn when_a_response_breaks_off_those_that_joined_look_up_for_themselves() {
    let mut run = Run::with_snapshot();
    let token = asked(&mut run, &[1, 2]);
    run.driver.begin_stream(token, &head(MISS), run.now).unwrap();
    run.driver.end_stream(token, false, run.now);
    run.flush();
    assert_eq!((lookups(&run), run.host.replies.len(), run.host.resumed.len()), (2, 0, 0));
}

#[test]
fn a_response_that_is_none_for_a_client_does_not_begin() {
    let mut run = Run::with_snapshot();
    let token = asked(&mut run, &[1]);
    assert!(run.driver.begin_stream(token, &head(b"pass; reason=private"), run.now).is_none());
    run.driver.lookup_returned(token, Ok(whole(MISS)), run.now);
    run.flush();
    assert!(run.driver.begin_stream(token, &head(MISS), run.now).is_none(), "it has been answered");
}

#[test]
fn a_callout_that_is_lost_with_its_stream_is_sent_by_the_next_that_waits() {
    let mut run = Run::with_snapshot();
    let token = asked(&mut run, &[1, 2, 3]);
    run.driver.leave(1);
    run.driver.lose_call(token, run.now);
    run.flush();
    assert_eq!(lookups(&run), 2, "one for the two that are left");
    let next = run.host.calls.len() as u32;
    run.driver.lookup_returned(token, Err(PeerFailure::Peer), run.now);
    run.driver.lookup_returned(next, Ok(whole(MISS)), run.now);
    run.flush();
    assert_eq!(run.host.replies, [(2, 200, "body".into()), (3, 200, "body".into())]);
    let alone = asked(&mut run, &[]);
    run.driver.lose_call(alone, run.now);
    assert_eq!((run.flush(), lookups(&run)), (TICK, 2), "nobody waits: nobody asks");
}

#[test]
fn a_callout_that_the_host_refuses_late_is_a_failure_of_the_peer() {
    let mut run = Run::with_snapshot();
    let token = asked(&mut run, &[1]);
    let at = run.at();
    run.driver.call_refused(&mut run.host, token, CallError::Refused, at);
    run.flush();
    assert_eq!(lookups(&run), 2, "the next peer is asked");
    run.driver.call_refused(&mut run.host, token + 1, CallError::NoCluster, at);
    run.flush();
    assert_eq!(run.host.resumed, [1], "and then it passes");
}

#[test]
fn after_a_panic_it_begins_anew_and_nothing_is_hot() {
    let mut run = Run::with_snapshot();
    let token = asked(&mut run, &[1, 2]);
    run.driver.lookup_returned(token, Ok(whole(MISS)), run.now);
    run.flush();
    assert!(matches!(run.request(3, "GET", "/x").state, StreamState::Replied(_)), "it is hot");
    run.request(4, "GET", "/y");
    run.flush();
    let lost = run.host.calls.len() as u32;
    run.driver.recover();
    run.driver.lookup_returned(lost, Ok(whole(MISS)), run.now);
    run.flush();
    assert!(run.host.replies.iter().all(|(stream, ..)| *stream != 4), "nobody waits for what was under way");
    let before = lookups(&run);
    let token = asked(&mut run, &[5, 6]);
    assert_eq!(lookups(&run), before + 1, "it is looked up again, once for both");
    run.driver.lookup_returned(token, Ok(whole(MISS)), run.now);
    run.flush();
    assert!([5, 6].iter().all(|id| run.host.replies.iter().any(|(stream, ..)| stream == id)));
}

#[test]
fn a_leader_that_lost_its_peer_in_the_middle_asks_the_next_one_once_more() {
    let mut run = Run::with_snapshot();
    let token = asked(&mut run, &[1]);
    let first = run.host.calls.last().unwrap()[wire::header::PEER].clone();
    assert!(run.driver.go_on(token + 1, run.now).is_none(), "no such call");
    run.driver.begin_stream(token, &head(MISS), run.now).unwrap();
    let headers = run.driver.go_on(token, run.now).expect("there is another peer");
    let said = |name: &str| headers.iter().find(|(other, _)| *other == name).unwrap().1.to_string();
    assert_ne!(said(wire::header::PEER), first);
    assert!(said(":path") == "/x" && said("meshcache-wire").contains("hop"), "{headers:?}");
    run.driver.end_stream(token, false, run.now);
    assert!(run.driver.worker.lookups.is_empty() && run.driver.worker.lookups.has_no_calls());
}
