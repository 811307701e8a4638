use super::*;
use crate::{
    answer::{Answer, Failure},
    answered::Next,
    attention::LOOK,
    known::Known,
    pairs,
    peers::Choice,
    questions::Call,
};
use meshcache_protocol::{
    Field, Groups, Peer, Ring,
    feed::News,
    mark::MarkedPosition,
    purge::{Position, Purge},
};
use std::rc::Rc;

/// One proxy's worker, a site, and what the proxy knows of requests.
struct Proxy {
    worker: Worker,
    site: Site,
    side: Side,
    caller: Option<&'static str>,
    verified: bool,
    cluster: Option<&'static str>,
    now: u64,
    streams: u32,
    /// Calls that went out.
    tokens: u32,
    last: Option<Call>,
}

/// A step without what it borrows.
#[derive(Clone, Debug, PartialEq)]
enum Done {
    Pass(Reason),
    Reply(u16, Vec<u8>, String),
    Ask(Ask),
    Wait,
}

/// What the proxy says of a request.
struct Told {
    side: Side,
    caller: Option<&'static str>,
    verified: bool,
    cluster: Option<&'static str>,
}

impl Facts for Told {
    fn side(&self) -> Side {
        self.side
    }
    fn caller(&self, _: Side) -> Option<String> {
        self.caller.map(str::to_owned)
    }
    fn verified(&self) -> bool {
        self.verified
    }
    fn cluster(&self) -> Option<Vec<u8>> {
        self.cluster.map(Into::into)
    }
    fn route(&self) -> Option<Vec<u8>> {
        Some(b"a route".to_vec())
    }
}

fn fields_of(map: &[u8]) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    pairs::Pairs::of(map).unwrap().map(|(name, value)| (text(name), text(value))).collect()
}

fn done(step: Step<'_>) -> Done {
    match step {
        Step::Pass(pass) => Done::Pass(pass.reason),
        Step::Watch(_) => Done::Pass(Reason::Observe),
        Step::Reply(reply) => {
            let said = fields_of(&reply.head)
                .into_iter()
                .filter(|(name, _)| name == "cache-status")
                .map(|(_, value)| value)
                .collect::<Vec<_>>()
                .join(", ");
            Done::Reply(reply.status, reply.body.to_vec(), said)
        }
        Step::Ask(ask) => Done::Ask(ask),
        Step::Wait => Done::Wait,
    }
}

fn message(outcome: &str) -> Vec<u8> {
    pairs::write([(&b":status"[..], &b"200"[..]), (b"meshcache-outcome", outcome.as_bytes())].into_iter())
}

fn known(group: &str) -> Known {
    let mut config = serde_json::json!({"name": "g", "match": {"hosts": ["h"], "exclude": [{"prefix": "/none"}]}, "origin": {"url": "http://o"}});
    let over: serde_json::Value = serde_json::from_str(group).unwrap();
    over.as_object().unwrap().iter().for_each(|(name, value)| config[name] = value.clone());
    let config = serde_json::json!({"version": 1, "debuggers": ["spiffe://d/ns/n/sa/dev"], "groups": [config]});
    let peers =
        ["a", "b", "c"].map(|name| Peer { name: name.into(), data: format!("{name}:1"), peer: format!("{name}:2") });
    Known {
        version: "v".into(),
        installation: "meshcache".into(),
        groups: Groups::new(serde_json::from_value(config).unwrap()).unwrap(),
        ring: Ring::new(peers.to_vec()),
    }
}

impl Proxy {
    fn new(group: &str) -> Self {
        let mut worker = Worker::new(1 << 20);
        worker.learn(known(group));
        worker.purge(News { position: Position::parse("p.0:1").unwrap(), ..News::default() });
        worker.hears(0);
        let site = Site::new(None, None, Some("ns".into()));
        Self {
            worker,
            site,
            side: Side::Outbound,
            caller: None,
            verified: false,
            cluster: Some("service"),
            now: 0,
            streams: 0,
            tokens: 0,
            last: None,
        }
    }

    fn ask(&mut self, method: &str, target: &str, fields: &[(&str, &str)]) -> Done {
        self.ask_whole(method, target, fields, true)
    }

    fn ask_whole(&mut self, method: &str, target: &str, fields: &[(&str, &str)], whole: bool) -> Done {
        done(self.step_whole(method, target, fields, whole))
    }

    fn step(&mut self, method: &str, target: &str, fields: &[(&str, &str)]) -> Step<'_> {
        self.step_whole(method, target, fields, true)
    }

    fn step_whole(&mut self, method: &str, target: &str, fields: &[(&str, &str)], whole: bool) -> Step<'_> {
        let pseudo = [(":method", method), (":scheme", "http"), (":authority", "h"), (":path", target)];
        let all: Vec<Field<'_>> =
            pseudo.iter().chain(fields).map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let map = pairs::write(all.iter().copied());
        let head = Head::read(&map).unwrap();
        self.site.learn(self.worker.known());
        self.streams += 1;
        let arrival = Arrival { stream: self.streams, map: &map, head: &head, whole };
        let exchange = Exchange { worker: &mut self.worker, now: self.now };
        exchange.start(
            &self.site,
            arrival,
            &Told { side: self.side, caller: self.caller, verified: self.verified, cluster: self.cluster },
        )
    }

    fn get(&mut self, target: &str) -> Done {
        self.ask("GET", target, &[])
    }

    /// Opens a question: its number.
    fn question(&mut self, target: &str) -> u32 {
        match self.get(target) {
            Done::Ask(ask) => ask.question,
            other => panic!("{other:?}"),
        }
    }

    fn peer(&self, question: u32) -> Choice {
        self.worker.questions.get(question).unwrap().peer.clone()
    }

    fn answer(&mut self, question: u32, outcome: &str, fields: &[(&str, &str)], body: &str) -> Vec<(u32, Done)> {
        let first = [
            (":status", if fields.iter().any(|(name, _)| *name == "content-range") { "206" } else { "200" }),
            ("meshcache-outcome", outcome),
        ];
        let all: Vec<Field<'_>> =
            first.iter().chain(fields).map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let map = pairs::write(all.iter().copied());
        let answer = Answer::read(&map, body.as_bytes().to_vec(), false);
        assert!(answer.is_ok(), "{outcome}");
        self.answered(question, answer.ok())
    }

    /// What happens to each who waits; a question that is asked again stands for its leader.
    fn answered(&mut self, question: u32, answer: Option<Answer>) -> Vec<(u32, Done)> {
        let peer = self.worker.questions.get(question).map(|question| question.peer.clone());
        self.answered_by(question, &peer.unwrap(), answer)
    }

    fn answered_by(&mut self, question: u32, peer: &Choice, answer: Option<Answer>) -> Vec<(u32, Done)> {
        self.came_back(question, peer, false, answer.ok_or(Failure::Peer))
    }

    fn came_back(
        &mut self,
        question: u32,
        peer: &Choice,
        given_up: bool,
        answer: Result<Answer, Failure>,
    ) -> Vec<(u32, Done)> {
        let mut call =
            self.worker.questions.get(question).map(|asked| Call::new(question, asked)).or(self.last.clone()).unwrap();
        self.last = Some(call.clone());
        (call.question, call.peer, call.given_up) = (question, peer.clone(), given_up);
        let next = Exchange { worker: &mut self.worker, now: self.now }.answered(&call, answer);
        self.went_on(question, next)
    }

    /// A question goes out: Envoy's number for the call.
    fn send(&mut self, question: u32) -> u32 {
        self.tokens += 1;
        self.worker.questions.sent(self.tokens, question);
        self.tokens
    }

    /// Time passes while the worker looks as often as it should.
    fn attends_until(&mut self, now: u64) {
        while self.now < now {
            self.now = now.min(self.now + LOOK);
            self.worker.attention.look(self.now);
        }
    }

    /// What happens when peers have been silent for as long as they may.
    fn silent(&mut self) -> Vec<(u32, Done)> {
        let silent = self.worker.questions.silent(self.worker.attention.time());
        let one = |proxy: &mut Self, call: Call| {
            let next = Exchange { worker: &mut proxy.worker, now: proxy.now }.gives_up(&call);
            proxy.went_on(call.question, next)
        };
        silent.into_iter().flat_map(|call| one(self, call)).collect()
    }

    /// What happens when a peer has been silent for as long as the group lets it before the next is asked, too.
    fn hedged(&mut self) -> Vec<(u32, Done)> {
        let silent = self.worker.questions.to_hedge(self.worker.attention.time());
        let one = |proxy: &mut Self, question| {
            let next = Exchange { worker: &mut proxy.worker, now: proxy.now }.hedges(question);
            proxy.went_on(question, next)
        };
        silent.into_iter().flat_map(|question| one(self, question)).collect()
    }

    fn went_on(&mut self, question: u32, next: Next) -> Vec<(u32, Done)> {
        let leader = self.worker.questions.get(question).map(|question| question.leader);
        match next {
            Next::Ask(ask) => vec![(leader.unwrap(), Done::Ask(ask))],
            Next::Nothing => Vec::new(),
            Next::Deliver(mut delivery) => {
                let mut all = Vec::new();
                while let Some((stream, step)) = delivery.next(&mut self.worker, self.now) {
                    all.push((stream, done(step)));
                }
                assert!(delivery.is_over());
                all
            }
        }
    }

    /// Gets an answer into the hot cache.
    fn heat(&mut self, target: &str, fields: &[(&str, &str)], body: &str) {
        let question = self.question(target);
        self.answer(question, SHARED, fields, body);
    }
}

