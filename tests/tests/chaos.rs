//! Chaos: coordinators are killed, frozen, stopped, started and added, the origin is slow, broken, cuts connections and
//! is back, keys are purged and groups change, all by a seeded schedule, while every single answer is checked.
//! Afterwards nothing is left of it.
//!
//! Long: the schedule, its actions and the checks know each other.
//!
//! `make chaos SEED=7 MINUTES=10` repeats a schedule; a failure prints it.
//!
//! The pauses are the schedule itself: how long the world stays as it is until the next blow, and how often a client
//! asks. Nothing is expected at their ends; what is waited for is waited for by its condition.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use meshcache_tests::{
    Answer, Ask, Connection, Mesh, Reply, await_until,
    coordinator::ADMIN_TOKEN,
    groups::SHOP,
    origin,
    wait::{SOON, await_some},
};
use serde_json::{Value, json};

const KEYS: u64 = 200;
/// The pieces of a body that takes its time, their size, and the time between them.
const PIECES: usize = 150;
const PIECE: usize = 1024;
const PAUSE: Duration = Duration::from_millis(2);
const COORDINATORS: usize = 4;
const CLIENTS: u64 = 8;
/// How long the slow origin takes.
const SLOW: Duration = Duration::from_millis(300);
/// What a busy machine may add to any time.
const SLACK: Duration = Duration::from_millis(1500);
/// A purge that was acknowledged so long before a request counts for its answer.
const PURGED: Duration = Duration::from_secs(1);
/// How much more memory than before a process may hold afterwards: allocators keep some, and there are other answers in
/// it.
const MEMORY: u64 = 48 << 20;
/// How many more files it may have open: connections that wait for their next use.
const FILES: usize = 64;

/// Foreseeable numbers (SplitMix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % below
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.roll(to - from))
    }
}

/// What a key's answers are like.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Fresh for a second.
    Short,
    /// Fresh for an hour, in two variants: only a purge brings a new one.
    Long,
    /// For one user.
    Private,
    /// Fresh for a second, and given stale when the origin fails.
    Forgiving,
    /// A body that takes its time, with a strong tag: who is lost in the middle of it is followed by another.
    Streamed,
}

fn kind(key: u64) -> Kind {
    [Kind::Short, Kind::Long, Kind::Private, Kind::Forgiving, Kind::Streamed][(key % 5) as usize]
}

/// One key as the origin has it.
struct Thing {
    /// When each version began to be.
    versions: Vec<Instant>,
    /// The last purge that was acknowledged with nobody named: when, and the version that it brought.
    purged: Option<(Instant, usize)>,
}

/// All that is known while chaos reigns.
struct World {
    things: Vec<Mutex<Thing>>,
    broken: AtomicBool,
    slow: AtomicBool,
    /// Half of all requests are cut off without an answer.
    cuts: AtomicBool,
    /// When the origin was last seen broken.
    unwell: Mutex<Instant>,
    over: AtomicBool,
    asked: AtomicUsize,
    schedule: Mutex<Vec<String>>,
    failures: Mutex<Vec<String>>,
    begun: Instant,
    loads: AtomicU64,
    /// Kinds of keys, to what became of their requests, to how many.
    told: Mutex<BTreeMap<String, BTreeMap<String, u64>>>,
}

impl World {
    fn new() -> Arc<World> {
        let now = Instant::now();
        let things = (0..KEYS).map(|_| Mutex::new(Thing { versions: vec![now], purged: None })).collect();
        let (broken, slow, cuts, over) =
            (AtomicBool::new(false), AtomicBool::new(false), AtomicBool::new(false), AtomicBool::new(false));
        let unwell = Mutex::new(now - Duration::from_secs(60));
        Arc::new(World {
            things,
            broken,
            slow,
            cuts,
            unwell,
            over,
            asked: AtomicUsize::new(0),
            schedule: Mutex::default(),
            failures: Mutex::default(),
            begun: now,
            loads: AtomicU64::new(0),
            told: Mutex::default(),
        })
    }

    fn note(&self, what: &str) {
        self.schedule.lock().unwrap().push(format!("{:7.3} {what}", self.begun.elapsed().as_secs_f64()));
    }

