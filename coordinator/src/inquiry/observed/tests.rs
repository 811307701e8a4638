//! Services that answer by something, observed, and what is said of them.

use super::*;
use meshcache_admin::{CoordinatorState, GroupState};
use meshcache_protocol::{
    Field, Key, Observer, PassedResponse, Request, Response,
    freshness::Times,
    groups::Config,
    observe::{Limits, word::Word},
};
use proptest::prelude::*;

const LIMITS: Limits = Limits { responses: 4096, bytes: 8 << 20 };

/// A service of one group, and what is observed of it.
struct Service {
    group: Group,
    observer: Observer,
    evidence: Evidence,
    now: u64,
}

/// What one request has: path, header fields, and what the service answers by.
struct Asked<'a> {
    target: &'a str,
    fields: &'a [(&'a str, &'a str)],
    answer: &'a str,
}

impl Service {
    fn new(group: &str) -> Self {
        let group = Group::for_tests(group);
        Self { group, observer: Observer::new(LIMITS).keyed(7), evidence: Evidence::default(), now: 0 }
    }

    fn asked(&mut self, Asked { target, fields, answer }: &Asked<'_>) {
        let fields: Vec<Field<'_>> = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let request = Request::read(b"GET", b"http", b"h.test", target.as_bytes(), &fields).unwrap();
        let (key, fresh) = (Key::of(&self.group, &request, None), [(&b"cache-control"[..], &b"max-age=3600"[..])]);
        let passed = PassedResponse {
            group: &self.group,
            key: &key,
            request: &request,
            verified: false,
            response: &Response { status: 200, fields: &fresh },
            times: Times { requested: 0, responded: 0 },
            route: None,
            by_coordinator: false,
        };
        let passing = self.observer.begin(&passed, self.now).unwrap().piece(answer.as_bytes()).unwrap();
        if let Some(compared) = self.observer.finish(passing, self.now) {
            self.evidence.record(compared, self.now);
        }
    }

    fn observed(&self) -> Observed {
        concluded(told(self.evidence.clone(), self.now), self.group.config())
    }

    /// The group with what the verdict says is to be changed.
    fn amended(&self) -> Self {
        let yaml = self.observed().verdict.yaml.unwrap();
        let change: serde_json::Value = serde_saphyr::from_str(&yaml).unwrap();
        let mut config = serde_json::to_value(self.group.config()).unwrap();
        config.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        Self::new(&config.to_string())
    }
}

/// Requests of four tenants with what real clients send: an id that always differs, an agent, a language.
fn tenants(service: &mut Service, times: usize) {
    for n in 0..times {
        let (tenant, id) = (["a", "b", "c", "d"][n * 7 % 4], format!("id-{n}"));
        let (agent, language) = (["curl", "firefox", "chrome"][n % 3], ["de", "en"][n * n / 3 % 2]);
        let fields =
            [("x-request-id", &*id), ("user-agent", agent), ("accept-language", language), ("x-tenant", tenant)];
        service.asked(&Asked { target: "/who", fields: &fields, answer: tenant });
    }
}

