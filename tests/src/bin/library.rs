//! The library meshcache, measured. `tests/library/golang/main.go` has the words of the command line.

// A measurement that cannot be made ends at the line that saw it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use meshcache::{Error, Group, Node, Options, Value};
use parking_lot::Mutex;
use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::io::AsyncReadExt;

/// The size of a value, bytes.
const VALUE: usize = 1024;

/// The keys for which the getter was called here.
type Loads = Arc<Mutex<HashSet<String>>>;

fn node(name: &str, listen: Option<&str>) -> Node {
    let builder = Node::builder(name).token("secret").store_bytes(4 << 30);
    match listen {
        Some(address) => builder.listen(address),
        None => builder,
    }
    .build()
    .unwrap()
}

fn group(node: &Node, size: usize) -> (Group, Loads) {
    let loads = Loads::default();
    let own = loads.clone();
    // No hot copies: a get of another's key is to be one.
    let options = Options::new().hot_ttl(Duration::ZERO);
    let getter = move |key: String| {
        let loads = own.clone();
        async move {
            if key.starts_with("herd") {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            if size == VALUE {
                loads.lock().insert(key);
            }
            Ok::<_, Error>(Value::from(vec![b'x'; size]))
        }
    };
    (node.group("g", options, getter).unwrap(), loads)
}

/// A node that stores nothing, and the owner at this address as its peer.
async fn asker(owner: &str) -> (Node, Group, Loads) {
    let asker = node("asker", None);
    let (group, loads) = group(&asker, VALUE);
    asker.set_peers(&[("owner", owner), ("asker", "127.0.0.1:1")]).unwrap();
    while asker.ring().len() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    (asker, group, loads)
}

/// Gets each key once, so many at once.
async fn get_all(group: &Group, keys: &Arc<Vec<String>>, at_once: usize) {
    let next = Arc::new(AtomicUsize::new(0));
    let asker = |_| {
        let (group, keys, next) = (group.clone(), keys.clone(), next.clone());
        tokio::spawn(async move {
            while let Some(key) = keys.get(next.fetch_add(1, Relaxed)) {
                group.get(key).await.unwrap();
            }
        })
    };
    for asker in (0..at_once).map(asker).collect::<Vec<_>>() {
        asker.await.unwrap();
    }
}

fn key(i: usize) -> String {
    format!("key-{i}")
}

/// The resident memory of this process, bytes.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::main]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| words[at].parse::<usize>().unwrap();
    match words[0].as_str() {
        "local" => {
            let node = node("alone", None);
            let (group, _) = group(&node, VALUE);
            let (key, n) = (key(0), number(1));
            group.get(&key).await.unwrap();
            let began = Instant::now();
            for _ in 0..n {
                group.get(&key).await.unwrap();
            }
            println!("{}", began.elapsed().as_nanos() as f64 / n as f64);
        }
        "owner" => {
            let node = node("owner", Some(&words[1]));
            let (group, loads) = group(&node, VALUE);
            for i in 0..number(2) {
                group.get(&key(i)).await.unwrap();
            }
            loads.lock().clear();
            println!("ready");
            tokio::io::stdin().read_to_end(&mut Vec::new()).await.unwrap();
            println!("{}", loads.lock().len());
        }
        "peer" => {
            let (_node, group, loads) = asker(&words[1]).await;
            // Its ring always has itself, too: keys of its own are left out.
            get_all(&group, &Arc::new((0..number(2)).map(key).collect()), 32).await;
            let own = std::mem::take(&mut *loads.lock());
            let keys = Arc::new((0..number(2)).map(key).filter(|key| !own.contains(key)).collect::<Vec<_>>());
            let began = Instant::now();
            get_all(&group, &keys, number(3)).await;
            println!("{}", began.elapsed().as_micros() as f64 / keys.len() as f64);
        }
        "herd" => {
            let (_node, group, loads) = asker(&words[1]).await;
            for i in 0.. {
                let began = Instant::now();
                let askers: Vec<_> = (0..number(2))
                    .map(|_| {
                        let group = group.clone();
                        tokio::spawn(async move { group.get(&format!("herd-{i}")).await.unwrap() })
                    })
                    .collect();
                for asker in askers {
                    asker.await.unwrap();
                }
                // Else the key was its own.
                if std::mem::take(&mut *loads.lock()).is_empty() {
                    println!("{}", began.elapsed().as_micros() as f64 / 1000.0);
                    break;
                }
            }
        }
        _ => {
            let node = node("alone", None);
            let (group, _) = group(&node, number(2));
            let before = resident();
            for i in 0..number(1) {
                group.get(&key(i)).await.unwrap();
            }
            println!("{}", (resident() - before) as f64 / number(1) as f64);
        }
    }
}