    fn fail(&self, what: String) {
        self.failures.lock().unwrap().push(format!("{:7.3} {what}", self.begun.elapsed().as_secs_f64()));
    }

    /// Counts what became of a request for a key, by the kind of the key.
    fn tell(&self, key: u64, what: &str) {
        *self
            .told
            .lock()
            .unwrap()
            .entry(format!("{:?}", kind(key)))
            .or_default()
            .entry(what.to_owned())
            .or_default() += 1;
    }

    /// Whether the origin fails some requests.
    fn is_unwell(&self) -> bool {
        self.broken.load(SeqCst) || self.cuts.load(SeqCst)
    }

    /// What the origin answers.
    fn reply(&self, received: &origin::Received) -> Reply {
        let n = self.loads.fetch_add(1, SeqCst);
        if let Some(key) = received.uri.path().strip_prefix("/chaos/").and_then(|key| key.parse().ok()) {
            self.tell(key, "asked of the origin");
        }
        if self.cuts.load(SeqCst) && n.is_multiple_of(2) {
            return Reply::gone();
        }
        let delay = if self.slow.load(SeqCst) { SLOW } else { Duration::ZERO };
        if self.broken.load(SeqCst) {
            return Reply::status(500).delay(delay);
        }
        let Some(key) = received.uri.path().strip_prefix("/chaos/").and_then(|key| key.parse::<u64>().ok()) else {
            return Reply::status(404);
        };
        let version = self.things[key as usize].lock().unwrap().versions.len();
        let body = |of: String| {
            Reply::ok(format!("{key} {version} {of}")).header("surrogate-key", format!("key-{key}")).delay(delay)
        };
        match kind(key) {
            Kind::Short => body(String::new()).header("cache-control", "max-age=1"),
            Kind::Long => {
                body(received.header("x-lang")).header("cache-control", "max-age=3600").header("vary", "x-lang")
            }
            Kind::Private => body(received.header("x-user-id")).header("cache-control", "private, max-age=60"),
            Kind::Forgiving => body(String::new()).header("cache-control", "max-age=1, stale-if-error=3600"),
            Kind::Streamed => {
                streamed(key, version, received).header("surrogate-key", format!("key-{key}")).delay(delay)
            }
        }
    }

    /// What is wrong with an answer.
    fn check(&self, key: u64, of: &str, begun: Instant, required: Option<usize>, answer: &Answer) -> Option<String> {
        if answer.status != 200 {
            let excused = answer.status >= 500 && (self.is_unwell() || begun < *self.unwell.lock().unwrap() + SLACK);
            return (!excused).then(|| "failed".to_owned());
        }
        let text = answer.text();
        if kind(key) == Kind::Streamed {
            let first = text.get(..PIECE).unwrap_or_default();
            if text != first.repeat(PIECES) {
                return Some("two versions, or a part of one".into());
            }
        }
        let mut words = text.split(' ');
        let (own, version, whose) =
            (words.next(), words.next().and_then(|version| version.parse::<usize>().ok()), words.next());
        let Some(version) = version.filter(|_| own == Some(&key.to_string()) && whose == Some(of)) else {
            return Some("another's body".into());
        };
        if required.is_some_and(|required| version < required) {
            return Some(format!("older than its purge, which brought version {}", required.unwrap_or_default()));
        }
        // The version after this one has been there since then.
        let superseded = self.things[key as usize].lock().unwrap().versions.get(version).copied();
        let allowed = match kind(key) {
            Kind::Short => Duration::from_secs(1) + SLOW + SLACK,
            Kind::Private => SLOW + SLACK,
            Kind::Long | Kind::Forgiving | Kind::Streamed => return None,
        };
        superseded.filter(|at| *at + allowed < begun).map(|at| format!("stale for {:?}", begun - at))
    }

