//! `make demo`: one cache for the whole mesh, told step by step, with every part real.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod keep;
mod live;
mod screen;
mod telling;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use live::Live;
use meshcache_tests::{
    Ask, EnvoyConfig, Host, Mesh, Origin, Reply, artifact,
    envoy::Envoy,
    groups::SHOP,
    herd::Gathered,
    load::{Load, Until, load},
    wait::{SOON, await_until},
};
use screen::Screen;
use telling::{Telling, grouped, micros, millis};

const CLIENTS: usize = 1_000;
/// The time that the service takes for each answer.
const SERVICE: Duration = Duration::from_millis(500);
/// The limit for a whole herd: the service's time, and as much again for a thousand connections on a small machine.
const HERD: Duration = Duration::from_millis(1_500);
/// The limit for the cost of a hot hit, in Envoy's own replies from its configuration; `make bench` measures it with
/// more patience.
const HOT: f64 = 2.5;
/// Turns of a second each.
const ROUNDS: usize = 3;
const TTL: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> ExitCode {
    // Dropping the story stops all that it started; the kernel does, should this program be killed.
    tokio::select! {
        kept = story() => if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE },
        _ = tokio::signal::ctrl_c() => {
            println!("\nstopped");
            ExitCode::from(130)
        }
    }
}

async fn story() -> bool {
    let screen = Screen::new();
    let mut tell = Telling::new(screen.clone());
    let filter = match Host::chosen() {
        Host::Wasm => "Wasm filter",
        Host::Native => "native filter",
    };
    tell.chapter(&format!("A shop behind two Envoys with the {filter}, and one cache of three coordinators"));
    let mut mesh = Mesh::of(3, 2).without_admin_token().start().await;
    script(&mesh.origin);
    tell.step(&format!(
        "the shop's service listens on {} and takes {} for each answer",
        mesh.origin.addr,
        millis(SERVICE)
    ));
    for coordinator in &mesh.coordinators.all {
        tell.step(&format!("coordinator {} listens on {}", coordinator.name, coordinator.ports.data));
    }
    for front in mesh.fronts() {
        tell.step(&format!("an Envoy with the {filter} listens on {front}"));
    }
    let live = Live::of(&mesh, screen.clone());
    the_herd(&mut tell, &mesh).await;
    live.line().await;
    the_hot_answer(&mut tell, &mesh).await;
    live.line().await;
    the_death_of_an_owner(&mut tell, &mut mesh).await;
    live.line().await;
    the_end_of_a_ttl(&mut tell, &mesh).await;
    live.line().await;
    let kept = tell.table(filter);
    tell.line("");
    tell.line(&format!("In all: {}", live.settled().await));
    if !kept {
        logs(&tell, &mesh);
    }
    if std::env::var("KEEP").is_ok_and(|keep| !keep.is_empty() && keep != "0") {
        keep::keep(&tell, &mesh).await;
    }
    screen.end();
    kept
}

/// Scripts the service.
fn script(origin: &Origin) {
    origin.on("*", |request| Reply::fresh(300, format!("{} of the shop\n", request.uri.path())).delay(SERVICE));
    origin.always("/hot", Reply::fresh(300, "x".repeat(1024)).delay(SERVICE));
    let editions = |seconds| move |nth| Reply::fresh(seconds, format!("edition {nth}\n"));
    let (short, ttl) = (editions(1), editions(TTL.as_secs()));
    origin.on("/offer", move |request| short(request.nth).delay(SERVICE));
    origin.on("/news", move |request| ttl(request.nth));
}

async fn the_herd(tell: &mut Telling, mesh: &Mesh) {
    tell.chapter("The herd: a thousand clients at once, one answer that is not cached yet");
    let clients = Gathered::gather(CLIENTS, &mesh.fronts(), |_| Ask::get(SHOP, "/cold")).await;
    tell.step(&format!("{CLIENTS} clients have connected, half to each Envoy"));
    let herd = clients.go().await;
    let statuses = herd.statuses();
    tell.step(&format!(
        "the first answer came after {}, the last after {}",
        millis(herd.within(0.0)),
        millis(herd.elapsed)
    ));
    let loads = mesh.origin.hits("/cold");
    tell.promise("the service is asked once", format!("{loads} load"), loads == 1);
    let fine = herd.answers().filter(|answer| answer.status == 200 && answer.text() == "/cold of the shop\n").count();
    tell.promise("every client has its answer", format!("{fine} of {CLIENTS} {statuses:?}"), fine == CLIENTS);
    tell.promise("the last one within 1,500 ms", millis(herd.elapsed), herd.elapsed <= HERD);
}

async fn the_hot_answer(tell: &mut Telling, mesh: &Mesh) {
    tell.chapter("The hot answer: asked so often that the proxy keeps it");
    let direct = EnvoyConfig::load(&artifact::file("tests/envoy/yardsticks.yaml"));
    let direct = direct.listeners_only(&["direct"]).replace("BODY", &"x".repeat(1024)).start().await;
    let envoy = &mesh.envoys[0];
    let warm = hits(envoy, "front", Until::Requests(5_000)).await;
    assert!(warm.errors.is_empty(), "warming up: {:?}", warm.errors);
    tell.step("the proxy has seen it a few thousand times; now it and a direct_response take turns, as fast as 32 clients can ask");
    let (asked, loads) = (mesh.coordinators.sum("groupcache_gets_total", &[]).await, mesh.origin.total());
    let (mut hot, mut plain) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        hot.push(measured(envoy, "front").await);
        plain.push(measured(&direct, "direct").await);
    }
    let left = mesh.coordinators.sum("groupcache_gets_total", &[]).await - asked + (mesh.origin.total() - loads) as f64;
    let requests = hot.iter().map(|(load, _)| load.requests).sum::<u64>() as f64;
    let errors: usize = hot.iter().chain(&plain).map(|(load, _)| load.errors.len()).sum();
    let ((hot, hot_cpu), (plain, plain_cpu)) = (median(hot), median(plain));
    tell.step(&format!(
        "hot hit:         {:>8} requests/s, {} of Envoy's CPU each",
        grouped(hot.rate()),
        micros(hot_cpu)
    ));
    tell.step(&format!(
        "direct_response: {:>8} requests/s, {} of Envoy's CPU each",
        grouped(plain.rate()),
        micros(plain_cpu)
    ));
    tell.promise("no hot hit fails", format!("{errors} of {}", grouped(requests)), errors == 0);
    // The hot copy ends after the group's `hot.ttl`; then the proxy asks once more.
    tell.promise("next to none leaves the proxy", format!("{left} of {}", grouped(requests)), left * 1000.0 < requests);
    let ratio = hot_cpu.as_secs_f64() / plain_cpu.as_secs_f64();
    tell.promise("a hot hit costs at most 2.5 direct_responses", format!("{ratio:.2}"), ratio <= HOT);
}