#[test]
fn a_tenant_is_found_among_ids_agents_and_languages_and_in_the_key_it_is_safe() {
    let mut service = Service::new(r#"{"mode": "observe", "key": {"headers": ["x-region"], "cookies": ["shop"]}}"#);
    tenants(&mut service, 200);
    let observed = service.observed();
    assert_eq!(observed.verdict.text, "not: add x-tenant to key.headers (150 of 199 in 0 s differ)");
    let mut after = service.amended();
    let names: Vec<_> = after.group.key_headers().chain(after.group.key_cookies()).collect();
    assert_eq!(names, ["x-region", "x-tenant", "shop"], "what was there stays");
    assert_eq!(observed.last.len(), 1);
    let one = &observed.last[0];
    assert_eq!((&*one.url, &*one.differs, one.told), ("http://h.test/who", &["body".to_owned()][..], false));
    assert!(
        one.candidates[0] == "header x-tenant" && !one.candidates.contains(&"header x-request-id".to_owned()),
        "{one:?}"
    );
    tenants(&mut after, 1004);
    assert_eq!(after.observed().verdict.text, "not yet: 1,000 compared in 0 s, none differs; 1,000 in 1 h are enough");
    after.now = 3_600_000 - 1;
    tenants(&mut after, 2);
    assert!(!after.observed().verdict.safe);
    after.now += 1;
    let verdict = after.observed().verdict;
    assert_eq!((verdict.safe, &*verdict.text), (true, "safe to switch on: 0 of 1,000 in 1 h"));
    assert_eq!(after.amended().group.config().mode, Mode::On);
}

#[test]
fn cookies_and_parameters_that_are_left_out_of_the_key_are_found_too() {
    let mut cookies = Service::new(r#"{"share": {"cookie": true}}"#);
    let mut query = Service::new(r#"{"key": {"query": {"exclude": ["user", "utm_*"]}}}"#);
    let mut included = Service::new(r#"{"key": {"query": {"include": ["page"]}}}"#);
    for n in 0..60 {
        let (user, campaign) = (["1", "2", "3"][n % 3], n.to_string());
        let cookie = format!("theme={n}; session={user}; shop=1");
        cookies.asked(&Asked { target: "/", fields: &[("cookie", &cookie)], answer: user });
        let target = format!("/?page=1&user={user}&utm_source={campaign}");
        query.asked(&Asked { target: &target, fields: &[], answer: user });
        included.asked(&Asked { target: &target, fields: &[], answer: user });
    }
    assert!(cookies.observed().verdict.text.starts_with("not: add session to key.cookies ("));
    assert!(query.observed().verdict.text.starts_with("not: take user out of key.query.exclude ("));
    assert!(included.observed().verdict.text.starts_with("not: add user to key.query.include ("));
    let url = "http://h.test/?page&user&utm_source";
    assert_eq!(query.observed().last[0].url, url);
    for amended in [query.amended(), included.amended()] {
        assert!(amended.group.keeps_parameter("user=1") && !amended.group.keeps_parameter("utm_source=1"));
    }
}

#[test]
fn two_headers_together_are_found_where_neither_explains_all() {
    let mut service = Service::new("{}");
    for n in 0..400 {
        let (tenant, plan, id) = (["a", "b"][n % 2], ["free", "paid"][n / 2 % 2], n.to_string());
        let fields = [("x-tenant", tenant), ("x-plan", plan), ("x-id", &*id), ("accept", ["a", "b", "c"][n / 4 % 3])];
        // One page is by tenant, the other by plan.
        service.asked(&Asked { target: "/tenant", fields: &fields, answer: tenant });
        service.asked(&Asked { target: "/plan", fields: &fields, answer: plan });
    }
    let verdict = service.observed().verdict;
    let start = "not: add x-plan to key.headers and add x-tenant to key.headers (";
    assert!(verdict.text.starts_with(start), "{verdict:?}");
    assert_eq!(service.amended().group.key_headers().collect::<Vec<_>>(), ["x-plan", "x-tenant"]);
}

#[test]
fn nothing_is_proposed_where_responses_change_by_themselves_or_too_few_were_compared() {
    let mut service = Service::new("{}");
    assert_eq!(service.observed().verdict.text, "not yet: no two responses for one key have come");
    for n in 0..300 {
        let id = n.to_string();
        let fields = [("x-request-id", &*id), ("user-agent", ["a", "b"][n % 2]), ("x-tenant", ["a", "b"][n / 3 % 2])];
        service.asked(&Asked { target: "/time", fields: &fields, answer: &id });
        if n == 3 {
            assert_eq!(service.observed().verdict.text, "not: 3 of 5 in 0 s differ, too few to say why");
        }
        service.asked(&Asked { target: "/same", fields: &fields, answer: "same" });
    }
    let Observed { verdict, .. } = service.observed();
    assert_eq!(
        (&*verdict.text, verdict.yaml),
        (
            "not: 299 of 598 in 0 s differ, and nothing of their requests explains it: the responses change by themselves",
            None
        )
    );
}

#[test]
fn what_all_coordinators_have_seen_is_more_than_what_one_has() {
    let [mut one, mut other] = [Service::new(r#"{"mode": "observe"}"#), Service::new(r#"{"mode": "observe"}"#)];
    // Neither has seen enough of it.
    for (service, tenants) in
        [(&mut one, ["a", "a", "b", "a", "b", "a", "b"]), (&mut other, ["b", "a", "b", "a", "b", "a", "b"])]
    {
        for tenant in tenants.into_iter().chain([tenants[0]; 4]) {
            service.asked(&Asked { target: "/who", fields: &[("x-tenant", tenant)], answer: tenant });
        }
        assert!(!service.observed().verdict.text.contains("add x-tenant"), "{:?}", service.observed());
    }
    let mut before = Service::new(r#"{"mode": "observe", "key": {"headers": ["x-old"]}}"#);
    tenants(&mut before, 100);
    let coordinators = [&one, &other, &before].map(|service| {
        let (digest, observed) = (service.group.digest().to_owned(), Some(service.observed()));
        let group = GroupState { name: "g".into(), digest, observed, ..GroupState::default() };
        let state = CoordinatorState { groups: vec![group], ..CoordinatorState::default() };
        Coordinator { state: Some(state), ..Coordinator::default() }
    });
    let groups = Groups::new(Config { groups: vec![one.group.config().clone()], ..Config::default() }).unwrap();
    let all = of_all(&coordinators, &groups);
    assert_eq!(all["g"].compared, 20, "without what a coordinator has seen under other rules");
    assert!(all["g"].verdict.text.starts_with("not: add x-tenant to key.headers"), "{all:?}");
}

#[test]
fn what_proxies_told_is_said_in_the_verdict() {
    let mut service = Service::new(r#"{"mode": "observe"}"#);
    service.evidence.record_told(Word::Compared, 84_000, 0);
    service.now = 90_000_000;
    for _ in 0..211 {
        service.asked(&Asked { target: "/", fields: &[], answer: "same" });
    }
    let observed = service.observed();
    assert_eq!((observed.compared, observed.told), (84_210, 84_000));
    assert_eq!(observed.verdict.text, "safe to switch on: 0 of 84,210, of which 84,000 told by proxies, in 25 h");
    service.evidence.record_told(Word::Mismatch, 1, 0);
    let text = "not: 1 of 84,210, of which 84,000 told by proxies, in 25 h differ, too few to say why";
    assert_eq!(service.observed().verdict.text, text);
}

#[test]
fn a_name_that_is_in_the_key_is_not_added_twice() {
    let group = Group::for_tests(r#"{"mode": "observe", "key": {"headers": ["x-a"], "cookies": ["shop"]}}"#);
    let parts = ["header x-a", "cookie shop", "header x-b", "header x-b"];
    let yaml: serde_json::Value = serde_saphyr::from_str(&amend::yaml(&parts, group.config()).unwrap()).unwrap();
    assert_eq!(yaml["key"], serde_json::json!({"headers": ["x-a", "x-b"], "cookies": ["shop"]}));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever else clients send, the field that the service answers by is found, and no field that it does not.
    #[test]
    fn a_field_that_explains_is_found_among_noise_and_noise_explains_nothing(
        seed in any::<u64>(), variants in 2_u64..6, noise in proptest::collection::vec(1_u64..40, 0..12),
    ) {
        let (mut keyed, mut dynamic) = (Service::new("{}"), Service::new("{}"));
        let mut state = seed | 1;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let names: Vec<String> = (0..noise.len()).map(|n| format!("x-noise-{n}")).collect();
        for n in 0..400 {
            let tenant = random(variants).to_string();
            let values: Vec<String> = noise.iter().map(|most| random(*most).to_string()).collect();
            let mut fields: Vec<(&str, &str)> = names.iter().map(String::as_str).zip(values.iter().map(String::as_str)).collect();
            fields.insert(fields.len() / 2, ("x-tenant", &tenant));
            let target = format!("/{}", random(3));
            keyed.asked(&Asked { target: &target, fields: &fields, answer: &tenant });
            // Every third response of the other service is another one.
            let answer = if random(3) == 0 { n } else { 0 };
            dynamic.asked(&Asked { target: &target, fields: &fields, answer: &answer.to_string() });
        }
        let found = keyed.observed();
        prop_assert!(found.verdict.text.starts_with("not: add x-tenant to key.headers ("), "{found:?}");
        let none = dynamic.observed().verdict;
        prop_assert!(none.text.ends_with("change by themselves"), "{none:?}");
    }
}