    /// One client: asks one thing after another.
    async fn client(self: Arc<World>, fronts: Vec<SocketAddr>, seed: u64) {
        let mut dice = Dice(seed);
        let front = fronts[(seed % fronts.len() as u64) as usize];
        let mut connection: Option<Connection> = None;
        while !self.over.load(SeqCst) {
            let (key, who) = (dice.roll(KEYS), dice.roll(2));
            let of = match kind(key) {
                Kind::Long => ["de", "en"][who as usize].to_owned(),
                Kind::Private => format!("user-{who}"),
                _ => String::new(),
            };
            let mut ask = Ask::get(SHOP, &format!("/chaos/{key}"));
            match kind(key) {
                Kind::Long => ask = ask.header("x-lang", &of),
                Kind::Private => ask = ask.header("x-user-id", &of),
                _ => {}
            }
            let begun = Instant::now();
            let required = self.things[key as usize]
                .lock()
                .unwrap()
                .purged
                .filter(|(at, _)| *at + PURGED <= begun)
                .map(|(_, version)| version);
            if connection.is_none() {
                connection = Connection::open(front).await.ok();
            }
            let Some(open) = &mut connection else {
                self.fail("Envoy takes no connection".into());
                return;
            };
            match open.send(&ask).await {
                Ok(answer) => {
                    self.asked.fetch_add(1, SeqCst);
                    self.tell(key, &said(&answer));
                    if let Some(wrong) = self.check(key, &of, begun, required, &answer) {
                        self.fail(format!("/chaos/{key} {of} after {:?}: {wrong}: {answer:?}", begun.elapsed()));
                    }
                    if answer.header("connection") == "close" {
                        connection = None;
                    }
                }
                // Nobody may have had the rest, or not of this version.
                Err(_) if kind(key) == Kind::Streamed => {
                    self.tell(key, "cut");
                    connection = None;
                }
                Err(error) => {
                    self.fail(format!("/chaos/{key} after {:?}: {error:#}", begun.elapsed()));
                    connection = None;
                }
            }
            tokio::time::sleep(dice.millis(1, 20)).await;
        }
    }

    /// A key gets another version and is purged, in one way or another. What the purge's answer says decides what may
    /// be asked of later answers.
    async fn purge(self: Arc<World>, key: u64, at: (usize, SocketAddr), how: &'static str, soft: bool) {
        let version = {
            let mut thing = self.things[key as usize].lock().unwrap();
            thing.versions.push(Instant::now());
            thing.versions.len()
        };
        let what = match how {
            "urls" => format!("http://{SHOP}/chaos/{key}"),
            "tags" => format!("key-{key}"),
            _ => format!("/chaos/{key}"),
        };
        let mut body = json!({how: [what], "soft": soft});
        if how != "urls" {
            body["group"] = json!("shop");
        }
        let ask = Ask::new("POST", "admin", "/purge")
            .header("authorization", format!("Bearer {ADMIN_TOKEN}"))
            .body(body.to_string());
        let answer = tokio::time::timeout(Duration::from_secs(10), ask.send(at.1)).await;
        let done = answer.ok().and_then(Result::ok).filter(|answer| answer.status == 200).is_some_and(|answer| {
            serde_json::from_slice::<Value>(&answer.body).is_ok_and(|report| report["unreached"] == json!([]))
        });
        self.note(&format!(
            "purge of /chaos/{key} by {how} at peer-{}: {}",
            at.0,
            if done { "done" } else { "not everywhere" }
        ));
        let purged = &mut self.things[key as usize].lock().unwrap().purged;
        // Another one of the same key may have ended first.
        if done && !soft && purged.is_none_or(|(_, before)| before < version) {
            *purged = Some((Instant::now(), version));
        }
    }
}

/// A body that takes its time: the whole, or the rest of it on the condition that it is still this version.
fn streamed(key: u64, version: usize, received: &origin::Received) -> Reply {
    let (piece, tag) = (format!("{:<PIECE$}", format!("{key} {version} ")), format!("\"{key}-{version}\""));
    let from = received.header("range").strip_prefix("bytes=").and_then(|range| range.split('-').next()?.parse().ok());
    let reply = match from.filter(|_| received.header("if-range") == tag) {
        Some(from) => {
            let whole = piece.repeat(PIECES);
            let range = format!("bytes {from}-{}/{}", whole.len() - 1, whole.len());
            Reply::ok(whole.as_bytes()[from..].to_vec()).with_status(206).header("content-range", range)
        }
        None => Reply::ok(piece).repeated(PIECES).slowly(PAUSE),
    };
    reply.header("cache-control", "max-age=3600").header("etag", tag)
}

