//! A herd: many clients, each with a connection of its own, that ask at the same moment.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::sync::{Semaphore, watch};

use crate::{
    client::{Answer, Ask, Connection},
    process::raise_open_files,
};

/// Connections that are being opened at one time: more would overflow the listeners' backlogs.
const OPENING: usize = 256;

/// The result of each client of a herd, in order of the clients.
pub struct Herd {
    /// The answers and how long each took after the start.
    pub results: Vec<(Result<Answer>, Duration)>,
    /// From the start to the last answer.
    pub elapsed: Duration,
}

/// Opens `n` connections, client `i` to `targets[i % targets.len()]`, then sends all requests at once.
pub async fn herd(n: usize, targets: &[SocketAddr], ask: impl Fn(usize) -> Ask) -> Herd {
    Gathered::gather(n, targets, ask).await.go().await
}

/// A herd with its connections open that has not asked yet.
pub struct Gathered {
    start: watch::Sender<bool>,
    clients: Vec<tokio::task::JoinHandle<(Result<Answer>, Duration)>>,
}

impl Gathered {
    /// Opens the connections.
    pub async fn gather(n: usize, targets: &[SocketAddr], ask: impl Fn(usize) -> Ask) -> Gathered {
        raise_open_files();
        let opening = Arc::new(Semaphore::new(OPENING));
        let ready = Arc::new(Semaphore::new(0));
        let (start, started) = watch::channel(false);
        let clients = (0..n).map(|i| {
            let (ask, target, mut started) = (ask(i), targets[i % targets.len()], started.clone());
            let (opening, ready) = (opening.clone(), ready.clone());
            tokio::spawn(async move {
                let connection = {
                    let _turn = opening.acquire().await;
                    Connection::open(target).await
                };
                ready.add_permits(1);
                let _ = started.wait_for(|started| *started).await;
                let begun = Instant::now();
                let answer = match connection {
                    Ok(mut connection) => connection.send(&ask).await,
                    Err(error) => Err(error),
                };
                (answer, begun.elapsed())
            })
        });
        let clients = clients.collect();
        let _ = ready.acquire_many(u32::try_from(n).unwrap()).await;
        Gathered { start, clients }
    }

    /// Lets all of them ask, and collects what they got.
    pub async fn go(self) -> Herd {
        let begun = Instant::now();
        self.start.send_replace(true);
        let mut results = Vec::with_capacity(self.clients.len());
        for client in self.clients {
            results.push(client.await.expect("a client does not panic"));
        }
        Herd { results, elapsed: begun.elapsed() }
    }
}

impl Herd {
    /// The answers that came.
    pub fn answers(&self) -> impl Iterator<Item = &Answer> {
        self.results.iter().filter_map(|(result, _)| result.as_ref().ok())
    }

    /// The number of clients for each status; 0 stands for no answer.
    pub fn statuses(&self) -> BTreeMap<u16, usize> {
        let mut count = BTreeMap::new();
        for (result, _) in &self.results {
            *count.entry(result.as_ref().map_or(0, |answer| answer.status)).or_default() += 1;
        }
        count
    }

    /// Panics with what went wrong unless every client got a 200.
    pub fn expect_all_ok(&self) {
        let error = self.results.iter().find_map(|(result, _)| result.as_ref().err());
        let bad = self.answers().find(|answer| answer.status != 200);
        let statuses = self.statuses();
        assert!(
            error.is_none() && bad.is_none(),
            "of {} clients not all got a 200: by status {statuses:?}, an error {error:?}, an answer {bad:?}",
            self.results.len()
        );
    }

    /// The time within which `share` (0.5, 0.99, 1.0) of the clients had their answers.
    pub fn within(&self, share: f64) -> Duration {
        let mut times: Vec<Duration> = self.results.iter().map(|(_, time)| *time).collect();
        times.sort();
        times[((times.len() - 1) as f64 * share).round() as usize]
    }
}
