//! Purges under load: things whose body is their version, clients that check every answer, and a purger that changes a
//! thing and purges it.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{Ask, Connection, Coordinator, Mesh, Reply, groups::SHOP};

/// The number of things.
const THINGS: usize = 20;
/// From when on after a purge was acknowledged nothing older may be given.
const GRACE: Duration = Duration::from_secs(1);

/// Orders a purge: the status and what it says.
pub async fn order(at: &Coordinator, body: &str) -> (u16, Value) {
    at.admin("POST", "/purge", body).await
}

/// A number of purges at an interval, while clients send one request after another with a pause in between.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    /// Purges.
    pub purges: usize,
    /// The time between two.
    pub every: Duration,
    /// Clients: half of them at the Envoys, the others at the coordinators.
    pub clients: usize,
    /// The pause of a client between two requests.
    pub pause: Duration,
}

/// The result of a storm.
#[derive(Debug, Default)]
pub struct Calm {
    /// Answers.
    pub answers: u64,
    /// Those among them that came from a cache.
    pub hits: u64,
    /// Answers that were none.
    pub failed: u64,
    /// Answers older than a purge that had been acknowledged by all a second before they were asked for.
    pub too_old: u64,
    /// The longest time after a purge was acknowledged that something older was asked for and given.
    pub worst: Duration,
    /// Purges that all coordinators have acknowledged.
    pub acknowledged: u64,
    /// Each purge's time until it was acknowledged, in order.
    pub took: Vec<Duration>,
    /// The duration of the whole storm.
    pub lasted: Duration,
}

/// The versions of each thing that were acknowledged as the oldest, and when.
type Floors = Mutex<BTreeMap<usize, Vec<(Instant, u64)>>>;

fn path(thing: usize) -> String {
    format!("/storm/{thing}")
}

impl Storm {
    /// Lets it blow over a mesh.
    pub async fn blow(self, mesh: &Mesh) -> Calm {
        let versions: Arc<Vec<AtomicU64>> = Arc::new((0..THINGS).map(|_| AtomicU64::new(1)).collect());
        for thing in 0..THINGS {
            let versions = versions.clone();
            mesh.origin
                .on(&path(thing), move |_| Reply::fresh(3600, versions[thing].load(Ordering::SeqCst).to_string()));
        }
        let (floors, over) = (Arc::new(Floors::default()), Arc::new(AtomicBool::new(false)));
        let (fronts, coordinators) = (mesh.fronts(), mesh.coordinators.data());
        let begun = Instant::now();
        let clients: Vec<_> = (0..self.clients)
            .map(|i| {
                let to = if i % 2 == 0 && !fronts.is_empty() {
                    fronts[i / 2 % fronts.len()]
                } else {
                    coordinators[i / 2 % coordinators.len()]
                };
                tokio::spawn(client(to, i, self.pause, floors.clone(), over.clone()))
            })
            .collect();
        let mut calm = Calm::default();
        let mut tick = tokio::time::interval(self.every);
        for i in 0..self.purges {
            tick.tick().await;
            let thing = i * 7 % THINGS;
            let version = versions[thing].fetch_add(1, Ordering::SeqCst) + 1;
            let asked = Instant::now();
            let what = format!(r#"{{"urls": ["http://{SHOP}{}"]}}"#, path(thing));
            let (status, _) = order(&mesh.coordinators.all[i % mesh.coordinators.all.len()], &what).await;
            if status == 200 {
                calm.acknowledged += 1;
                calm.took.push(asked.elapsed());
                floors.lock().unwrap().entry(thing).or_default().push((Instant::now(), version));
            }
        }
        tokio::time::sleep(GRACE + Duration::from_millis(500)).await;
        over.store(true, Ordering::SeqCst);
        for client in clients {
            let one = client.await.unwrap();
            calm.answers += one.answers;
            calm.hits += one.hits;
            calm.failed += one.failed;
            calm.too_old += one.too_old;
            calm.worst = calm.worst.max(one.worst);
        }
        calm.took.sort_unstable();
        calm.lasted = begun.elapsed();
        calm
    }
}

async fn client(to: SocketAddr, seed: usize, pause: Duration, floors: Arc<Floors>, over: Arc<AtomicBool>) -> Calm {
    let mut calm = Calm::default();
    let mut connection = Connection::open(to).await.unwrap();
    let mut thing = seed;
    while !over.load(Ordering::SeqCst) {
        thing = (thing * 13 + 5) % THINGS;
        let begun = Instant::now();
        let answer = connection.send(&Ask::get(SHOP, &path(thing))).await;
        let Some((answer, version)) =
            answer.ok().and_then(|answer| answer.text().parse::<u64>().ok().map(|version| (answer, version)))
        else {
            calm.failed += 1;
            connection = Connection::open(to).await.unwrap();
            continue;
        };
        calm.answers += 1;
        calm.hits += u64::from(answer.cache_status().contains("; hit"));
        let newer = floors
            .lock()
            .unwrap()
            .get(&thing)
            .and_then(|floors| floors.iter().find(|(at, floor)| *at <= begun && version < *floor).copied());
        if let Some((at, _)) = newer {
            let late = begun - at;
            calm.worst = calm.worst.max(late);
            calm.too_old += u64::from(late > GRACE);
        }
        tokio::time::sleep(pause).await;
    }
    calm
}
