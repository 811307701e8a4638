//! Time as the machine gave it: what the scheduler withheld does not count. Limits hold on a busy machine, too.

use std::{
    fs,
    time::{Duration, Instant},
};

/// Measures how long this process and its children took, without the time in which they were ready to run and had no
/// CPU.
pub struct Stopwatch {
    begun: Instant,
    withheld: Duration,
}

impl Stopwatch {
    /// Starts one.
    pub fn start() -> Stopwatch {
        Stopwatch { begun: Instant::now(), withheld: withheld() }
    }

    /// Time since the start, less the waits of all threads for a CPU.
    pub fn elapsed(&self) -> Duration {
        // A thread that has ended takes its waits along.
        self.begun.elapsed().saturating_sub(withheld().saturating_sub(self.withheld))
    }
}

/// The time that the threads of this process and of its children have waited for a CPU so far.
fn withheld() -> Duration {
    let own = std::process::id().to_string();
    let children = tasks(&own).filter_map(|task| fs::read_to_string(format!("{task}/children")).ok());
    let processes: Vec<String> =
        children.flat_map(|pids| pids.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).chain([own]).collect();
    // Time on a CPU, time waited for one, turns.
    let waited =
        |task: String| fs::read_to_string(format!("{task}/schedstat")).ok()?.split(' ').nth(1)?.parse::<u64>().ok();
    Duration::from_nanos(processes.iter().flat_map(|pid| tasks(pid)).filter_map(waited).sum())
}

/// The folders of a process's threads; none when it is gone.
fn tasks(pid: &str) -> impl Iterator<Item = String> + use<> {
    let folder = format!("/proc/{pid}/task");
    let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
    entries.map(move |entry| format!("{folder}/{}", entry.file_name().to_string_lossy()))
}
