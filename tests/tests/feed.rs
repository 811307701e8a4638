//! A feed that is broken: the filter keeps what it has, and what it does not understand it passes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use meshcache_tests::{
    Answer, Ask, Envoy, EnvoyConfig, Gate, Groups, Origin, Reply, await_until, groups::SHOP, wait::SOON,
};
use serde_json::{Value, json};

const FEED: &str = "/.meshcache/feed";
/// How long a proxy goes on using its hot cache without a sign of life.
const TRUST: Duration = Duration::from_secs(3);

/// A scripted origin in the place of a coordinator, a service, and an Envoy that knows both.
struct Scene {
    coordinator: Origin,
    service: Origin,
    envoy: Envoy,
}

impl Scene {
    async fn set() -> Scene {
        let (coordinator, service) = (Origin::start().await, Origin::start().await);
        service.always("*", Reply::fresh(3600, "from the service"));
        let config = EnvoyConfig::example("front.yaml")
            .cluster("service", &[service.addr])
            .cluster("meshcache", &[coordinator.addr]);
        Scene { envoy: config.start().await, coordinator, service }
    }

    fn state(&self) -> Value {
        let addr = self.coordinator.addr.to_string();
        json!({
            "installation": "meshcache",
            "peers": [{"name": "scripted", "data": addr, "peer": addr}],
            "config": Groups::example().document,
        })
    }

    /// What a good coordinator says to a proxy that knows nothing.
    fn news(&self) -> Value {
        json!({"wire": 1, "peer": "scripted", "version": "v1", "state": self.state()})
    }

    /// From now on the feed is as it should be.
    fn heal(&self) {
        let (news, addr) = (self.news().to_string(), self.coordinator.addr.to_string());
        self.coordinator.on(FEED, move |request| {
            let question: Value = serde_json::from_slice(&request.body).expect("the feed's question is JSON");
            let known = question["version"] == "v1";
            let answer =
                if known { json!({"wire": 1, "peer": "scripted", "version": "v1"}).to_string() } else { news.clone() };
            let delay = if known { Duration::from_secs(1) } else { Duration::ZERO };
            Reply::ok(answer).header("content-type", "application/json").header("meshcache-self", &addr).delay(delay)
        });
    }

    /// From now on the coordinator has an answer to every question.
    fn answer(&self, outcome: &'static str) {
        self.coordinator.always("*", Reply::fresh(3600, "from the owner").header("meshcache-outcome", outcome));
    }

    async fn ask(&self, path: &str) -> Answer {
        let answer = Ask::get(SHOP, path).send(self.envoy.listener("front")).await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        answer
    }

    async fn is_passed(&self, path: &str) {
        let before = self.service.hits(path);
        assert_eq!(self.ask(path).await.text(), "from the service");
        assert_eq!(self.service.hits(path), before + 1);
    }

    /// Waits until the filter has asked for the feed twice more.
    async fn fed(&self) {
        let before = self.coordinator.hits(FEED);
        await_until(async || self.coordinator.hits(FEED) >= before + 2, SOON, "the filter asks for the feed").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_long_as_the_feed_makes_no_sense_everything_passes() {
    let scene = Scene::set().await;
    scene.answer("hit; ttl=60000; age=0; shared; stored");
    let with = |pointer: &str, value: Value| {
        let mut news = scene.news();
        *news.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = value;
        Reply::ok(news.to_string())
    };
    let broken = [
        ("nothing", Reply::ok("")),
        ("no JSON", Reply::ok("nonsense")),
        ("half of it", Reply::ok(scene.news().to_string()[..200].to_owned())),
        ("a list", Reply::ok("[]")),
        ("not UTF-8", Reply::ok(vec![0xff; 100])),
        ("deep", Reply::ok(vec![b'['; 100_000])),
        ("an error", Reply::ok(scene.news().to_string()).with_status(500)),
        ("somebody else's page", Reply::status(404)),
        ("cut", Reply::ok(scene.news().to_string()).cut()),
        ("a wire version that nobody knows yet", with("/wire", json!(99))),
        ("a wire version below all", with("/wire", json!(0))),
        ("a bad group", with("/state/config/groups/0/match", json!({"paths": 7}))),
        ("a bad regex", with("/state/config/groups/0/match/exclude", json!([{"regex": "("}]))),
        ("peers that are none", with("/state/peers", json!("here"))),
        ("no version", with("/state", Value::Null)),
    ];
    for (what, reply) in broken {
        scene
            .coordinator
            .always(FEED, reply.header("content-type", "application/json").delay(Duration::from_millis(20)));
        scene.fed().await;
        scene.is_passed("/passes").await;
        assert_eq!(scene.coordinator.hits("/passes"), 0, "{what}");
    }
    scene.heal();
    await_until(
        async || scene.ask("/served").await.text() == "from the owner",
        SOON,
        "it recovers as soon as the feed makes sense",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_feed_breaks_the_groups_stay_and_hot_copies_are_used_for_3_seconds() {
    let scene = Scene::set().await;
    scene.answer("hit; ttl=60000; age=0; shared; stored");
    scene.heal();
    let hot = async || scene.ask("/hot").await.cache_status().contains("detail=proxy");
    let never = Gate::shut();
    for broken in [Reply::ok("nonsense").delay(Duration::from_millis(20)), Reply::ok("").behind(&never)] {
        await_until(hot, SOON, "it is hot").await;
        let (was, passed) = (Instant::now(), scene.service.hits("/hot"));
        scene.coordinator.always(FEED, broken);
        await_until(async || !hot().await, SOON, "hot copies are used no more").await;
        // The last sign of life may be a second older than the moment when it broke.
        assert!(
            (TRUST - Duration::from_millis(1_500)..TRUST + Duration::from_millis(2_500)).contains(&was.elapsed()),
            "{:?}",
            was.elapsed()
        );
        let questions = scene.coordinator.hits("/hot");
        for i in 1..=10 {
            let answer = scene.ask("/hot").await;
            assert!(answer.text() == "from the owner" && answer.cache_status().contains("detail=owner"), "{answer:?}");
            assert_eq!(scene.coordinator.hits("/hot"), questions + i, "the owner is asked");
        }
        assert_eq!(scene.service.hits("/hot"), passed, "nothing passes");
        scene.heal();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_makes_no_sense_is_none() {
    let scene = Scene::set().await;
    scene.heal();
    scene.answer("hit; ttl=60000; age=0; shared; stored");
    await_until(async || scene.ask("/known").await.text() == "from the owner", SOON, "the filter knows its groups")
        .await;
    for (i, outcome) in
        ["", "nonsense", "hit; ttl=many", "pass; reason=private; for=10", "error; reason=refused", "\u{e9}"]
            .iter()
            .enumerate()
    {
        scene.answer(outcome);
        scene.is_passed(&format!("/answers/{i}")).await;
    }
    scene.coordinator.always("*", Reply::ok("an answer that is no coordinator's"));
    scene.is_passed("/answers/of-others").await;
    scene
        .coordinator
        .always("*", Reply::ok(vec![b'x'; 1 << 20]).header("meshcache-outcome", "hit; ttl=60000; age=0").cut());
    scene.is_passed("/answers/cut").await;
    // More than a callout can take.
    scene
        .coordinator
        .always("*", Reply::ok(vec![b'x'; 1 << 20]).repeated(33).header("meshcache-outcome", "hit; ttl=60000; age=0"));
    scene.is_passed("/answers/huge").await;
}