const SHARED: &str = "miss; ttl=60000; age=2000; fwd-status=200; shared; stored";
const HOT: &str = "meshcache; hit; ttl=60; detail=proxy";

fn hot(body: &str) -> Done {
    Done::Reply(200, body.into(), HOT.into())
}

#[test]
fn a_miss_asks_the_owner_and_its_answer_is_hot_afterwards() {
    let mut proxy = Proxy::new("{}");
    let Done::Ask(ask) = proxy.get("/x") else { panic!() };
    assert_eq!(ask.timeout, 10_000);
    let replied = proxy.answer(ask.question, SHARED, &[("cache-status", "near; hit")], "body");
    assert_eq!(
        replied,
        [(1, Done::Reply(200, "body".into(), "near; hit, meshcache; fwd=uri-miss; fwd-status=200; stored".into()))]
    );
    assert_eq!(proxy.get("/x"), Done::Reply(200, "body".into(), format!("near; hit, {HOT}")));
    assert!(matches!(proxy.get("/y"), Done::Ask(_)));
    assert!(proxy.worker.questions.len() == 1);
}

#[test]
fn a_question_is_the_clients_own_request_and_what_the_owner_has_to_know() {
    let mut proxy = Proxy::new("{}");
    let Done::Ask(ask) = proxy.ask(
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
    let known = proxy.worker.known().unwrap().clone();
    let question = proxy.worker.questions.get(ask.question).unwrap();
    let headers =
        message::compose(question, &known, &MarkedPosition { position: "p".into(), marks: "m".into() }, None).unwrap();
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
                "1; group=g; namespace=ns; rules={}; purge=p; marks=m; ring={:016x}; patience=100",
                question.group.digest(),
                known.ring.version()
            ),
        ),
        ("meshcache-scheme", "http"),
        ("meshcache-peer", &question.peer.address),
    ] {
        assert_eq!(get(name), value, "{name}");
    }
}

#[test]
fn requests_for_one_key_share_one_question() {
    let mut proxy = Proxy::new("{}");
    let question = proxy.question("/x");
    for _ in 0..100 {
        assert_eq!(proxy.get("/x"), Done::Wait);
    }
    let replied = proxy.answer(question, SHARED, &[], "body");
    assert_eq!(replied.len(), 101);
    let said =
        |done: &Done| matches!(done, Done::Reply(200, body, said) if body == b"body" && said.ends_with("; collapsed"));
    assert!(replied.iter().all(|(stream, done)| said(done) == (*stream != 1)));
    assert!(proxy.worker.questions.is_empty());
}

#[test]
fn a_client_that_leaves_takes_nobody_along() {
    let mut proxy = Proxy::new("{}");
    let question = proxy.question("/x");
    assert_eq!(proxy.get("/x"), Done::Wait);
    proxy.worker.questions.leave(1);
    assert_eq!(proxy.answer(question, "loading", &[], ""), [(1, Done::Ask(Ask { question, timeout: 10_000 }))]);
    assert!(matches!(proxy.answer(question, SHARED, &[], "body")[..], [(2, Done::Reply(200, ..))]));
    assert_eq!(proxy.get("/x"), hot("body"));
}

#[test]
fn nobody_asks_again_for_clients_that_all_left() {
    let mut proxy = Proxy::new("{}");
    let question = proxy.question("/x");
    proxy.worker.questions.leave(1);
    assert_eq!(proxy.answer(question, "loading", &[], ""), []);
    assert!(proxy.worker.questions.is_empty());
}

#[test]
fn an_answer_that_is_not_shared_is_its_askers_alone_and_the_others_ask_side_by_side() {
    let mut proxy = Proxy::new("{}");
    let question = proxy.question("/x");
    proxy.get("/x");
    proxy.get("/x");
    let replied = proxy.answer(question, "miss; ttl=60000; age=0", &[], "mine");
    assert!(
        matches!(&replied[..], [(1, Done::Reply(..)), (2, Done::Ask(one)), (3, Done::Ask(two))] if one.question != two.question)
    );
    assert!(matches!(proxy.get("/x"), Done::Ask(_)), "it is not kept either");
}

#[test]
fn an_answer_is_given_only_to_those_whom_its_vary_selects() {
    let mut proxy = Proxy::new("{}");
    let german = [("accept-language", "de")];
    let Done::Ask(ask) = proxy.ask("GET", "/x", &german) else { panic!() };
    assert_eq!(proxy.ask("GET", "/x", &german), Done::Wait);
    assert_eq!(proxy.ask("GET", "/x", &[("accept-language", "fr")]), Done::Wait);
    let vary = [("vary", "accept-language")];
    let replied = proxy.answer(ask.question, SHARED, &vary, "hallo");
    assert!(matches!(&replied[..], [(1, Done::Reply(..)), (2, Done::Reply(..)), (3, Done::Ask(_))]), "{replied:?}");
    let Some((_, Done::Ask(french))) = replied.last().cloned() else { panic!() };
    assert_eq!(proxy.ask("GET", "/x", &german), hot("hallo"));
    proxy.answer(french.question, SHARED, &vary, "salut");
    assert_eq!(proxy.ask("GET", "/x", &german), hot("hallo"));
    assert_eq!(proxy.ask("GET", "/x", &[("accept-language", "fr")]), hot("salut"));
    assert!(matches!(proxy.ask("GET", "/x", &[("accept-language", "it")]), Done::Ask(_)));
}

#[test]
fn an_answer_with_vary_star_is_shared_with_nobody() {
    let mut proxy = Proxy::new("{}");
    let question = proxy.question("/x");
    proxy.get("/x");
    let replied = proxy.answer(question, SHARED, &[("vary", "*")], "body");
    assert!(matches!(&replied[..], [(1, Done::Reply(..)), (2, Done::Ask(_))]));
    assert_eq!(proxy.worker.hot.len(), 0);
}

#[test]
fn what_names_its_user_or_wants_a_part_asks_for_itself() {
    let mut proxy = Proxy::new("{}");
    proxy.question("/x");
    for field in [
        ("authorization", "a"),
        ("cookie", "a=b"),
        ("range", "bytes=0-1"),
        ("if-none-match", "\"a\""),
        ("cache-control", "only-if-cached"),
    ] {
        assert!(matches!(proxy.ask("GET", "/x", &[field]), Done::Ask(_)), "{field:?}");
    }
    assert!(matches!(proxy.ask("HEAD", "/x", &[]), Done::Ask(_)));
    proxy.verified = true;
    assert!(matches!(proxy.get("/x"), Done::Ask(_)));
}

#[test]
fn a_hot_answer_is_for_those_who_name_themselves_only_if_it_is_for_everybody() {
    let mut proxy = Proxy::new("{}");
    proxy.heat("/x", &[], "body");
    assert!(matches!(proxy.ask("GET", "/x", &[("authorization", "a")]), Done::Ask(_)));
    let question = proxy.question("/y");
    proxy.answer(question, &format!("{SHARED}; everybody"), &[], "public");
    assert_eq!(proxy.ask("GET", "/y", &[("authorization", "a")]), hot("public"));
    proxy.verified = true;
    assert_eq!(proxy.get("/y"), hot("public"));
    assert!(matches!(proxy.get("/x"), Done::Ask(_)), "a token that the proxy verified names its user, too");
}

