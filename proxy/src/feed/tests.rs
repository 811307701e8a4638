use super::*;
use crate::state::{counters::Outcome, shared_data::InProcessData};
use meshcache_protocol::{
    feed::{FeedResponse, News, State},
    mark::{Mark, MarkedPosition, write},
    purge::{Position, Purge, Scope},
};

fn at(now: u64) -> Moment {
    Moment { now, random: 0 }
}

fn state(version: &str) -> Vec<u8> {
    let state = State {
        installation: "meshcache".into(),
        peers: ["a", "b"]
            .map(|name| meshcache_protocol::Peer {
                name: name.into(),
                data: format!("{name}:1"),
                peer: format!("{name}:2"),
            })
            .to_vec(),
        ..State::default()
    };
    serde_json::to_vec(&FeedResponse {
        wire: 1,
        peer: "a".into(),
        version: version.into(),
        state: Some(state),
        news: None,
    })
    .unwrap()
}

fn unchanged(version: &str) -> Vec<u8> {
    serde_json::to_vec(&FeedResponse { wire: 1, peer: "a".into(), version: version.into(), state: None, news: None })
        .unwrap()
}

fn question(callout: &FeedCallout) -> FeedRequest {
    serde_json::from_slice(&callout.body).unwrap()
}

/// Two workers of one proxy.
struct Two {
    feeds: [Feed; 2],
    workers: [Worker; 2],
    memory: InProcessData,
}

impl Two {
    fn new() -> Self {
        Self {
            feeds: [1, 2].map(|holder| Feed::new(holder, "proxy", "c")),
            workers: [0, 0].map(Worker::new),
            memory: InProcessData::default(),
        }
    }

    /// The first worker has received version v1 at 0.
    fn with_snapshot() -> Self {
        let mut two = Self::new();
        two.tick(0, 0);
        two.receive(0, Some(&state("v1")), 0);
        two
    }

    fn tick(&mut self, which: usize, now: u64) -> Option<FeedCallout> {
        self.feeds[which].tick(&mut self.workers[which], &mut self.memory, at(now))
    }

    fn receive(&mut self, which: usize, body: Option<&[u8]>, now: u64) -> (Option<String>, Option<FeedCallout>) {
        self.feeds[which].receive(&mut self.workers[which], &mut self.memory, body, at(now))
    }
}

#[test]
fn one_worker_asks_and_the_others_take_the_snapshot_from_it() {
    let mut two = Two::new();
    let ask = two.tick(0, 0).unwrap();
    assert_eq!((question(&ask).version, ask.peer, ask.timeout), (String::new(), None, TIMEOUT));
    assert_eq!((two.tick(1, 1), two.tick(0, 250)), (None, None));
    let (line, next) = two.receive(0, Some(&state("v1")), 300);
    assert_eq!(
        (line, next.clone().unwrap().peer, question(&next.unwrap()).version),
        (None, Some("a:1".into()), "v1".into())
    );
    assert_eq!(two.workers[1].version(), "");
    two.tick(1, 310);
    assert_eq!(two.workers[1].version(), "v1");
    assert!(two.workers[1].may_serve_hot(300 + 2999) && !two.workers[1].may_serve_hot(300 + 3000));
    let (_, next) = two.receive(0, Some(&unchanged("v1")), 1300);
    assert!(next.is_some());
    two.tick(1, 1310);
    assert!(two.workers[1].may_serve_hot(1300 + 2999), "the contact holds for all workers");
}

#[test]
fn another_worker_takes_over_from_one_that_stopped() {
    let mut two = Two::new();
    assert!(two.tick(0, 0).is_some());
    assert_eq!(two.tick(1, 1499), None);
    assert!(two.tick(1, 1500).is_some());
    assert_eq!(two.tick(0, 1600), None, "it no longer holds the lease");
}

#[test]
fn when_its_coordinator_fails_another_is_asked_soon_and_the_snapshot_stays() {
    let mut two = Two::with_snapshot();
    let (line, next) = two.receive(0, None, TIMEOUT);
    assert_eq!((line.as_deref(), next), (Some("the feed fails: no coordinator answers"), None));
    let ask = two.tick(0, TIMEOUT + 250).unwrap();
    assert_eq!((ask.peer.as_deref(), question(&ask).version.as_str()), (Some("b:1"), "v1"));
    assert!(question(&ask).at_once && ask.timeout == TIMEOUT - 1000, "it has a second less to answer");
    assert!(two.workers[0].version() == "v1" && two.workers[0].may_serve_hot(TIMEOUT + 250));
    let (line, next) = two.receive(0, Some(&unchanged("v1")), TIMEOUT + 260);
    assert_eq!((line.as_deref(), next), (Some("the feed is back"), None));
    assert!(!question(&two.tick(0, TIMEOUT + 500).unwrap()).at_once);
}

