//! Sides taken in turns, A B A B, so that whatever else the machine does befalls them alike; only their ratios count.

use std::{net::SocketAddr, time::Duration};

use meshcache_tests::{
    Ask,
    load::{Load, Until, load},
    process::Process,
};

use crate::{cpu, figure::median};

/// The turn of each side that does not count: a Wasm VM compiles anew, in the background, what runs often.
const WARM: Duration = Duration::from_secs(2);

/// A request without an answer for this long ends the comparison.
const HANGS: Duration = Duration::from_secs(10);

/// The length and number of turns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Turns of each side.
    pub(crate) rounds: usize,
    /// The length of a turn.
    pub(crate) turn: Duration,
    /// Clients, each with a connection of its own.
    pub(crate) connections: usize,
}

/// One of those that are compared.
pub(crate) struct Side {
    name: String,
    at: SocketAddr,
    asks: Vec<Ask>,
    processes: Vec<u32>,
}

impl Side {
    /// `processes` serve `asks` at `at`; their CPU time counts.
    pub(crate) fn new(name: &str, at: SocketAddr, asks: &[Ask], processes: &[&Process]) -> Side {
        Side {
            name: name.to_owned(),
            at,
            asks: asks.to_vec(),
            processes: processes.iter().map(|process| process.pid()).collect(),
        }
    }

    async fn turn(&self, connections: usize, turn: Duration) -> (Load, Vec<f64>) {
        let before: Vec<Duration> = self.processes.iter().map(|pid| cpu::used(*pid)).collect();
        let at = [self.at];
        let load = load(&at, &self.asks, connections, Until::Elapsed(turn));
        let Ok(load) = tokio::time::timeout(turn + HANGS, load).await else { panic!("{}: a request hangs", self.name) };
        let used = self.processes.iter().zip(before).map(|(pid, before)| cpu::used(*pid).saturating_sub(before));
        let micros = used.map(|used| load.cpu_per_request(used).as_nanos() as f64 / 1000.0).collect();
        assert!(
            load.errors.is_empty() && load.requests > 0,
            "{}: {} of its clients had an error, such as {:?}",
            self.name,
            load.errors.len(),
            load.errors.first()
        );
        (load, micros)
    }
}

/// The cost of one side, a value for each round.
#[derive(Clone, Debug)]
pub(crate) struct Cost {
    /// The side.
    pub(crate) name: String,
    /// CPU microseconds for each request, by process.
    pub(crate) processes: Vec<Vec<f64>>,
    /// CPU microseconds for each request, all its processes together.
    pub(crate) micros: Vec<f64>,
    /// Requests in a second.
    pub(crate) rates: Vec<f64>,
}

impl Cost {
    /// This side's cost over another's, round by round.
    pub(crate) fn over(&self, other: &Cost) -> Vec<f64> {
        ratios(&self.micros, &other.micros)
    }
}

/// One over the other, round by round.
pub(crate) fn ratios(these: &[f64], those: &[f64]) -> Vec<f64> {
    these.iter().zip(those).map(|(this, that)| this / that).collect()
}

/// Takes the sides in turns, after a first turn that does not count; costs in the order of the sides.
pub(crate) async fn take<const N: usize>(sides: [Side; N], effort: Effort) -> [Cost; N] {
    let mut costs = sides.each_ref().map(|side| Cost {
        name: side.name.clone(),
        processes: vec![Vec::new(); side.processes.len()],
        micros: Vec::new(),
        rates: Vec::new(),
    });
    for side in &sides {
        side.turn(effort.connections, WARM).await;
    }
    for _ in 0..effort.rounds {
        for (side, cost) in sides.iter().zip(&mut costs) {
            let (load, micros) = side.turn(effort.connections, effort.turn).await;
            cost.micros.push(micros.iter().sum());
            cost.rates.push(load.rate());
            cost.processes.iter_mut().zip(micros).for_each(|(all, one)| all.push(one));
        }
    }
    for cost in &costs {
        println!(
            "    {:<32} {:>8.2} us CPU a request, {:>7.0} requests/s",
            cost.name,
            median(&cost.micros),
            median(&cost.rates)
        );
    }
    costs
}
