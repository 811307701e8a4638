//! CPU time of a process to the nanosecond: `/proc/PID/stat` counts in ticks of 10 ms, a hundredth of what one round
//! measures.

use std::time::Duration;

/// CPU time that the threads of `pid` have used so far; zero when it is gone. A thread that ends takes its time along:
/// none of those measured does so under load.
pub(crate) fn used(pid: u32) -> Duration {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Duration::ZERO };
    let of_thread = |path: std::path::PathBuf| -> Option<u64> {
        let schedstat = std::fs::read_to_string(path.join("schedstat")).ok()?;
        schedstat.split_whitespace().next()?.parse().ok()
    };
    Duration::from_nanos(threads.flatten().filter_map(|thread| of_thread(thread.path())).sum())
}
