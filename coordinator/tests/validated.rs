//! Answers that have to be validated each time, from origins that are quick and slow: one client is one load and the
//! origin's own time, a herd is two loads, whoever asks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod plane;

use meshcache_coordinator::settings::Identity;
use plane::{Answer, Front, MIB, Origin, answer, stopwatch::Stopwatch, until};
use serde_json::json;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// Answers that may not be used again without validation, each for a reason of its own.
const KINDS: [(&str, &[(&str, &str)]); 9] = [
    ("etag", &[("etag", "\"a\"")]),
    ("last-modified", &[("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")]),
    ("no-cache", &[("cache-control", "no-cache, max-age=60"), ("etag", "\"a\"")]),
    ("max-age-0", &[("cache-control", "max-age=0"), ("etag", "\"a\"")]),
    ("expires", &[("expires", "0"), ("etag", "\"a\"")]),
    ("age", &[("cache-control", "max-age=60"), ("age", "61"), ("etag", "\"a\"")]),
    ("vary", &[("vary", "accept-language"), ("etag", "\"a\"")]),
    ("304", &[("x-confirms", "1"), ("cache-control", "max-age=0"), ("etag", "\"a\"")]),
    ("shorter-than-the-load", &[("cache-control", "max-age=1"), ("age", "1"), ("etag", "\"a\"")]),
];
const HERD: usize = 20;

