//! What a get costs: from the own store, from another node; and what a value takes in memory.
//!
//! `cargo bench -p meshcache`. Values of 100 bytes under keys of 11, as in the benchmark beside groupcache.

use meshcache::{Error, Group, Node, Options, Value};
use std::{
    hint::black_box,
    time::{Duration, Instant},
};

const VALUE: usize = 100;
const KEYS: usize = 1000;
const MANY: usize = 1_000_000;

fn key(n: usize) -> String {
    format!("key-{n:07}")
}

fn group(node: &Node) -> Result<Group, Box<dyn std::error::Error + Send + Sync>> {
    let getter = |_: String| async { Ok::<_, Error>(Value::from(vec![0; VALUE])) };
    Ok(node.group("g", Options::new().hot_ttl(Duration::ZERO), getter)?)
}

/// Resident bytes of this process.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    kib.unwrap_or_default() * 1024
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // As in a server: on a thread of the runtime.
    match tokio::spawn(async { measure().await.map_err(|error| error.to_string()) }).await? {
        Ok(()) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn measure() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let node = Node::builder("a").store_bytes(1 << 30).build()?;
    let local = group(&node)?;
    let keys: Vec<String> = (0..KEYS).map(key).collect();
    for key in &keys {
        local.get(key).await?;
    }
    for _ in 0..3 {
        let (begun, rounds) = (Instant::now(), 3000);
        for _ in 0..rounds {
            for key in &keys {
                black_box(local.get(key).await?);
            }
        }
        println!("local get: {} ns", begun.elapsed().as_nanos() / (rounds * KEYS) as u128);
    }

    let (before, begun) = (resident(), Instant::now());
    for n in KEYS..MANY {
        local.get(&key(n)).await?;
    }
    let (loads, taken) = (MANY - KEYS, resident() - before);
    println!("load from a getter: {} ns", begun.elapsed().as_nanos() / loads as u128);
    println!("a value in memory: {} bytes ({} counted)", taken / loads, local.stats().bytes / MANY as u64);
    drop((local, node));

    let nodes = ["a", "b"].map(|name| Node::builder(name).token("secret").listen("127.0.0.1:0").build());
    let [a, b] = nodes;
    let (a, b) = (a?, b?);
    let addresses =
        [&a, &b].map(|node| (node.name().to_owned(), node.address().map_or_else(String::new, |at| at.to_string())));
    let groups = [group(&a)?, group(&b)?];
    a.set_peers(&addresses)?;
    b.set_peers(&addresses)?;
    // Those that the other node owns.
    let mut theirs = Vec::new();
    for key in (0..2 * KEYS).map(key) {
        let before = groups[0].stats().peer_loads;
        groups[0].get(&key).await?;
        if groups[0].stats().peer_loads > before {
            theirs.push(key);
        }
    }
    for _ in 0..3 {
        let (begun, rounds) = (Instant::now(), 5);
        for _ in 0..rounds {
            for key in &theirs {
                black_box(groups[0].get(key).await?);
            }
        }
        println!("get from another node: {} ns", begun.elapsed().as_nanos() / (rounds * theirs.len()) as u128);
    }
    Ok(())
}
