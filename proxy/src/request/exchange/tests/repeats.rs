//! Hot hits of requests that come again as they were.

use super::*;

const NAMED: [(&str, &str); 2] = [("accept", "*/*"), ("x-request-id", "11111111-1111")];
const NAMED_ANEW: [(&str, &str); 2] = [("accept", "*/*"), ("x-request-id", "22222222-2222")];

impl Proxy {
    /// Takes a request unread, if it comes again as it was: once as the Wasm host has it, and once as the native one.
    pub(super) fn repeat(&self, fields: &[Field<'_>]) -> Option<Happened> {
        let context = || Context { state: &self.worker.state, thread: 0, now: self.now };
        let map = header_map::encode(fields.iter().copied());
        let [in_wasm, native] = [
            self.repeats.answer(context(), &map, &self.facts()),
            self.repeats.answer_fields(context(), fields.iter().copied(), &self.facts()),
        ]
        .map(|answer| answer.map(|answer| happened(Step::Reply(answer.reply()))));
        assert_eq!(in_wasm, native, "both hosts do the same");
        native
    }

    pub(super) fn read(&mut self, fields: &[Field<'_>], has_body: bool) -> Happened {
        match self.start(fields, has_body) {
            Step::Reply(mut hot) => {
                let is_plain = !fields.iter().any(|(name, _)| name.starts_with(b"meshcache-"));
                if let Some(hit) = hot.repeatable.take().filter(|_| is_plain) {
                    self.repeats.note(&header_map::encode(fields.iter().copied()), hit);
                }
                happened(Step::Reply(hot.reply()))
            }
            Step::Pass(pass) => Happened::Pass(pass.reason),
            Step::Observe(_) => Happened::Pass(Reason::Observe),
            Step::CallOut(callout) => Happened::CallOut(callout),
            Step::Wait => Happened::Wait,
        }
    }

    pub(super) fn facts(&self) -> TestFacts<'_> {
        TestFacts {
            side: self.side,
            caller: self.caller,
            verified: self.verified,
            asked_for_token: &self.asked_for_token,
            cluster: self.cluster,
        }
    }
}

/// A proxy with a hot response for `/x` that was asked for once.
fn asked(group: &str, fields: &[(&str, &str)]) -> Proxy {
    let mut proxy = Proxy::new(group);
    proxy.heat("/x", fields, "body");
    assert!(matches!(proxy.request("GET", "/x", &NAMED), Happened::Reply(..)), "{group}");
    proxy
}

fn repeat(proxy: &Proxy, method: &str, target: &str, fields: &[(&str, &str)]) -> Option<Happened> {
    proxy.repeat(&Proxy::fields(method, target, fields))
}

#[test]
fn a_request_that_comes_again_is_answered_unread_whatever_its_name() {
    let proxy = asked("{}", &[]);
    assert_eq!(repeat(&proxy, "GET", "/x", &NAMED), Some(hot("body")));
    assert_eq!(repeat(&proxy, "GET", "/x", &NAMED_ANEW), Some(hot("body")));
    assert_eq!(proxy.worker.state.counters(0).groups()["g"]["hot"], 5, "each is counted, in both hosts");
}

#[test]
fn a_request_that_differs_is_read() {
    let proxy = asked("{}", &[]);
    for (method, target, fields) in [
        ("HEAD", "/x", &NAMED[..]),
        ("GET", "/y", &NAMED),
        ("GET", "/x", &[("accept", "a/b"), NAMED[1]]),
        ("GET", "/x", &[NAMED[0]]),
        ("GET", "/x", &[NAMED[1], NAMED[0]]),
        ("GET", "/x", &[NAMED[0], NAMED[1], ("cookie", "a=b")]),
    ] {
        assert_eq!(repeat(&proxy, method, target, fields), None, "{method} {target} {fields:?}");
    }
}

#[test]
fn a_name_that_group_or_response_ask_for_is_read() {
    for (group, vary) in [
        (r#"{"key": {"headers": ["x-request-id"]}}"#, "accept"),
        (r#"{"key": {"headers": ["traceparent"]}}"#, "accept"),
        (r#"{"bypass": {"headers": ["x-b3-traceid"]}}"#, "accept"),
        ("{}", "accept, traceparent"),
    ] {
        let mut proxy = Proxy::new(group);
        let ask = |proxy: &mut Proxy| proxy.request("GET", "/x", &NAMED);
        let Happened::CallOut(callout) = ask(&mut proxy) else { panic!("{group}") };
        proxy.respond(callout.lookup, SHARED, &[("vary", vary)], "body");
        assert!(matches!(ask(&mut proxy), Happened::Reply(..)), "{group} {vary}");
        assert_eq!(repeat(&proxy, "GET", "/x", &NAMED), None, "{group} {vary}");
    }
}

#[test]
fn a_request_that_limits_the_age_is_read_each_time() {
    let mut proxy = asked("{}", &[]);
    let limited = [("cache-control", "max-age=2")];
    assert_eq!(proxy.request("GET", "/x", &limited), hot("body"));
    assert_eq!(repeat(&proxy, "GET", "/x", &limited), None);
}

#[test]
fn what_only_the_host_knows_is_asked_each_time() {
    let mut proxy = asked("{}", &[]);
    proxy.cluster = None;
    assert_eq!(repeat(&proxy, "GET", "/x", &NAMED), None, "no route leads to the service");
    proxy.cluster = Some("service");
    proxy.verified = true;
    assert_eq!(repeat(&proxy, "GET", "/x", &NAMED), None, "a token that was taken out of the head names its user");
    let mut proxy = Proxy::new("{}");
    proxy.listen(ListenerConfig::new(None, None, None));
    proxy.heat("/x", &[], "body");
    assert_eq!(proxy.get("/x"), hot("body"));
    assert_eq!(repeat(&proxy, "GET", "/x", &[]), Some(hot("body")));
    proxy.side = Side::Inbound;
    assert_eq!(repeat(&proxy, "GET", "/x", &[]), None, "what came out of a service is not for who comes in");
    for group in [r#"{"callers": ["spiffe://d/ns/n/sa/a"]}"#, r#"{"key": {"route": true}}"#] {
        let mut proxy = Proxy::new(group);
        proxy.caller = Some("spiffe://d/ns/n/sa/a");
        proxy.heat("/x", &[], "body");
        assert!(matches!(proxy.get("/x"), Happened::Reply(..)));
        assert_eq!(repeat(&proxy, "GET", "/x", &[]), None, "{group}");
    }
}

#[test]
fn a_request_is_read_once_its_response_was_purged_or_a_later_one_stored() {
    let proxy = asked("{}", &[]);
    proxy.worker.state.hot.clear();
    assert_eq!(repeat(&proxy, "GET", "/x", &NAMED), None);

    let mut proxy = asked("{}", &[("vary", "cookie")]);
    let Happened::CallOut(callout) = proxy.request("GET", "/x", &[("cookie", "a=b")]) else { panic!() };
    assert!(repeat(&proxy, "GET", "/x", &NAMED).is_some());
    proxy.respond(callout.lookup, SHARED, &[], "for everybody, and later");
    assert_eq!(repeat(&proxy, "GET", "/x", &NAMED), None);
    assert_eq!(proxy.request("GET", "/x", &NAMED), hot("for everybody, and later"));
}

#[test]
fn a_request_is_read_when_the_age_changes_the_side_is_to_be_checked_or_no_coordinator_answers() {
    let mut proxy = asked("{}", &[]);
    proxy.now = 1;
    assert!(matches!(proxy.request("GET", "/x", &NAMED), Happened::Reply(..)));
    for (now, is_repeated) in [(999, true), (1000, false)] {
        proxy.now = now;
        assert_eq!(repeat(&proxy, "GET", "/x", &NAMED).is_some(), is_repeated, "{now}");
    }
    proxy.now = 2_500;
    assert!(matches!(proxy.request("GET", "/x", &NAMED), Happened::Reply(..)));
    for (now, is_repeated) in [(2_999, true), (3_000, false)] {
        proxy.now = now;
        assert_eq!(repeat(&proxy, "GET", "/x", &NAMED).is_some(), is_repeated, "{now}");
    }
}

#[test]
fn a_new_snapshot_has_every_request_read() {
    let mut proxy = asked("{}", &[]);
    proxy.worker.install(Snapshot { version: "w".into(), ..snapshot("{}") });
    assert_eq!(repeat(&proxy, "GET", "/x", &NAMED), None);
}

#[test]
fn what_another_thread_still_gives_is_not_given_again_after_its_purge() {
    let proxy = asked("{}", &[]);
    let context = Context { state: &proxy.worker.state, thread: 0, now: proxy.now };
    let fields = Proxy::fields("GET", "/x", &NAMED);
    let given = proxy.repeats.answer_fields(context, fields.iter().copied(), &proxy.facts());
    proxy.worker.state.hot.clear();
    assert_eq!(repeat(&proxy, "GET", "/x", &NAMED), None);
    assert!(given.is_some_and(|given| given.reply().body == b"body"), "it is whole to its end");
}