/// An origin whose answers take so long. Where it is asked on condition, one of them is confirmed.
async fn slow(time: Duration, fields: &'static [(&'static str, &'static str)]) -> Origin {
    Origin::new(move |seen| async move {
        tokio::time::sleep(time).await;
        let confirms = fields[0].0 == "x-confirms" && seen.headers.contains_key("if-none-match");
        answer(if confirms { 304 } else { 200 }, fields, if confirms { "" } else { "whole" })
    })
    .await
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Port {
    /// A plain client, at the owner.
    Owner,
    /// A plain client, at another coordinator.
    Other,
    /// A proxy, which asks again after `loading`.
    Proxy,
}

/// A mesh of one or two coordinators; the key's owner is the last.
struct Mesh(Vec<Front>);

impl Mesh {
    async fn new(origin: &Origin, port: Port, group: &serde_json::Value) -> Self {
        let names: &[&str] = if port == Port::Other { &["a", "b"] } else { &["a"] };
        let mut fronts = Vec::new();
        for name in names {
            let mut group = group.clone();
            group["match"] = json!({"service": "s.n"});
            fronts.push(Front::with(origin, group, 64 * MIB, name, Identity::None).await);
        }
        if port == Port::Other {
            plane::ring(&names.iter().copied().zip(&fronts).collect::<Vec<_>>());
        }
        Self(fronts)
    }

    /// A path that the first does not own, where there are two.
    fn path(&self, stem: &str) -> String {
        let front = &self.0[0];
        let groups = front.cache.groups();
        let is_others = |path: &String| {
            let request = meshcache_protocol::Request::read(b"GET", b"http", b"s.n", path.as_bytes(), &[]).unwrap();
            let key = meshcache_protocol::Key::of(groups.named("g").unwrap(), &request, None);
            front.cache.cluster.ring().owner(key.hash()).is_none_or(|owner| owner.name != "a")
        };
        (0..).map(|n| format!("/{stem}-{n}")).find(is_others).unwrap()
    }

    /// On a machine that is busy with something else an owner may be silent for longer than the hedge or the patience.
    /// The next one then loads, too.
    fn has_been_given_up(&self) -> bool {
        self.0.iter().any(|front| front.metrics.hedges.get() > 0 || front.group().peer_errors.get() > 0)
    }

    async fn ask(&self, port: Port, path: &str) -> Answer {
        if port == Port::Proxy {
            self.as_proxy(path).await
        } else {
            self.0[0].ask("GET", path, &[("host", "s.n")]).await
        }
    }

    /// As a filter asks: again, until it is told more than `loading`.
    async fn as_proxy(&self, path: &str) -> Answer {
        let (began, mut patience, mut flight) = (Instant::now(), 100, String::new());
        loop {
            let said = format!(
                "1; group=g; rules={}; patience={patience}; waited={}{flight}",
                self.0[0].cache.groups().named("g").unwrap().digest(),
                began.elapsed().as_millis()
            );
            let answer = self.0[0].ask("GET", path, &[("host", "s.n"), ("meshcache-wire", &said)]).await;
            let outcome = answer.header("meshcache-outcome").to_owned();
            let Some((_, told)) = outcome.split_once("loading; flight=") else { return answer };
            (patience, flight) = (750, format!("; flight={}", told.split(';').next().unwrap()));
        }
    }
}

async fn cell(
    time: Duration,
    kind: &'static str,
    fields: &'static [(&'static str, &'static str)],
    port: Port,
    group: serde_json::Value,
) {
    let what = format!("{kind}, an origin of {time:?}, {port:?}, {group}");
    let origin = slow(time, fields).await;
    let mesh = Arc::new(Mesh::new(&origin, port, &group).await);
    // Alone, and with the cache: one after the other in the same cell.
    let began = Instant::now();
    plane::ask(origin.address, "GET", "/", &[], Default::default()).await;
    let (alone, mut asked) = (began.elapsed(), origin.count());
    let path = mesh.path("one");
    for _ in 0..2 {
        let began = Stopwatch::start();
        let answer = mesh.ask(port, &path).await;
        let took = began.elapsed();
        assert_eq!((answer.status.as_u16(), answer.text()), (200, "whole"), "{what}");
        asked += 1;
        if mesh.has_been_given_up() {
            return;
        }
        assert_eq!(origin.count(), asked, "one load: {what}");
        assert!(took < alone * 3 / 2 + Duration::from_millis(400), "{took:?}, alone {alone:?}: {what}");
    }
    // A herd that has come before the first load ends: quick origins would be done with it.
    if time < Duration::from_millis(800) {
        return;
    }
    let mut late = Vec::new();
    // A machine that is busy with something else may be late with the herd twice.
    for attempt in 0..3 {
        let path = mesh.path(&format!("herd-{attempt}"));
        let asked = origin.count();
        let (began, mut herd) = (Stopwatch::start(), JoinSet::new());
        let one = || {
            let (mesh, path) = (mesh.clone(), path.clone());
            async move { mesh.ask(port, &path).await }
        };
        herd.spawn(one());
        until("the first load is under way", || origin.count() > asked).await;
        (0..HERD).for_each(|_| {
            herd.spawn(one());
        });
        while let Some(answer) = herd.join_next().await {
            assert_eq!(answer.unwrap().text(), "whole", "{what}");
        }
        let took = began.elapsed();
        if mesh.has_been_given_up() {
            return;
        }
        // How long ago a load began is known elsewhere but for the time that its answer was on the way.
        let loads = if port == Port::Other { 1..=2 } else { 2..=2 };
        if loads.contains(&(origin.count() - asked)) && took < alone * 3 + Duration::from_millis(800) {
            return;
        }
        late.push((origin.count() - asked, took));
    }
    panic!("the first, and one for all who came since; (loads, time): {late:?}, alone {alone:?}: {what}");
}

/// All cells at once: nearly all of their time is the origins'.
async fn grid(cells: impl Iterator<Item = (u64, usize, Port, serde_json::Value)>) {
    let mut all = JoinSet::new();
    for (time, kind, port, group) in cells {
        let (kind, fields) = KINDS[kind];
        all.spawn(cell(Duration::from_millis(time), kind, fields, port, group));
    }
    while let Some(one) = all.join_next().await {
        one.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_to_be_validated_is_loaded_once_in_the_origins_own_time_whatever_that_is() {
    const PORTS: [Port; 3] = [Port::Owner, Port::Other, Port::Proxy];
    let times = [100, 760, 1000];
    grid(
        times
            .into_iter()
            .flat_map(|time| (0..KINDS.len()).flat_map(move |kind| PORTS.map(|port| (time, kind, port, json!({}))))),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_holds_for_other_patiences_and_where_the_group_hedges() {
    let groups = [
        json!({"patience": "400ms"}),
        json!({"patience": "5s"}),
        json!({"hedge": "100ms", "patience": "2s"}),
        json!({"freshness": {"requestDirectives": "obey", "errors": "rfc9111"}}),
    ];
    let cells = |group: serde_json::Value| {
        [100, 1000, 2000].into_iter().flat_map(move |time| {
            let group = group.clone();
            [0, 2].into_iter().flat_map(move |kind| {
                let group = group.clone();
                [Port::Other, Port::Proxy].map(move |port| (time, kind, port, group.clone()))
            })
        })
    };
    grid(groups.into_iter().flat_map(cells)).await;
}