/// What an answer's Cache-Status says of how it came about, without what differs from one answer to the next.
fn said(answer: &Answer) -> String {
    let status = answer.cache_status();
    let words: Vec<&str> = status
        .split("; ")
        .filter(|word| *word == "hit" || ["fwd=", "detail="].iter().any(|start| word.starts_with(start)))
        .collect();
    words.join(" ")
}

/// What processes hold: bytes of memory and open files, of each Envoy and each coordinator.
fn held(mesh: &Mesh) -> Vec<(String, u64, usize)> {
    let envoys = mesh.envoys.iter().enumerate().map(|(i, envoy)| (format!("envoy-{i}"), &envoy.process));
    let coordinators = mesh.coordinators.all.iter().map(|of| (of.name.clone(), &of.process));
    envoys.chain(coordinators).map(|(name, process)| (name, process.rss(), process.open_files())).collect()
}

/// What is more than it was before.
fn left_over(mesh: &Mesh, before: &[(String, u64, usize)]) -> Vec<String> {
    let more = |((name, rss, files), (_, rss_before, files_before)): (&(String, u64, usize), &(String, u64, usize))| {
        let is_more = *rss > rss_before + MEMORY || *files > files_before + FILES;
        is_more.then(|| format!("{name}: {rss} bytes ({rss_before} before), {files} files ({files_before} before)"))
    };
    held(mesh).iter().zip(before).filter_map(more).collect()
}

#[derive(Clone, Copy, PartialEq)]
enum Is {
    Up,
    Dead,
    Frozen,
}

