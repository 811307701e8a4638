//! The crate groupcache 0.3, measured. `../golang/main.go` has the words of the command line.

use async_trait::async_trait;
use bytes::Bytes;
use groupcache::{Groupcache, GroupcachePeer, ValueLoader};
use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::{io::AsyncReadExt, net::TcpStream};

/// The size of a value, bytes.
const VALUE: usize = 1024;

/// Loads values, and remembers for which keys.
#[derive(Default)]
struct Loads {
    size: usize,
    keys: Mutex<HashSet<String>>,
    calls: AtomicUsize,
}

struct Loader(Arc<Loads>);

#[async_trait]
impl ValueLoader for Loader {
    type Value = Bytes;

    async fn load(&self, key: &str) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync + 'static>> {
        self.0.calls.fetch_add(1, Relaxed);
        if self.0.size == VALUE {
            self.0.keys.lock().unwrap().insert(key.to_owned());
        }
        if key.starts_with("herd") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(Bytes::from(vec![b'x'; self.0.size]))
    }
}

fn cache(me: SocketAddr, size: usize) -> (Groupcache<Bytes>, Arc<Loads>) {
    let loads = Arc::new(Loads { size, ..Loads::default() });
    // No hot cache: a get of another's key is to be one.
    let none = moka::future::Cache::builder().max_capacity(0).build();
    (Groupcache::builder(me.into(), Loader(loads.clone())).hot_cache(none).build(), loads)
}

/// Gets each key once, so many at once.
async fn get_all(cache: &Groupcache<Bytes>, keys: &Arc<Vec<String>>, at_once: usize) {
    let next = Arc::new(AtomicUsize::new(0));
    let asker = |_| {
        let (cache, keys, next) = (cache.clone(), keys.clone(), next.clone());
        tokio::spawn(async move {
            while let Some(key) = keys.get(next.fetch_add(1, Relaxed)) {
                cache.get(key).await.unwrap();
            }
        })
    };
    for asker in (0..at_once).map(asker).collect::<Vec<_>>() {
        asker.await.unwrap();
    }
}

fn number(at: usize) -> usize {
    std::env::args().nth(at).unwrap().parse().unwrap()
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
    let nowhere: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let word = std::env::args().nth(1).unwrap();
    let address = || -> SocketAddr { std::env::args().nth(2).unwrap().parse().unwrap() };
    match word.as_str() {
        "local" => {
            let ((cache, _), n) = (cache(nowhere, VALUE), number(2));
            cache.get(&key(0)).await.unwrap();
            let key = key(0);
            let began = Instant::now();
            for _ in 0..n {
                cache.get(&key).await.unwrap();
            }
            println!("{}", began.elapsed().as_nanos() as f64 / n as f64);
        }
        "owner" => {
            let (cache, loads) = cache(address(), VALUE);
            for i in 0..number(3) {
                cache.get(&key(i)).await.unwrap();
            }
            loads.calls.store(0, Relaxed);
            let (server, at) = (tonic::transport::Server::builder().add_service(cache.grpc_service()), address());
            tokio::spawn(server.serve(at));
            while TcpStream::connect(at).await.is_err() {}
            println!("ready");
            tokio::io::stdin().read_to_end(&mut Vec::new()).await.unwrap();
            println!("{}", loads.calls.load(Relaxed));
        }
        "peer" => {
            let (cache, loads) = cache(nowhere, VALUE);
            cache.add_peer(GroupcachePeer::from(address())).await.unwrap();
            let (n, at_once) = (number(3), number(4));
            // Its ring always has itself, too: keys of its own are left out.
            get_all(&cache, &Arc::new((0..n).map(key).collect()), 32).await;
            let own = std::mem::take(&mut *loads.keys.lock().unwrap());
            let keys = Arc::new((0..n).map(key).filter(|key| !own.contains(key)).collect::<Vec<_>>());
            let began = Instant::now();
            get_all(&cache, &keys, at_once).await;
            println!("{}", began.elapsed().as_micros() as f64 / keys.len() as f64);
        }
        "herd" => {
            let (cache, loads) = cache(nowhere, VALUE);
            cache.add_peer(GroupcachePeer::from(address())).await.unwrap();
            for i in 0.. {
                let began = Instant::now();
                let askers: Vec<_> = (0..number(3))
                    .map(|_| {
                        let cache = cache.clone();
                        tokio::spawn(async move { cache.get(&format!("herd-{i}")).await.unwrap() })
                    })
                    .collect();
                for asker in askers {
                    asker.await.unwrap();
                }
                if loads.keys.lock().unwrap().is_empty() {
                    println!("{}", began.elapsed().as_micros() as f64 / 1000.0);
                    break;
                }
                loads.keys.lock().unwrap().clear();
            }
        }
        _ => {
            let (cache, _) = cache(nowhere, number(3));
            let before = resident();
            for i in 0..number(2) {
                cache.get(&key(i)).await.unwrap();
            }
            println!("{}", (resident() - before) as f64 / number(2) as f64);
        }
    }
}