#[test]
fn when_all_peers_of_the_ring_may_be_gone_any_coordinator_is_asked() {
    let mut two = Two::with_snapshot();
    two.receive(0, None, 100);
    assert_eq!(two.tick(0, 500).unwrap().peer.as_deref(), Some("b:1"));
    for n in 1..4 {
        two.receive(0, None, n * 2000);
        assert_eq!(two.tick(0, n * 2000 + 1500).unwrap().peer, None, "a and b may have been replaced meanwhile");
    }
    let (_, next) = two.receive(0, Some(&state("v2")), 9000);
    assert_eq!(next.unwrap().peer.as_deref(), Some("a:1"));
}

#[test]
fn when_no_coordinator_answers_the_feed_pauses_between_its_requests() {
    let mut two = Two::with_snapshot();
    two.receive(0, None, 100);
    for at in [250, 500, 750] {
        assert!(two.tick(0, at).is_some(), "others are asked soon, {at}");
        assert_eq!(two.receive(0, None, at + 10).0, None, "one line, not one each time");
    }
    assert!(two.workers[0].may_ask_peers(), "the feed says nothing about lookups");
    assert_eq!(two.tick(0, 1000), None);
    assert!(two.tick(0, 1010).is_some());
    assert!(two.workers[0].may_serve_hot(2999) && !two.workers[0].may_serve_hot(3000));
    assert_eq!(two.receive(0, Some(&state("v1")), 3000).0.as_deref(), Some("the feed is back"));
    assert!(two.workers[0].may_serve_hot(3000) && two.workers[0].may_ask_peers());
}

#[test]
fn after_an_outage_proxies_come_back_over_a_second() {
    // When the first one fails, others are asked soon. When these fail, too, each proxy waits for a random time.
    for (random, rest) in [(0, 250), (500, 750), (999, 1249)] {
        let mut two = Two::new();
        let at = |now| Moment { now, random };
        let (feed, worker, memory) = (&mut two.feeds[0], &mut two.workers[0], &mut two.memory);
        let mut waits = [0; 4];
        for (now, waits) in (0..).step_by(100).zip(&mut waits) {
            *waits = feed.tick(worker, memory, at(now)).unwrap().timeout;
            feed.receive(worker, memory, None, at(now));
        }
        assert_eq!(
            waits,
            [TIMEOUT, TIMEOUT - 1000, TIMEOUT - 1000, TIMEOUT],
            "frozen ones get no more time than one that answers at once needs"
        );
        assert_eq!(feed.tick(worker, memory, at(300 + rest - 1)), None);
        assert!(feed.tick(worker, memory, at(300 + rest)).is_some());
    }
}