async fn chaos(seed: u64, length: Duration) {
    let world = World::new();
    // The fourth is known to the others only by its own word.
    let three: &[usize] = &[0, 1, 2];
    let mut mesh = Mesh::of(COORDINATORS, 2)
        .views(&[three, three, three, &[0, 1, 2, 3]])
        .groups(|groups| {
            let groups = groups.set("shop", "/patience", json!("250ms")).set("shop", "/overload", json!("pass"));
            groups.set("shop", "/share", json!({"identity": ["x-user-id"]}))
        })
        .start()
        .await;
    let origin = world.clone();
    mesh.origin.forget_heads().on("*", move |received| origin.reply(received));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|i| tokio::spawn(world.clone().client(mesh.fronts(), seed.wrapping_mul(31).wrapping_add(i))))
        .collect();
    // What it takes when it runs: each client has asked a good part of the keys.
    let running = async || world.asked.load(SeqCst) as u64 > 2 * KEYS;
    await_until(running, SOON, "clients have asked").await;
    let before = held(&mesh);
    let mut dice = Dice(seed);
    let (mut peers, mut purges) = ([Is::Up; COORDINATORS], Vec::new());
    while world.begun.elapsed() < length {
        tokio::time::sleep(dice.millis(50, 800)).await;
        let i = dice.roll(COORDINATORS as u64) as usize;
        match (dice.roll(11), peers[i]) {
            (0..=6, Is::Dead) => {
                world.note(&format!("peer-{i} is started"));
                mesh.coordinators.restart(i).await;
                peers[i] = Is::Up;
            }
            (0..=6, Is::Frozen) => {
                world.note(&format!("peer-{i} goes on"));
                mesh.coordinators.all[i].thaw();
                peers[i] = Is::Up;
            }
            (0, Is::Up) => {
                world.note(&format!("peer-{i} is killed"));
                mesh.coordinators.all[i].kill();
                peers[i] = Is::Dead;
            }
            (1, Is::Up) => {
                world.note(&format!("peer-{i} freezes"));
                mesh.coordinators.all[i].freeze();
                peers[i] = Is::Frozen;
            }
            (2 | 3, Is::Up) => {
                world.note(&format!("peer-{i} is stopped"));
                mesh.coordinators.all[i].terminate(SOON * 3).await;
                peers[i] = Is::Dead;
            }
            (4, _) => {
                let slow = !world.slow.fetch_xor(true, SeqCst);
                world.note(if slow { "the origin is slow" } else { "the origin is quick" });
            }
            (5, _) if world.broken.load(SeqCst) || dice.roll(2) == 0 => {
                let broken = !world.broken.fetch_xor(true, SeqCst);
                *world.unwell.lock().unwrap() = Instant::now();
                world.note(if broken { "the origin is broken" } else { "the origin is well" });
            }
            (7, _) if world.cuts.load(SeqCst) || dice.roll(2) == 0 => {
                let cuts = !world.cuts.fetch_xor(true, SeqCst);
                *world.unwell.lock().unwrap() = Instant::now();
                world.note(if cuts {
                    "the origin cuts off half of all requests"
                } else {
                    "the origin cuts off nobody"
                });
            }
            (6, _) => {
                let ttl = 1 + dice.roll(10);
                world.note(&format!("hot.ttl is {ttl}s"));
                mesh.groups = mesh.groups.clone().set("shop", "/hot/ttl", json!(format!("{ttl}s")));
                mesh.coordinators.configure(&mesh.groups.yaml());
            }
            (_, Is::Up) => {
                let (soft, key) = (dice.roll(4) == 0, dice.roll(KEYS));
                let how = ["urls", "paths", "prefixes", "tags"][dice.roll(4) as usize];
                // Not waited for: what befalls anybody next befalls the purge.
                purges.push(tokio::spawn(world.clone().purge(
                    key,
                    (i, mesh.coordinators.all[i].ports.admin),
                    how,
                    soft,
                )));
            }
            _ => {}
        }
        // Now and then something changes at the origin without a purge.
        let changed = dice.roll(KEYS);
        if matches!(kind(changed), Kind::Short | Kind::Forgiving) {
            world.things[changed as usize].lock().unwrap().versions.push(Instant::now());
        }
        if !world.failures.lock().unwrap().is_empty() {
            break;
        }
    }
    world.over.store(true, SeqCst);
    for ended in clients.into_iter().chain(purges) {
        ended.await.unwrap();
    }
    for (i, is) in peers.into_iter().enumerate() {
        match is {
            Is::Up => {}
            Is::Dead => mesh.coordinators.restart(i).await,
            Is::Frozen => mesh.coordinators.all[i].thaw(),
        }
    }
    let failures = world.failures.lock().unwrap().clone();
    if !failures.is_empty() {
        let schedule = world.schedule.lock().unwrap().join("\n");
        let logs: Vec<String> =
            mesh.coordinators.all.iter().map(|of| format!("{}:\n{}", of.name, of.process.log_tail(15))).collect();
        panic!(
            "SEED={seed}\n{schedule}\n{} failures, the first of them:\n{}\n{}",
            failures.len(),
            failures[..failures.len().min(10)].join("\n"),
            logs.join("\n")
        );
    }
    [&world.broken, &world.cuts, &world.slow].into_iter().for_each(|trouble| trouble.store(false, SeqCst));
    for front in mesh.fronts() {
        let caches = async || {
            Ask::get(SHOP, "/chaos/1").send(front).await.is_ok_and(|answer| answer.cache_status().contains("; hit"))
        };
        await_until(caches, SOON, &format!("SEED={seed}: the cache caches again")).await;
    }
    let quiet = async || mesh.origin.under_way() == 0 && mesh.coordinators.sum("meshcache_flights", &[]).await == 0.0;
    await_until(quiet, SOON, "nothing is left under way").await;
    let is_back = await_some(|| left_over(&mesh, &before).is_empty().then_some(()), SOON).await;
    assert!(is_back.is_some(), "SEED={seed}: more is held than before: {:?}", left_over(&mesh, &before));
    let events = world.schedule.lock().unwrap().len();
    println!("{:#?}", world.told.lock().unwrap());
    println!("held before {before:?}, after {:?}", held(&mesh));
    println!(
        "SEED={seed}: {events} events, {} answers, {} loads, no failure",
        world.asked.load(SeqCst),
        world.loads.load(SeqCst)
    );
}

fn number(variable: &str, default: f64) -> f64 {
    std::env::var(variable)
        .ok()
        .filter(|text| !text.is_empty())
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_befalls_coordinators_and_origin_every_answer_is_right() {
    let minutes = number("MESHCACHE_CHAOS_MINUTES", 0.25);
    chaos(number("MESHCACHE_CHAOS_SEED", 1.0) as u64, Duration::from_secs_f64(minutes * 60.0)).await;
}
