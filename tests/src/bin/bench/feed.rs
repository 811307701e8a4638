//! Feed: what many proxies cost a coordinator, while nothing changes and when something does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use meshcache_tests::{Ask, Connection, Groups, Mesh, await_until, coordinator::PEER_TOKEN, purging::order};
use serde_json::{Value, json};

use crate::{
    cpu,
    figure::{Figure, Target, Unit},
    report::Report,
};

/// The time without changes.
const IDLE: Duration = Duration::from_secs(10);

/// The feed answers of all proxies together.
#[derive(Default)]
struct Heard {
    answers: AtomicUsize,
    states: AtomicUsize,
    purges: AtomicUsize,
}

pub(crate) async fn run(report: &Report) {
    let proxies = report.scaled(1000) as usize;
    report.step(&format!("{proxies} proxies at one coordinator"));
    let mesh = Mesh::of(1, 0).start_cold().await;
    let (coordinator, heard) = (&mesh.coordinators.all[0], Arc::new(Heard::default()));
    let pollers: Vec<_> = (0..proxies).map(|i| tokio::spawn(poll(coordinator.ports.data, i, heard.clone()))).collect();
    await_until(async || heard.states.load(Ordering::SeqCst) == proxies, Duration::from_secs(20), "all know the state")
        .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let pid = coordinator.process.pid();
    let before = (cpu::used(pid), heard.answers.load(Ordering::SeqCst));
    tokio::time::sleep(IDLE).await;
    let idle = (cpu::used(pid) - before.0).as_secs_f64() / IDLE.as_secs_f64();
    let rate = (heard.answers.load(Ordering::SeqCst) - before.1) as f64 / IDLE.as_secs_f64();
    report.add(Figure::once("feed, idle proxies: share of a core", Unit::Ratio, idle, Target::Beside));
    report.add(Figure::once("- signs of life", Unit::Rate, rate, Target::Beside));

    let groups = Groups::example().plus("more", json!({}));
    let begun = (Instant::now(), cpu::used(pid));
    mesh.coordinators.configure(&groups.yaml());
    await_until(
        async || heard.states.load(Ordering::SeqCst) == 2 * proxies,
        Duration::from_secs(20),
        "all know the new state",
    )
    .await;
    cost(report, "one change of the state, known to all", begun, pid, idle, proxies);

    let begun = (Instant::now(), cpu::used(pid));
    joins(coordinator.ports.peer).await;
    await_until(
        async || heard.states.load(Ordering::SeqCst) == 3 * proxies,
        Duration::from_secs(20),
        "all know the new ring",
    )
    .await;
    cost(report, "one change of the ring, known to all", begun, pid, idle, proxies);

    let begun = (Instant::now(), cpu::used(pid));
    for i in 0..100 {
        order(coordinator, &json!({"group": "more", "paths": [format!("/{i}")]}).to_string()).await;
    }
    await_until(
        async || heard.purges.load(Ordering::SeqCst) == 100 * proxies,
        Duration::from_secs(20),
        "all have heard of all purges",
    )
    .await;
    cost(report, "a hundred purges, known to all", begun, pid, idle, proxies);
    pollers.iter().for_each(tokio::task::JoinHandle::abort);
}

/// Announces a peer that is not there; the coordinator finds that out by itself.
async fn joins(to: std::net::SocketAddr) {
    let word = json!({"peer": {"name": "new", "data": "127.0.0.1:1", "peer": "127.0.0.1:1"}, "does": "join"});
    let ask = Ask::new("POST", "peer", "/.meshcache/word")
        .header("authorization", format!("Bearer {PEER_TOKEN}"))
        .body(word.to_string());
    let answer = Connection::open(to).await.unwrap().send(&ask).await.unwrap();
    assert_eq!(answer.status, 204, "{answer:?}");
}

fn cost(report: &Report, what: &str, (begun, used): (Instant, Duration), pid: u32, idle: f64, proxies: usize) {
    let lasted = begun.elapsed().as_secs_f64();
    let own = (cpu::used(pid) - used).as_secs_f64() - idle * lasted;
    println!("    {what}: {lasted:.2} s, {:.1} ms of CPU above idle", own * 1e3);
    report.add(Figure::once(
        &format!("- {what}: CPU above idle for each proxy"),
        Unit::Micros,
        own.max(0.0) * 1e6 / proxies as f64,
        Target::Beside,
    ));
}

async fn poll(to: std::net::SocketAddr, i: usize, heard: Arc<Heard>) {
    let mut connection = Connection::open(to).await.unwrap();
    let (mut version, mut position) = (String::new(), String::new());
    loop {
        let question = json!({"wire": 1, "proxy": format!("proxy-{i}"), "filter_version": "0.1.0", "version": version, "position": position});
        let answer =
            connection.send(&Ask::new("POST", "feed", "/.meshcache/feed").body(question.to_string())).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        heard.answers.fetch_add(1, Ordering::SeqCst);
        if answer["state"].is_object() {
            heard.states.fetch_add(1, Ordering::SeqCst);
            answer["version"].as_str().unwrap().clone_into(&mut version);
        }
        if let Some(purges) = answer["news"]["purges"].as_array() {
            heard.purges.fetch_add(purges.len(), Ordering::SeqCst);
            answer["news"]["position"].as_str().unwrap().clone_into(&mut position);
        }
    }
}