#[test]
fn an_answer_that_cannot_be_read_is_no_contact() {
    for (body, why) in [
        (&b"<html>"[..], "expected"),
        (br#"{"wire": 1, "version": "w"}"#, "not sent"),
        (br#"{"wire": 1, "version": "w", "state": {"config": {"version": 9}}}"#, "version"),
    ] {
        let mut two = Two::with_snapshot();
        let (line, next) = two.receive(0, Some(body), 3000);
        assert!(line.is_some_and(|line| line.contains(why)) && next.is_none());
        assert!(two.workers[0].version() == "v1" && !two.workers[0].may_serve_hot(3000));
    }
}

#[test]
fn all_workers_remove_the_snapshot_of_an_unknown_wire_version() {
    let mut two = Two::with_snapshot();
    two.tick(1, 1);
    let later = serde_json::json!({"wire": feed::VERSION + 1, "version": "v2", "state": {}}).to_string();
    two.receive(0, Some(later.as_bytes()), 10);
    two.tick(1, 20);
    assert_eq!((two.workers[0].version(), two.workers[1].version()), ("", ""));
    two.tick(0, 300);
    two.receive(0, Some(&state("v1")), 310);
    two.tick(1, 320);
    assert_eq!((two.workers[0].version(), two.workers[1].version()), ("v1", "v1"));
}

#[test]
fn counters_of_all_workers_are_sent_until_an_answer_arrives() {
    let mut two = Two::new();
    for which in [0, 1] {
        two.workers[which].counters.count_request("g", Outcome::Hot);
    }
    two.tick(1, 0);
    two.receive(1, Some(&state("v1")), 0);
    two.receive(1, None, 10);
    two.tick(0, 20);
    let ask = two.tick(1, 260).unwrap();
    let sent = question(&ask).requests;
    assert_eq!(
        serde_json::to_string(&sent).unwrap(),
        r#"{"g":{"hot":1}}"#,
        "the first request had the counters of worker 1"
    );
    two.workers[0].counters.count_request("g", Outcome::Miss);
    two.tick(0, 270);
    two.receive(1, None, 300);
    let ask = two.tick(1, 700).unwrap();
    assert_eq!(
        serde_json::to_string(&question(&ask).requests).unwrap(),
        r#"{"g":{"hot":1,"miss":1}}"#,
        "a lost answer loses nothing"
    );
    let (_, next) = two.receive(1, Some(&unchanged("v1")), 2200);
    assert!(question(&next.unwrap()).requests.is_empty());
}

#[test]
fn a_coordinator_that_answers_at_once_is_not_asked_in_a_loop() {
    let mut two = Two::with_snapshot();
    assert_eq!(two.receive(0, Some(&unchanged("v1")), 1).1, None);
    assert!(two.tick(0, 250).is_some());
}

#[test]
fn a_request_that_envoy_forgot_is_sent_again() {
    let mut two = Two::new();
    assert!(two.tick(0, 0).is_some());
    let mut asked = 0;
    for now in (250..5000).step_by(250) {
        asked += usize::from(two.tick(0, now).is_some());
    }
    assert_eq!(asked, 1);
}

fn at_position(text: &str) -> Position {
    Position::parse(text).unwrap()
}

/// An answer with news: these purges of `a.1` lead from `since` to `position`.
fn news(since: &str, position: &str, purges: &[u64]) -> Vec<u8> {
    let what = Scope { all: true, ..Scope::default() };
    let purges =
        purges.iter().map(|n| Purge { source: "a.1".into(), n: *n, scope: what.clone(), soft: false }).collect();
    let position = at_position(position);
    let marks = write(&position, |_, n| Some(Mark(n)));
    let news = News { since: at_position(since), position, marks, purges };
    serde_json::to_vec(&FeedResponse { wire: 1, peer: "a".into(), version: "v1".into(), state: None, news: Some(news) })
        .unwrap()
}

fn marked(position: &str, mark: u64) -> MarkedPosition {
    MarkedPosition { position: position.into(), marks: Mark(mark).to_string() }
}

#[test]
fn a_proxy_sends_marks_back_as_announced_and_none_where_none_was() {
    let mut two = Two::with_snapshot();
    two.tick(1, 10);
    let bare = |position: &str| {
        let news = News { position: at_position(position), ..News::default() };
        serde_json::to_vec(&FeedResponse {
            wire: 1,
            peer: "a".into(),
            version: "v1".into(),
            state: None,
            news: Some(news),
        })
        .unwrap()
    };
    two.receive(0, Some(&news("a.1:7", "a.1:7", &[])), 500);
    two.receive(0, Some(&bare("b.1:2")), 600);
    two.tick(1, 610);
    let both = MarkedPosition { position: "a.1:7,b.1:2".into(), marks: format!("{},", Mark(7)) };
    assert_eq!(
        [two.workers[0].purge_ack(), two.workers[1].purge_ack()],
        [&both, &both],
        "a coordinator of an older version announces no marks"
    );
    two.receive(0, Some(&bare("a.1:8,b.1:2")), 700);
    assert_eq!(
        two.workers[0].purge_ack(),
        &MarkedPosition { position: "a.1:8,b.1:2".into(), marks: String::new() },
        "a mark is for one number"
    );
}

#[test]
fn a_purge_is_carried_out_once_by_each_worker_before_it_trusts_the_contact() {
    let mut two = Two::with_snapshot();
    two.tick(1, 10);
    let count = |two: &Two| [two.workers[0].purge_count(), two.workers[1].purge_count()];
    let next = two.receive(0, Some(&news("", "a.1:2", &[1, 2])), 500).1.unwrap();
    assert_eq!((count(&two), question(&next).position), ([2, 0], at_position("a.1:2")));
    assert_eq!(
        (two.workers[0].purge_ack(), &question(&next).announced),
        (&marked("a.1:2", 2), &marked("a.1:2", 2)),
        "with its mark"
    );
    two.tick(1, 510);
    assert_eq!(count(&two), [2, 2]);
    // Another coordinator announces it again, with a later one. A third one is behind.
    two.receive(0, Some(&news("", "a.1:3", &[1, 2, 3])), 1000);
    two.receive(0, Some(&news("", "a.1:1", &[1])), 1500);
    two.tick(1, 1510);
    assert_eq!(
        (count(&two), two.workers[1].purge_ack()),
        ([3, 3], &marked("a.1:3", 3)),
        "each is carried out once, and the position never goes back"
    );
}

#[test]
fn a_worker_that_missed_purges_empties_its_hot_cache() {
    let mut two = Two::with_snapshot();
    two.tick(1, 10);
    for (answer, position) in [(news("a.1:7", "a.1:7", &[]), "a.1:7"), (news("a.1:7", "a.1:9", &[9]), "a.1:9")] {
        let before = two.workers[0].purge_count();
        two.receive(0, Some(&answer), 500);
        assert!(two.workers[0].purge_count() > before);
        assert_eq!(two.workers[0].position(), &at_position(position));
        two.tick(1, 510);
        assert!(two.workers[1].purge_count() > 0 && two.workers[1].position() == &at_position(position));
    }
    // After a longer silence than the hot cache is trusted for, it is emptied.
    let before = two.workers[0].purge_count();
    two.receive(0, Some(&unchanged("v1")), 500 + 2999);
    assert_eq!(two.workers[0].purge_count(), before);
    two.receive(0, Some(&unchanged("v1")), 500 + 2999 + 3000);
    assert_eq!(two.workers[0].purge_count(), before + 1);
}