#[test]
fn an_owners_pass_lets_all_go_and_is_remembered_for_its_time() {
    let mut proxy = Proxy::new("{}");
    let question = proxy.question("/x");
    proxy.get("/x");
    let let_go = proxy.answer(question, "pass; reason=private; for=10000", &[], "");
    assert_eq!(let_go, [(1, Done::Pass(Reason::Owner)), (2, Done::Pass(Reason::Owner))]);
    proxy.now = 9_999;
    proxy.worker.hears(9_999);
    assert_eq!(proxy.get("/x"), Done::Pass(Reason::Remembered));
    proxy.now = 10_000;
    assert!(matches!(proxy.get("/x"), Done::Ask(_)));
}

#[test]
fn the_second_request_is_told_the_owners_reason_too() {
    let mut proxy = Proxy::new("{}");
    for (path, owners, said) in [
        ("/a", "private", "meshcache; fwd=bypass; detail=private"),
        ("/b", "of-another-version", "meshcache; fwd=bypass; detail=of-another-version"),
        ("/c", "longer-than-any-word-of-any-version", "meshcache; fwd=bypass; detail=owner"),
    ] {
        let question = proxy.question(path);
        let verdict = format!("pass; reason={owners}; for=10000");
        assert_eq!(proxy.answer(question, &verdict, &[], ""), [(proxy.streams, Done::Pass(Reason::Owner))]);
        let Step::Pass(second) = proxy.step("GET", path, &[]) else { panic!("it is asked again") };
        assert_eq!((second.reason, second.note.as_deref()), (Reason::Remembered, Some(said)));
    }
}