async fn measured(envoy: &Envoy, listener: &str) -> (Load, Duration) {
    let before = envoy.process.cpu();
    let load = hits(envoy, listener, Until::Elapsed(Duration::from_secs(1))).await;
    let cpu = load.cpu_per_request(envoy.process.cpu() - before);
    (load, cpu)
}

/// The turn in the middle: what disturbs one turn does not count.
fn median(mut turns: Vec<(Load, Duration)>) -> (Load, Duration) {
    turns.sort_by_key(|(_, cpu)| *cpu);
    turns.swap_remove(turns.len() / 2)
}

async fn hits(envoy: &Envoy, listener: &str, until: Until) -> Load {
    load(&[envoy.listener(listener)], &[Ask::get(SHOP, "/hot")], 32, until).await
}

async fn the_death_of_an_owner(tell: &mut Telling, mesh: &mut Mesh) {
    tell.chapter("The death of an owner: killed in the middle of a herd");
    let owner = mesh.owner("/offer").await;
    let name = mesh.coordinators.all[owner].name.clone();
    tell.step(&format!("/offer belongs to {name}; it is good for a second"));
    let clients = Gathered::gather(CLIENTS, &mesh.fronts(), |_| Ask::get(SHOP, "/offer")).await;
    let before = mesh.origin.hits("/offer");
    expired(mesh, "/offer").await;
    let herd = tokio::spawn(clients.go());
    await_until(async || mesh.origin.hits("/offer") > before, SOON, "the owner loads").await;
    mesh.coordinators.all[owner].kill();
    tell.step(&format!("{CLIENTS} clients wait for {name}, which loads it: kill -9 {name}"));
    let herd = herd.await.unwrap();
    let (statuses, loads) = (herd.statuses(), mesh.origin.hits("/offer") - before);
    tell.step(&format!("the last answer came after {}", millis(herd.elapsed)));
    let fine = statuses.get(&200).copied().unwrap_or(0);
    tell.promise("no client notices that an owner died", format!("{fine} of {CLIENTS} {statuses:?}"), fine == CLIENTS);
    tell.promise("the next peer loads it once more, no other", format!("{loads} loads"), loads == 2);
    mesh.coordinators.restart(owner).await;
    tell.step(&format!("{name} is back"));
}

/// Waits until no cache answers `path` any more, without asking for it: a question would load it anew.
async fn expired(mesh: &Mesh, path: &str) {
    let loaded = mesh.origin.latest(path).at;
    await_until(async || loaded.elapsed() > SERVICE + Duration::from_secs(2), SOON, "a second has passed").await;
}

async fn the_end_of_a_ttl(tell: &mut Telling, mesh: &Mesh) {
    tell.chapter("The end of a TTL: good for two seconds, and not for longer");
    let front = mesh.fronts()[1];
    let ask = Ask::get(SHOP, "/news");
    let first = ask.send(front).await.unwrap();
    let begun = Instant::now();
    tell.step(&format!("{:?}  {}", first.text().trim(), first.cache_status()));
    let second = ask.send(front).await.unwrap();
    tell.step(&format!("{:?}  {}", second.text().trim(), second.cache_status()));
    tell.promise("asked again, the cache answers", second.cache_status(), second.cache_status().contains("; hit"));
    let news = std::cell::RefCell::new(None);
    let changed = async || {
        let answer = ask.send(front).await.unwrap();
        let changed = answer.text() != first.text();
        news.replace(changed.then_some(answer));
        changed
    };
    await_until(changed, SOON, "a new edition").await;
    let (after, answer) = (begun.elapsed(), news.take().unwrap());
    tell.step(&format!("{:?}  {}", answer.text().trim(), answer.cache_status()));
    // Ages are whole seconds: what was half a second old at the origin may end half a second early, not more.
    let kept = after + Duration::from_secs(1) >= TTL && after <= TTL + Duration::from_secs(1);
    tell.promise("after 2 s there is a new edition", format!("after {}", millis(after)), kept);
    let loads = mesh.origin.hits("/news");
    tell.promise("two editions, two loads", format!("{loads} loads"), loads == 2);
}

/// Prints the logs, to find out why a promise was broken.
fn logs(tell: &Telling, mesh: &Mesh) {
    let envoys = mesh.envoys.iter().map(|envoy| ("an Envoy", &envoy.process));
    let coordinators =
        mesh.coordinators.all.iter().map(|coordinator| (coordinator.name.as_str(), &coordinator.process));
    for (name, process) in envoys.chain(coordinators) {
        tell.chapter(&format!("The log of {name} ends"));
        tell.line(&process.log_tail(10));
    }
}