#[test]
fn a_pass_says_why_where_that_is_ours_to_say() {
    let said = |proxy: &mut Proxy, target: &str, fields: &[(&str, &str)]| match proxy.step("GET", target, fields) {
        Step::Pass(pass) => pass.note.map(|note| note.replace("meshcache; fwd=bypass; detail=", "")),
        _ => panic!("it does not pass"),
    };
    let bypass = r#"{"bypass": {"headers": ["x-a"], "cookies": ["b"], "query": ["c"]}}"#;
    let mut proxy = Proxy::new(bypass);
    for (target, fields, why) in [
        ("//x", &[][..], "ambiguous-path"),
        ("/a/../b", &[], "ambiguous-path"),
        ("x", &[], "bad-target"),
        ("/none", &[], "no-path"),
        ("/x", &[("x-a", "1")], "bypass-header"),
        ("/x", &[("cookie", "b=1")], "bypass-cookie"),
        ("/x?c", &[], "bypass-query"),
    ] {
        assert_eq!(said(&mut proxy, target, fields).as_deref(), Some(why), "{target}");
    }
    // Another's path, and a group that changes nothing for clients.
    proxy.side = Side::Inbound;
    assert_eq!(said(&mut proxy, "//x", &[]), None, "this side is not served");
    for mode in ["observe", "off"] {
        let mut proxy = Proxy::new(&format!(r#"{{"mode": "{mode}"}}"#));
        assert_eq!(["//x", "/none"].map(|target| said(&mut proxy, target, &[])), [None, None], "{mode}");
    }
}

#[test]
fn a_host_of_no_group_is_told_so_by_the_listener_of_the_groups_service_only() {
    let said = |proxy: &mut Proxy| match proxy.step("GET", "/x", &[]) {
        Step::Pass(pass) => (pass.reason, pass.note),
        _ => panic!("it does not pass"),
    };
    let other = r#"{"match": {"hosts": ["other"]}}"#;
    let named = Some(vec!["g".to_owned()]);
    for (group, groups, side, says) in [
        (other, named.clone(), Side::Inbound, true),
        (other, named.clone(), Side::Outbound, false),
        (other, None, Side::Inbound, false),
        (other, None, Side::Outbound, false),
        (r#"{"match": {"hosts": ["other"]}, "mode": "observe"}"#, named, Side::Inbound, false),
    ] {
        let mut proxy = Proxy::new(group);
        (proxy.site, proxy.side) = (Site::new(groups.clone(), None, None), side);
        let note = says.then(|| "meshcache; fwd=bypass; detail=no-group".to_owned());
        assert_eq!(said(&mut proxy), (Reason::NoGroup, note), "{groups:?} {side:?}");
    }
}

#[test]
fn an_owner_that_loads_is_asked_again_until_two_loads_had_their_time() {
    let mut proxy = Proxy::new(r#"{"origin": {"url": "http://o", "timeout": "2s"}, "patience": "500ms"}"#);
    let question = proxy.question("/x");
    let owner = proxy.peer(question);
    for now in [375, 1000, 4499] {
        proxy.now = now;
        assert_eq!(proxy.answer(question, "loading", &[], ""), [(1, Done::Ask(Ask { question, timeout: 5_000 }))]);
        assert_eq!(proxy.peer(question), owner);
    }
    proxy.now = 4500;
    assert_eq!(proxy.answer(question, "loading", &[], ""), [(1, Done::Pass(Reason::TooSlow))]);
}

#[test]
fn who_is_told_loading_and_asks_again_has_not_joined_itself() {
    for (first, last) in [("loading", "stored"), ("loading; collapsed", "stored; collapsed")] {
        let mut proxy = Proxy::new("{}");
        let question = proxy.question("/x");
        proxy.answer(question, first, &[], "");
        let replied = proxy.answer(question, &format!("{SHARED}; collapsed"), &[], "body");
        assert!(matches!(&replied[..], [(1, Done::Reply(_, _, said))] if said.ends_with(last)), "{replied:?}");
    }
}

#[test]
fn when_the_owner_does_not_answer_the_next_peer_is_asked_once_and_then_all_pass() {
    let mut proxy = Proxy::new("{}");
    let question = proxy.question("/x");
    let owner = proxy.peer(question);
    proxy.get("/x");
    assert_eq!(proxy.answered(question, None), [(1, Done::Ask(Ask { question, timeout: 10_000 }))]);
    let next = proxy.peer(question);
    assert!(!owner.hop && next.hop && owner.address != next.address);
    assert_eq!(
        proxy.answered(question, None),
        [(1, Done::Pass(Reason::PeersFailed)), (2, Done::Pass(Reason::PeersFailed))]
    );
    let third = proxy.question("/x");
    let third = proxy.peer(third);
    assert!(
        third.hop && third.address != next.address && third.address != owner.address,
        "its first two peers rest for a second"
    );
}

#[test]
fn one_question_at_a_time_tries_whether_a_peer_is_back() {
    let mut proxy = Proxy::new("{}");
    let question = proxy.question("/x");
    let owner = proxy.peer(question);
    proxy.answered(question, None);
    proxy.answer(question, SHARED, &[], "body");
    let asked = |proxy: &mut Proxy| {
        let question = proxy.ask("GET", "/x", &[("authorization", "me")]);
        let Done::Ask(ask) = question else { panic!("{question:?}") };
        (ask.question, proxy.peer(ask.question))
    };
    assert_ne!(asked(&mut proxy).1, owner);
    proxy.now = 1000;
    let (trial, peer) = asked(&mut proxy);
    assert_eq!(peer, owner);
    assert_ne!(asked(&mut proxy).1, owner, "the trial is under way");
    proxy.answer(trial, "miss", &[], "");
    assert_eq!((asked(&mut proxy).1, asked(&mut proxy).1), (owner.clone(), owner), "it is back");
}

#[test]
fn a_group_that_hedges_asks_the_next_peer_too_when_the_owner_is_silent() {
    let mut proxy = Proxy::new(r#"{"hedge": "50ms", "patience": "400ms"}"#);
    let question = proxy.question("/x");
    let owner = proxy.peer(question);
    proxy.attends_until(49);
    assert!(proxy.hedged().is_empty() && proxy.worker.questions.may_hedge());
    proxy.attends_until(50);
    assert_eq!(proxy.hedged(), [(1, Done::Ask(Ask { question, timeout: 5_000 }))]);
    let next = proxy.peer(question);
    assert!(next.hop && proxy.hedged().is_empty(), "once");
    // The owner fails at last: the next one is waited for.
    proxy.now = 400;
    assert!(proxy.answered_by(question, &owner, None).is_empty());
    assert!(matches!(
        &proxy.answered_by(question, &next, Answer::read(&message(SHARED), Vec::new(), false).ok())[..],
        [(1, Done::Reply(..))]
    ));
    // Whoever answers later answers nobody, and has answered.
    assert!(proxy.answered_by(question, &owner, Answer::read(&message(SHARED), Vec::new(), false).ok()).is_empty());
    assert_eq!(
        proxy
            .worker
            .peers
            .choose(&proxy.worker.known().unwrap().clone().ring, meshcache_protocol::Hash::of(b"any"), 401)
            .map(|choice| choice.hop),
        Some(false)
    );
}

#[test]
fn an_owner_that_is_loading_is_not_silent() {
    let mut proxy = Proxy::new(r#"{"hedge": "50ms", "patience": "400ms"}"#);
    let question = proxy.question("/x");
    assert_eq!(
        proxy.worker.questions.get(question).unwrap().told_patience(),
        36,
        "it says so before the next is asked"
    );
    proxy.attends_until(40);
    proxy.answer(question, "loading", &[], "");
    assert_eq!(proxy.worker.questions.get(question).unwrap().told_patience(), 300);
    proxy.attends_until(399);
    assert!(proxy.hedged().is_empty() && !proxy.worker.questions.may_hedge());
}

#[test]
fn when_all_peers_have_failed_nobody_is_asked_until_a_coordinator_is_heard() {
    let mut proxy = Proxy::new("{}");
    for n in 0..100 {
        if let Done::Ask(ask) = proxy.get(&format!("/{n}")) {
            while proxy.worker.questions.get(ask.question).is_some() {
                proxy.answered(ask.question, None);
            }
        }
    }
    proxy.now = 1000;
    assert_eq!(proxy.get("/x"), Done::Pass(Reason::NoPeer));
    proxy.worker.hears(1000);
    assert!(matches!(proxy.get("/x"), Done::Ask(_)));
}

#[test]
fn hot_answers_are_given_only_while_a_coordinator_is_heard() {
    let mut proxy = Proxy::new("{}");
    proxy.heat("/x", &[], "body");
    proxy.now = 2_999;
    assert!(matches!(proxy.get("/x"), Done::Reply(..)));
    proxy.now = 3_000;
    assert!(matches!(proxy.get("/x"), Done::Ask(_)));
    proxy.worker.hears(3_000);
    assert!(!matches!(proxy.get("/x"), Done::Reply(..)), "nobody knows what was purged meanwhile");
    proxy.heat("/y", &[], "body");
    assert!(matches!(proxy.get("/y"), Done::Reply(..)));
}

#[test]
fn without_coordinators_a_hot_answer_past_its_time_stands_in_for_a_service_that_fails() {
    let mut proxy = Proxy::new(r#"{"hot": {"ttl": "1s"}}"#);
    for (target, verdict) in
        [("/spare", "hit; ttl=1500; age=0; if-error=60000; shared"), ("/strict", "hit; ttl=1500; age=0; shared")]
    {
        let question = proxy.question(target);
        proxy.answer(question, verdict, &[], "body");
    }
    let fail = |proxy: &mut Proxy, target: &str| {
        let mut question = proxy.question(target);
        loop {
            let call = Call::new(question, proxy.worker.questions.get(question).unwrap());
            let mut exchange = Exchange { worker: &mut proxy.worker, now: proxy.now };
            match exchange.answered(&call, Err(Failure::Peer)) {
                Next::Ask(ask) => question = ask.question,
                Next::Deliver(mut delivery) => match delivery.next(&mut proxy.worker, proxy.now) {
                    Some((_, Step::Pass(pass))) => return pass,
                    _ => panic!("it does not pass"),
                },
                Next::Nothing => panic!("it is over"),
            }
        }
    };
    let said = |proxy: &Proxy, pass: &Pass, service: u16| {
        let mut spare = pass.spare.clone().unwrap();
        spare.reply(service, &proxy.worker, proxy.now).map(|reply| done(Step::Reply(reply)))
    };
    let given =
        |ttl: i32| Some(Done::Reply(200, b"body".to_vec(), format!("meshcache; hit; ttl={ttl}; detail=origin-error")));
    proxy.now = 1_000;
    assert_eq!(fail(&mut proxy, "/strict").spare, None, "neither group nor response allows it");
    proxy.worker.peers.clear();
    let pass = fail(&mut proxy, "/spare");
    assert_eq!([200, 404, 503].map(|service| said(&proxy, &pass, service)), [None, None, given(0)]);
    proxy.now = 2_900;
    assert_eq!(said(&proxy, &pass, 500), given(-2));
    ["a:1", "b:1", "c:1"].into_iter().for_each(|peer| proxy.worker.fails(peer, 2_900));
    // All have failed: nobody is asked, and the answer is there all the same.
    let Step::Pass(none) = proxy.step("GET", "/spare", &[]) else { panic!("somebody is asked") };
    assert_eq!((none.reason, said(&proxy, &none, 502)), (Reason::NoPeer, given(-2)));
    let Step::Pass(part) = proxy.step("GET", "/spare", &[("range", "bytes=0-1")]) else { panic!("somebody is asked") };
    assert_eq!(part.spare, None);
    proxy.now = 3_000;
    assert_eq!(said(&proxy, &pass, 503), None, "no coordinator would tell of a purge");
    proxy.now = 2_900;
    proxy.worker.forget_all();
    assert_eq!(said(&proxy, &pass, 503), None, "something was purged meanwhile");
}

#[test]
fn a_hot_answer_lives_as_long_as_the_group_says_and_never_longer_than_it_is_fresh() {
    let mut proxy = Proxy::new(r#"{"hot": {"ttl": "2s"}}"#);
    for (target, ttl, last) in [("/long", 60_000, 1_999), ("/short", 500, 499)] {
        proxy.now = 0;
        let question = proxy.question(target);
        proxy.answer(question, &format!("hit; ttl={ttl}; age=0; shared"), &[], "body");
        proxy.now = last;
        assert!(matches!(proxy.get(target), Done::Reply(..)), "{target}");
        proxy.now = last + 1;
        assert!(matches!(proxy.get(target), Done::Ask(_)), "{target}");
    }
    for (target, outcome) in
        [("/1", "stale; ttl=-1; age=9; shared"), ("/2", "hit; ttl=0; age=0; shared"), ("/3", "miss; ttl=9000; age=0")]
    {
        let question = proxy.question(target);
        proxy.answer(question, outcome, &[], "body");
        assert!(matches!(proxy.get(target), Done::Ask(_)), "{outcome}");
    }
}

#[test]
fn a_purge_that_comes_while_a_question_is_under_way_wins() {
    let mut proxy = Proxy::new("{}");
    proxy.heat("/old", &[], "old");
    let question = proxy.question("/x");
    let purge =
        Purge { source: "a.1".into(), n: 1, scope: serde_json::from_str(r#"{"all": true}"#).unwrap(), soft: false };
    let news = |since: &str| News {
        since: Position::parse(since).unwrap(),
        position: Position::parse("a.1:1").unwrap(),
        purges: vec![purge.clone()],
        ..News::default()
    };
    proxy.worker.purge(news(""));
    assert!(matches!(proxy.answer(question, SHARED, &[], "before")[..], [(_, Done::Reply(..))]));
    assert!(matches!(proxy.get("/x"), Done::Ask(_)));
    assert!(matches!(proxy.get("/old"), Done::Ask(_)));
    proxy.heat("/new", &[], "after");
    proxy.worker.purge(news("p.0:1"));
    assert_eq!(proxy.get("/new"), hot("after"), "hearing of a purge twice is once");
}

#[test]
fn who_comes_after_a_purge_does_not_join_a_question_from_before_it() {
    let mut proxy = Proxy::new("{}");
    let before = proxy.question("/x");
    assert_eq!(proxy.get("/x"), Done::Wait);
    let purge =
        Purge { source: "a.1".into(), n: 1, scope: serde_json::from_str(r#"{"all": true}"#).unwrap(), soft: false };
    proxy.worker.purge(News {
        since: Position::parse("p.0:1").unwrap(),
        position: Position::parse("a.1:1,p.0:1").unwrap(),
        purges: vec![purge],
        ..News::default()
    });
    let after = proxy.question("/x");
    assert_eq!(proxy.get("/x"), Done::Wait);
    let given = |all: Vec<(u32, Done)>, body: &str| {
        all.len() == 2
            && all.iter().all(|(_, done)| matches!(done, Done::Reply(_, given, _) if given == body.as_bytes()))
    };
    assert!(given(proxy.answer(before, SHARED, &[], "before"), "before"));
    assert!(given(proxy.answer(after, SHARED, &[], "after"), "after"));
}

#[test]
fn what_rests_on_other_rules_is_not_given() {
    let mut proxy = Proxy::new("{}");
    proxy.heat("/x", &[], "body");
    let question = proxy.question("/y");
    proxy.worker.learn(known(r#"{"hot": {"ttl": "5s"}}"#));
    assert!(matches!(proxy.get("/x"), Done::Ask(_)));
    assert!(matches!(proxy.get("/y"), Done::Ask(_)), "it does not join a question under other rules");
    proxy.answer(question, SHARED, &[], "body");
    assert_eq!(proxy.worker.hot.len(), 1);
}

#[test]
fn what_is_none_of_the_caches_business_passes_at_once() {
    let mut proxy = Proxy::new(r#"{"bypass": {"headers": ["x-nocache"]}}"#);
    for (method, target, field, reason) in [
        ("POST", "/x", ("a", "b"), Reason::Method),
        ("CONNECT", "/x", ("a", "b"), Reason::Method),
        ("GET", "/none", ("a", "b"), Reason::NoPath),
        ("GET", "/a/../b", ("a", "b"), Reason::AmbiguousPath),
        ("GET", "/.meshcache/feed", ("a", "b"), Reason::ControlPath),
        ("GET", "/x", ("upgrade", "websocket"), Reason::Upgrade),
        ("GET", "/x", ("expect", "100-continue"), Reason::Expect),
        ("GET", "/x", ("content-length", "5"), Reason::Body),
        ("GET", "/x", ("accept", "text/event-stream"), Reason::EventStream),
        ("GET", "/x", ("content-type", "application/grpc"), Reason::Grpc),
        ("GET", "/x", ("cdn-loop", "meshcache"), Reason::Loop),
        ("GET", "/x", ("x-nocache", ""), Reason::BypassHeader),
    ] {
        assert_eq!(proxy.ask(method, target, &[field]), Done::Pass(reason), "{method} {target} {field:?}");
    }
    assert_eq!(proxy.ask_whole("GET", "/x", &[], false), Done::Pass(Reason::Body));
    proxy.worker.forget();
    assert_eq!(proxy.get("/x"), Done::Pass(Reason::NoFeed));
}

#[test]
fn a_group_that_is_off_or_only_observes_changes_nothing() {
    for (mode, reason) in [("off", Reason::Off), ("observe", Reason::Observe)] {
        let mut proxy = Proxy::new(&format!(r#"{{"mode": "{mode}"}}"#));
        assert_eq!(proxy.get("/x"), Done::Pass(reason));
    }
    let mut proxy = Proxy::new(r#"{"mode": "observe"}"#);
    proxy.get("/x");
    proxy.ask("POST", "/x", &[]);
    assert_eq!(serde_json::to_string(&proxy.worker.counts.groups()).unwrap(), r#"{"g":{"observed":1,"uncached":1}}"#);
}

#[test]
fn inbound_only_named_groups_are_served_and_nothing_hot_is_taken_from_the_other_side() {
    let mut proxy = Proxy::new("{}");
    proxy.heat("/x", &[], "body");
    proxy.side = Side::Inbound;
    assert_eq!(proxy.get("/x"), Done::Pass(Reason::NoGroup));
    proxy.site = Site::new(Some(vec!["g".into()]), None, None);
    assert!(matches!(proxy.get("/x"), Done::Ask(_)));
    proxy.side = Side::Outbound;
    assert_eq!(proxy.get("/x"), hot("body"));
    proxy.site = Site::new(Some(vec!["other".into()]), None, None);
    assert_eq!(proxy.get("/x"), Done::Pass(Reason::NoGroup));
}

#[test]
fn a_side_that_is_configured_is_believed_while_envoy_agrees() {
    let mut proxy = Proxy::new("{}");
    proxy.site = Site::new(None, Some(Side::Outbound), None);
    proxy.heat("/x", &[], "body");
    assert_eq!(proxy.get("/x"), hot("body"));
    // The same configuration on a listener of the other side: found out within a second, and nothing is served from
    // then on.
    proxy.side = Side::Inbound;
    proxy.now += 1000;
    assert_eq!(proxy.get("/y"), Done::Pass(Reason::NoGroup));
    for side in [Side::Inbound, Side::Outbound] {
        proxy.side = side;
        assert_eq!(proxy.get("/x"), Done::Pass(Reason::NoGroup));
    }
    assert!(proxy.site.is_refuted());
    // Wrong from the start: the first request finds it out.
    proxy.site = Site::new(Some(vec!["g".into()]), Some(Side::Inbound), None);
    assert_eq!(proxy.get("/x"), Done::Pass(Reason::NoGroup));
}

#[test]
fn a_guarded_group_answers_only_its_callers() {
    let mut proxy = Proxy::new(r#"{"callers": ["spiffe://d/ns/shop/sa/*"]}"#);
    for (caller, may) in
        [(None, false), (Some("spiffe://d/ns/bank/sa/web"), false), (Some("spiffe://d/ns/shop/sa/web"), true)]
    {
        proxy.caller = caller;
        assert_eq!(proxy.get("/x") != Done::Pass(Reason::Caller), may, "{caller:?}");
    }
}

#[test]
fn a_debuggers_wishes_are_believed_and_nobody_elses() {
    let mut proxy = Proxy::new("{}");
    proxy.heat("/x", &[], "body");
    let wish = |proxy: &mut Proxy, name| proxy.ask("GET", "/x", &[(name, "1")]);
    assert_eq!(wish(&mut proxy, "meshcache-bypass"), hot("body"));
    assert_eq!(wish(&mut proxy, "meshcache-debug"), hot("body"));
    proxy.caller = Some("spiffe://d/ns/n/sa/dev");
    assert_eq!(wish(&mut proxy, "meshcache-bypass"), Done::Pass(Reason::Debugger));
    assert_eq!(
        wish(&mut proxy, "meshcache-debug"),
        Done::Reply(
            200,
            "body".into(),
            "meshcache; hit; ttl=60; detail=\"proxy why=max-age\"; key=\"g http://h/x\"".into()
        )
    );
}

#[test]
fn conditions_ranges_and_head_are_answered_from_the_hot_answer() {
    let mut proxy = Proxy::new("{}");
    let body = "0123456789".repeat(100);
    proxy.heat("/x", &[("etag", "\"e\""), ("content-type", "t"), ("content-length", "1000")], &body);
    let mut given = |method: &str, field: (&str, &str)| match proxy.ask(method, "/x", &[field]) {
        Done::Reply(status, body, said) => {
            assert_eq!(said, HOT);
            (status, String::from_utf8(body).unwrap())
        }
        other => panic!("{method} {field:?}: {other:?}"),
    };
    assert_eq!(given("HEAD", ("a", "b")), (200, body.clone()));
    assert_eq!(given("GET", ("if-none-match", "\"e\"")), (304, String::new()));
    assert_eq!(given("GET", ("if-none-match", "\"f\"")), (200, body.clone()));
    assert_eq!(given("GET", ("range", "bytes=2-4")), (206, "234".into()));
    assert_eq!(given("GET", ("range", "bytes=2000-")), (416, String::new()));
    assert!(matches!(proxy.ask("GET", "/x", &[("range", "bytes=0-1,500-501")]), Done::Ask(_)));
}

#[test]
fn a_part_is_never_kept() {
    let mut proxy = Proxy::new("{}");
    let Done::Ask(ask) = proxy.ask("GET", "/x", &[("range", "bytes=0-1")]) else { panic!() };
    proxy.answer(ask.question, SHARED, &[("content-range", "bytes 0-1/10")], "01");
    let Done::Ask(ask) = proxy.ask("HEAD", "/x", &[]) else { panic!() };
    proxy.answer(ask.question, SHARED, &[], "");
    assert_eq!(proxy.worker.hot.len(), 0);
}

#[test]
fn more_than_a_worker_holds_passes() {
    let mut proxy = Proxy::new("{}");
    let long = "v".repeat(60_000);
    let mut passed = 0;
    for _ in 0..300 {
        passed += usize::from(proxy.ask("GET", "/x", &[("x", &long)]) == Done::Pass(Reason::Full));
    }
    assert!((150..200).contains(&passed), "{passed}");
    assert!(matches!(proxy.get("/y"), Done::Ask(_)), "what is small still has room");
}

#[test]
fn a_value_that_is_no_text_passes_instead_of_being_asked() {
    let mut proxy = Proxy::new("{}");
    let fields: [Field<'_>; 5] =
        [(b":method", b"GET"), (b":authority", b"h"), (b":path", b"/x"), (b":scheme", b"http"), (b"x", b"\xff")];
    let map = pairs::write(fields.into_iter());
    let head = Head::read(&map).unwrap();
    proxy.site.learn(proxy.worker.known());
    let arrival = Arrival { stream: 1, map: &map, head: &head, whole: true };
    let step = Exchange { worker: &mut proxy.worker, now: 0 }.start(
        &proxy.site,
        arrival,
        &Told { side: Side::Outbound, caller: None, verified: false, cluster: Some("service") },
    );
    assert_eq!(done(step), Done::Pass(Reason::NotText));
}

#[test]
fn a_question_that_envoy_forgot_ends_by_itself() {
    let mut proxy = Proxy::new("{}");
    let question = proxy.question("/x");
    proxy.send(question);
    assert!(proxy.worker.questions.overdue(11_000).is_empty() && proxy.worker.questions.is_waiting());
    assert_eq!(proxy.worker.questions.overdue(11_001), [question]);
    assert!(proxy.worker.questions.has_no_calls());
}

#[test]
fn known_is_shared_not_copied() {
    let mut proxy = Proxy::new("{}");
    proxy.get("/x");
    assert!(Rc::ptr_eq(proxy.site.known().unwrap(), proxy.worker.known().unwrap()));
}

/// What a question says on its way to its peer.
fn said(proxy: &Proxy, question: u32) -> wire::Question {
    let known = proxy.worker.known().unwrap().clone();
    let question = proxy.worker.questions.get(question).unwrap();
    let headers = message::compose(question, &known, &MarkedPosition::default(), None).unwrap();
    let (_, value) = headers.iter().find(|(name, _)| *name == wire::header::WIRE).unwrap();
    wire::Question::parse(value).unwrap()
}

/// Who has which answer.
fn replied(all: &[(u32, Done)], body: &str) -> Vec<u32> {
    let has = |done: &Done| matches!(done, Done::Reply(_, given, _) if given == body.as_bytes());
    all.iter().filter(|(_, done)| has(done)).map(|(stream, _)| *stream).collect()
}

#[test]
fn who_comes_when_a_load_has_begun_asks_again_together_for_what_must_be_validated() {
    let mut proxy = Proxy::new("{}");
    let question = proxy.question("/x");
    proxy.now = 20;
    proxy.get("/x");
    for now in [30, 500] {
        proxy.now = now;
        proxy.get("/x");
    }
    proxy.now = 1000;
    // The load began at 25.
    let all = proxy.answer(question, "miss; ttl=0; age=0; fwd-status=200; shared; load=975", &[("etag", "e")], "first");
    assert_eq!(replied(&all, "first"), [1, 2]);
    let [_, _, (3, Done::Ask(ask)), (4, Done::Wait)] = &all[..] else { panic!("{all:?}") };
    assert_eq!(said(&proxy, ask.question).waited, 500, "what was loaded since the last of them came is theirs");
    // Another one comes meanwhile: the load of theirs has begun before it.
    proxy.now = 1100;
    assert_eq!(proxy.get("/x"), Done::Wait);
    proxy.now = 2000;
    let all = proxy.answer(ask.question, "miss; ttl=0; age=0; fwd-status=200; shared; load=995", &[], "second");
    assert_eq!(replied(&all, "second"), [3, 4]);
    assert!(matches!(all[..], [_, _, (5, Done::Ask(_))]), "{all:?}");
    assert_eq!(proxy.worker.questions.len(), 1);
}

#[test]
fn those_who_ask_again_together_share_with_who_has_asked_meanwhile() {
    let mut proxy = Proxy::new("{}");
    let question = proxy.question("/x");
    for now in [10, 11] {
        proxy.now = now;
        proxy.get("/x");
    }
    proxy.now = 500;
    let call = Call::new(question, proxy.worker.questions.get(question).unwrap());
    let answer = Answer::read(&message("revalidated; ttl=-5; age=5; shared"), b"first".to_vec(), false);
    let Next::Deliver(mut delivery) = Exchange { worker: &mut proxy.worker, now: 500 }.answered(&call, answer) else {
        panic!()
    };
    assert!(matches!(delivery.next(&mut proxy.worker, 500), Some((1, Step::Reply(_)))));
    let newer = proxy.question("/x");
    assert!(matches!(delivery.next(&mut proxy.worker, 500), Some((2, Step::Wait))));
    assert!(matches!(delivery.next(&mut proxy.worker, 500), Some((3, Step::Wait))));
    assert_eq!(
        replied(&proxy.answer(newer, "miss; ttl=0; age=0; shared", &[], "second"), "second"),
        [4, 2, 3],
        "they came before it was asked"
    );
}

#[test]
fn an_owner_that_does_not_say_when_it_loaded_is_asked_again_by_all_who_joined() {
    let mut proxy = Proxy::new("{}");
    let question = proxy.question("/x");
    proxy.now = 1;
    proxy.get("/x");
    let all = proxy.answer(question, "miss; ttl=0; age=0; shared", &[], "first");
    assert!(
        matches!(&all[..], [(1, Done::Reply(..)), (2, Done::Ask(ask))] if said(&proxy, ask.question).waited == 0),
        "{all:?}"
    );
}

#[test]
fn what_is_fresh_or_stored_or_for_all_who_wait_is_given_whenever_they_came() {
    for outcome in [
        "miss; ttl=1; age=0; shared; load=1",
        "hit; ttl=0; age=0; shared",
        "stale; ttl=-9; age=9; shared",
        "miss; ttl=0; age=0; fwd-status=503; load=1; waiters",
    ] {
        let mut proxy = Proxy::new("{}");
        let Done::Ask(ask) = proxy.ask("GET", "/x", &[("accept-language", "de")]) else { panic!() };
        proxy.now = 500;
        proxy.ask("GET", "/x", &[("accept-language", "de")]);
        proxy.ask("GET", "/x", &[("accept-language", "en")]);
        let all = proxy.answer(ask.question, outcome, &[("vary", "accept-language")], "one");
        assert_eq!(replied(&all, "one"), [1, 2], "{outcome}");
        assert!(matches!(all.last(), Some((3, Done::Ask(_)))), "{outcome}: it varies");
    }
}

#[test]
fn a_failure_is_for_all_who_wait_once_a_second_load_has_brought_it_too() {
    let fails = |proxy: &mut Proxy, question: u32, status: &str, outcome: &str| {
        let map = pairs::write(
            [(&b":status"[..], status.as_bytes()), (b"meshcache-outcome", outcome.as_bytes())].into_iter(),
        );
        let answer = Answer::read(&map, b"failed".to_vec(), false).ok();
        proxy.answered(question, answer)
    };
    const FIRST: &str = "miss; ttl=0; age=0; fwd-status=503; shared";
    for second in ["miss; ttl=0; age=0; fwd-status=503; waiters", FIRST] {
        let mut proxy = Proxy::new("{}");
        let question = proxy.question("/x");
        (0..3).for_each(|_| assert_eq!(proxy.get("/x"), Done::Wait));
        let all = fails(&mut proxy, question, "503", FIRST);
        let [(1, Done::Reply(503, ..)), (2, Done::Ask(ask)), (3, Done::Wait), (4, Done::Wait)] = &all[..] else {
            panic!("{all:?}")
        };
        assert_eq!(proxy.get("/x"), Done::Wait);
        let all = fails(&mut proxy, ask.question, "404", second);
        let given = all.iter().filter(|(_, done)| matches!(done, Done::Reply(404, ..))).count();
        let alone = all.iter().filter(|(_, done)| matches!(done, Done::Ask(_))).count();
        assert_eq!((given, alone), if second == FIRST { (1, 3) } else { (4, 0) }, "{all:?}");
    }
}

#[test]
fn the_flight_that_an_owner_names_is_said_when_it_is_asked_again_and_to_nobody_else() {
    let mut proxy = Proxy::new("{}");
    let question = proxy.question("/x");
    assert_eq!(
        (said(&proxy, question).patience, said(&proxy, question).flight),
        (100, 0),
        "the first word is wanted soon"
    );
    proxy.now = 100;
    proxy.answer(question, "loading; flight=7", &[], "");
    assert_eq!(
        (said(&proxy, question).patience, said(&proxy, question).flight, said(&proxy, question).waited),
        (750, 7, 100)
    );
    proxy.answer(question, "loading; flight=9", &[], "");
    assert_eq!(said(&proxy, question).flight, 9);
    proxy.answered(question, None);
    assert_eq!((said(&proxy, question).patience, said(&proxy, question).flight), (100, 0), "another peer");
}

#[test]
fn a_silent_owner_is_given_up_after_its_patience_and_may_still_answer() {
    let mut proxy = Proxy::new("{}");
    let question = proxy.question("/x");
    let owner = proxy.peer(question);
    let token = proxy.send(question);
    proxy.attends_until(999);
    assert!(proxy.silent().is_empty());
    proxy.attends_until(1000);
    assert_eq!(proxy.silent(), [(1, Done::Ask(Ask { question, timeout: 10_000 }))]);
    assert!(proxy.peer(question).hop && proxy.silent().is_empty());
    let second = proxy.send(question);
    let first = proxy.worker.questions.by_token(token).unwrap();
    assert!(first.given_up && first.peer == owner);
    // Envoy gives it up long after: that has counted.
    proxy.worker.peers.answered(&owner.address);
    assert!(proxy.came_back(question, &owner, true, Err(Failure::Peer)).is_empty());
    let ring = proxy.worker.known().unwrap().ring.clone();
    assert_eq!(
        proxy.worker.peers.choose(&ring, proxy.worker.questions.get(question).unwrap().key.hash(), proxy.now),
        Some(owner.clone())
    );
    let late = Answer::read(&message(SHARED), b"late".to_vec(), false);
    assert_eq!(replied(&proxy.came_back(question, &owner, true, late), "late"), [1]);
    assert!(proxy.worker.questions.by_token(second).is_some() && proxy.worker.questions.is_empty());
}

#[test]
fn when_both_peers_are_silent_all_pass() {
    let mut proxy = Proxy::new("{}");
    let question = proxy.question("/x");
    proxy.send(question);
    proxy.attends_until(1000);
    assert!(matches!(proxy.silent()[..], [(1, Done::Ask(_))]));
    proxy.send(question);
    proxy.attends_until(1999);
    assert!(proxy.silent().is_empty());
    proxy.attends_until(2000);
    assert_eq!(proxy.silent(), [(1, Done::Pass(Reason::PeersFailed))]);
    assert!(!proxy.worker.questions.is_waiting(), "nobody looks for them any more");
}

#[test]
fn what_a_worker_sleeps_through_is_not_its_peers_silence() {
    let mut proxy = Proxy::new("{}");
    let question = proxy.question("/x");
    proxy.send(question);
    // Ten seconds in which it looks ten times a second, and is late by 90 ms each time.
    for _ in 0..49 {
        proxy.now += 100;
        proxy.worker.attention.look(proxy.now);
    }
    assert!(proxy.silent().is_empty(), "49 looks of 20 ms");
    proxy.now += 100;
    proxy.worker.attention.look(proxy.now);
    assert!(matches!(proxy.silent()[..], [(1, Done::Ask(_))]), "a silent peer is left in the end");
}

#[test]
fn a_peer_that_answers_anything_is_not_silent() {
    let mut proxy = Proxy::new("{}");
    let one = proxy.question("/x");
    proxy.send(one);
    let owner = proxy.peer(one);
    let others: Vec<u32> = (0..50).map(|n| proxy.question(&format!("/{n}"))).collect();
    let other = others.into_iter().find(|other| proxy.peer(*other) == owner).unwrap();
    proxy.attends_until(900);
    assert!(matches!(proxy.answer(other, "loading", &[], "")[..], [(_, Done::Ask(_))]));
    proxy.attends_until(1899);
    assert!(proxy.silent().is_empty());
    proxy.attends_until(1900);
    assert!(matches!(proxy.silent()[..], [(1, Done::Ask(_))]));
}

#[test]
fn a_question_to_peers_that_are_idle_starts_its_time_when_it_is_asked() {
    let mut proxy = Proxy::new(r#"{"hedge": "20ms"}"#);
    proxy.now = 240;
    proxy.question("/x");
    proxy.now = 259;
    proxy.worker.attention.look(259);
    assert!(proxy.hedged().is_empty());
    proxy.worker.attention.look(260);
    assert_eq!(proxy.hedged().len(), 1);
}

#[test]
fn a_stream_that_is_broken_off_sends_its_question_on_and_leaves_the_peer_to_others() {
    let mut proxy = Proxy::new("{}");
    let question = proxy.question("/x");
    let owner = proxy.peer(question);
    assert!(matches!(proxy.came_back(question, &owner, false, Err(Failure::Stream))[..], [(1, Done::Ask(_))]));
    let next = proxy.peer(question);
    assert!(next.hop);
    assert_eq!(proxy.came_back(question, &next, false, Err(Failure::Stream)), [(1, Done::Pass(Reason::PeersFailed))]);
    let again = proxy.question("/x");
    assert_eq!(proxy.peer(again), owner, "it may have been the answer's fault");
    assert!(matches!(proxy.came_back(again, &owner, false, Err(Failure::Stream))[..], [(2, Done::Ask(_))]));
    let Done::Ask(third) = proxy.ask("GET", "/x", &[("authorization", "me")]) else { panic!() };
    assert!(proxy.peer(third.question).hop, "twice in a row");
}

#[test]
fn a_pass_is_for_its_variant_and_drops_nothing_hot_and_ends_with_an_answer_that_may_be_shared() {
    let mut proxy = Proxy::new("{}");
    let asks = |proxy: &mut Proxy, language: &str| proxy.ask("GET", "/x", &[("accept-language", language)]);
    let vary = [("vary", "accept-language")];
    let Done::Ask(german) = asks(&mut proxy, "de") else { panic!() };
    proxy.answer(german.question, SHARED, &vary, "hallo");
    let Done::Ask(french) = asks(&mut proxy, "fr") else { panic!() };
    proxy.answer(french.question, "pass; reason=private; for=10000; vary=accept-language", &[], "");
    assert_eq!(asks(&mut proxy, "de"), hot("hallo"));
    assert_eq!(asks(&mut proxy, "fr"), Done::Pass(Reason::Remembered));
    let Done::Ask(italian) = asks(&mut proxy, "it") else { panic!("another variant is asked for") };
    proxy.answer(italian.question, "pass; reason=private; for=10000", &[], "");
    assert_eq!(asks(&mut proxy, "en"), Done::Pass(Reason::Remembered), "it does not vary any more");
    assert_eq!(asks(&mut proxy, "de"), hot("hallo"), "what may be given is given");
    // Once a request is tried again and has an answer for others, nobody passes.
    proxy.now = 10_000;
    proxy.worker.hears(9_999);
    let Done::Ask(english) = asks(&mut proxy, "en") else { panic!() };
    assert_eq!(asks(&mut proxy, "en"), Done::Wait);
    proxy.answer(english.question, "pass; reason=private; for=10000; vary=accept-language", &[], "");
    proxy.now = 10_500;
    let Done::Ask(of_user) = proxy.ask("GET", "/x", &[("accept-language", "en"), ("authorization", "me")]) else {
        panic!()
    };
    proxy.answer(of_user.question, "hit; ttl=60000; age=0; shared; everybody", &vary, "hello");
    assert_eq!(asks(&mut proxy, "en"), hot("hello"));
    proxy.worker.hot.clear();
    assert!(matches!(asks(&mut proxy, "en"), Done::Ask(_)), "the memory is over");
}

#[test]
fn a_head_that_no_coordinator_takes_passes() {
    let mut proxy = Proxy::new("{}");
    let names: Vec<String> = (0..241).map(|n| format!("x-{n}")).collect();
    let fields: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "v")).collect();
    assert!(matches!(proxy.ask("GET", "/x", &fields[..240]), Done::Ask(_)));
    assert_eq!(proxy.ask("GET", "/y", &fields), Done::Pass(Reason::RequestHeadTooLarge));
    let long = "v".repeat(62 << 10);
    assert_eq!(proxy.ask("GET", "/y", &[("x", &long)]), Done::Pass(Reason::RequestHeadTooLarge));
}

#[test]
fn no_spelling_of_a_path_is_answered_for_who_may_not_have_it() {
    const ADMIN: &str = "spiffe://d/ns/n/sa/admin";
    let equal = ["/prod/x", "/%70rod/x", "/p%72o%64/x", "/prod/%78"];
    let ambiguous = [
        "/develop/../prod/x",
        "/./prod/x",
        "//prod/x",
        "/prod%2fx",
        "/prod%2Fx",
        "/prod;/x",
        "/prod%3b/x",
        "/develop/%2e%2e/prod/x",
        "/develop/..%2fprod/x",
        "/prod%5cx",
        "/prod\\x",
        "/%2570rod/x",
        "/prod%00/x",
        "/%%37%30rod/x",
    ];
    // One group for everybody, with what is another's left out; and one for its callers.
    let left_out = r#"{"match": {"hosts": ["h"], "exclude": [{"prefix": "/prod"}]}}"#;
    let callers =
        r#"{"match": {"hosts": ["h"], "paths": [{"prefix": "/%70rod"}]}, "callers": ["spiffe://d/ns/n/sa/admin"]}"#;
    for group in [left_out, callers] {
        let mut proxy = Proxy::new(group);
        proxy.caller = Some(ADMIN);
        if group == callers {
            proxy.heat("/prod/x", &[], "for the admin");
        }
        for path in equal {
            assert_eq!(
                proxy.get(path),
                if group == callers { hot("for the admin") } else { Done::Pass(Reason::NoPath) },
                "{path}"
            );
        }
        proxy.caller = Some("spiffe://d/ns/n/sa/web");
        for path in equal {
            assert_eq!(
                proxy.get(path),
                Done::Pass(if group == callers { Reason::Caller } else { Reason::NoPath }),
                "{path}"
            );
        }
        for path in ambiguous {
            assert_eq!(proxy.get(path), Done::Pass(Reason::AmbiguousPath), "{path}");
        }
    }
}

#[test]
fn a_control_path_in_any_spelling_is_the_services() {
    let mut proxy = Proxy::new("{}");
    for path in ["/.meshcache/feed", "/%2emeshcache/feed", "/.mesh%63ache/feed"] {
        assert_eq!(proxy.get(path), Done::Pass(Reason::ControlPath), "{path}");
    }
}

#[test]
fn a_cookie_of_the_key_that_may_be_read_in_two_ways_passes() {
    let mut proxy = Proxy::new(r#"{"key": {"cookies": ["lang"]}, "share": {"cookie": true}}"#);
    assert_eq!(proxy.ask("GET", "/x", &[("cookie", "lang=en; lang=fr")]), Done::Pass(Reason::AmbiguousCookie));
    assert_eq!(
        proxy.ask("GET", "/x", &[("cookie", "a=b"), ("cookie", "lang=fr")]),
        Done::Pass(Reason::AmbiguousCookie)
    );
    assert!(matches!(proxy.ask("GET", "/x", &[("cookie", "a=b; lang=fr")]), Done::Ask(_)));
}

#[test]
fn a_route_without_a_cluster_passes_whatever_is_hot() {
    let mut proxy = Proxy::new("{}");
    let question = proxy.question("/x");
    proxy.answer(question, "hit; ttl=60000; shared; stored", &[("cache-control", "max-age=60")], "hot");
    for _ in 0..8 {
        if let Done::Ask(ask) = proxy.get("/x") {
            proxy.answer(ask.question, "hit; ttl=60000; shared; stored", &[("cache-control", "max-age=60")], "hot");
        }
    }
    assert!(matches!(proxy.get("/x"), Done::Reply(200, ..)));
    proxy.cluster = None;
    assert_eq!(proxy.get("/x"), Done::Pass(Reason::Route));
    assert_eq!(proxy.get("/y"), Done::Pass(Reason::Route));
    assert_eq!(proxy.ask("POST", "/x", &[]), Done::Pass(Reason::Method), "what passes anyway says why");
    let mut watching = Proxy::new(r#"{"mode": "observe"}"#);
    watching.cluster = None;
    assert_eq!(watching.get("/x"), Done::Pass(Reason::Route), "it would not have been looked up");
}

#[test]
fn the_route_is_in_the_key_and_in_the_question_where_the_group_says_so() {
    let asked = |group: &str, cluster: &'static str| {
        let mut proxy = Proxy::new(group);
        proxy.cluster = Some(cluster);
        let question = proxy.question("/x");
        let known = proxy.worker.known().unwrap().clone();
        let question = proxy.worker.questions.get(question).unwrap();
        let headers = message::compose(question, &known, &MarkedPosition::default(), None).unwrap();
        let told = headers.iter().find(|(name, _)| *name == wire::header::ROUTE).map(|(_, value)| value.to_string());
        (question.key.clone(), told)
    };
    let (stable, told) = asked(r#"{"key": {"route": true}}"#, "v1");
    assert_eq!(told.as_deref(), Some("v1 a%20route"));
    let (canary, _) = asked(r#"{"key": {"route": true}}"#, "v2");
    assert_ne!(stable, canary);
    let (plain, none) = asked("{}", "v1");
    assert_eq!((asked("{}", "v2"), none), ((plain, None), None));
    // What the owner makes of the question.
    let group = known(r#"{"key": {"route": true}}"#).groups.named("g").unwrap().clone();
    let request = Request::read(b"GET", b"http", b"h", b"/x", &[]).unwrap();
    assert_eq!(Key::of(&group, &request, told.as_deref().map(str::as_bytes)), stable);
}

#[test]
fn what_an_owner_would_answer_is_held_against_what_passes() {
    const FRESH: &[(&str, &str)] = &[(":status", "200"), ("cache-control", "max-age=60")];
    let map =
        |fields: &[(&str, &str)]| pairs::write(fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
    // An owner's answer, and how many mismatches it is after one "as it is" has passed.
    let mismatches = |outcome: &str, body: &str, purged: bool| {
        let mut proxy = Proxy::new(r#"{"mode": "observe"}"#);
        for n in 1..=100 {
            let Step::Watch(watch) = proxy.step("GET", "/x", &[]) else { panic!("{n}") };
            assert_eq!(proxy.worker.samples.is_idle(), n < 100, "one of a hundred: {n}");
            let map = map(FRESH);
            let fields: Vec<_> = pairs::Pairs::of(&map).unwrap().collect();
            let mut exchange = Exchange { worker: &mut proxy.worker, now: 0 };
            let watched =
                exchange.watched(*watch, &meshcache_protocol::Response { status: 200, fields: &fields }, 0).unwrap();
            exchange.passed(watched.piece(b"as it is").unwrap());
        }
        let question = proxy.worker.samples.take().unwrap();
        assert!(proxy.worker.questions.get(1).is_none(), "nobody waits for it");
        if purged {
            proxy.worker.observed.clear();
            proxy.worker.purge(News { position: Position::parse("p.0:2").unwrap(), ..News::default() });
        }
        let answer =
            Answer::read(&map(&[FRESH, &[("meshcache-outcome", outcome)]].concat()), body.as_bytes().to_vec(), false);
        Exchange { worker: &mut proxy.worker, now: 0 }.sampled(&question, answer, 0);
        let mut counted = 0;
        proxy.worker.counts.take_metrics(|at, n| counted += if at == Outcome::Mismatch as usize { n } else { 0 });
        counted
    };
    assert_eq!(mismatches("miss; ttl=60000; shared; stored", "as it is", false), 0);
    assert_eq!(mismatches("miss; ttl=60000; shared; stored", "by another path", false), 1);
    assert_eq!(mismatches("hit; ttl=60000; shared", "by another path", false), 1);
    for nothing in ["pass; reason=private", "loading", "error; reason=connect"] {
        assert_eq!(mismatches(nothing, "", false), 0, "{nothing}");
    }
    assert_eq!(mismatches("hit; ttl=60000; shared", "by another path", true), 0, "what was purged says nothing");
}
