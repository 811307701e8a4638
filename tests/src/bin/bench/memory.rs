//! Memory over time.

use std::time::{Duration, Instant};

use tokio::{sync::oneshot, task::JoinHandle};

/// Seconds since the start, and resident bytes then.
pub(crate) type Course = Vec<(f64, f64)>;

/// Looks at a process ten times a second.
pub(crate) struct Watch {
    stop: oneshot::Sender<()>,
    watching: JoinHandle<Course>,
}

impl Watch {
    /// Begins.
    pub(crate) fn start(pid: u32) -> Watch {
        let (stop, mut stopped) = oneshot::channel();
        let watching = tokio::spawn(async move {
            let begun = Instant::now();
            let mut course = Vec::new();
            while tokio::time::timeout(Duration::from_millis(100), &mut stopped).await.is_err() {
                course.push((begun.elapsed().as_secs_f64(), resident(pid)));
            }
            course
        });
        Watch { stop, watching }
    }

    /// Ends, with all that it saw.
    pub(crate) async fn stop(self) -> Course {
        let _ = self.stop.send(());
        self.watching.await.unwrap_or_default()
    }
}

fn resident(pid: u32) -> f64 {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<f64>().ok()).unwrap_or(0.0);
    pages * rustix::param::page_size() as f64
}

/// Linear memories of the Wasm VMs in a process: what may be written at the start of each reservation that is larger
/// than any real memory.
pub(crate) fn linear(pid: u32) -> Vec<u64> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let mappings: Vec<Mapping> = maps.lines().filter_map(Mapping::read).collect();
    let pairs = mappings.iter().zip(mappings.iter().skip(1));
    let memory = |(memory, rest): (&Mapping, &Mapping)| {
        let reserved = memory.writable && !rest.writable && memory.to == rest.from && rest.to - rest.from > 2 << 30;
        reserved.then(|| memory.to - memory.from)
    };
    pairs.filter_map(memory).collect()
}

struct Mapping {
    from: u64,
    to: u64,
    writable: bool,
}

impl Mapping {
    fn read(line: &str) -> Option<Mapping> {
        let (addresses, rest) = line.split_once(' ')?;
        let (from, to) = addresses.split_once('-')?;
        let hex = |address| u64::from_str_radix(address, 16).ok();
        Some(Mapping { from: hex(from)?, to: hex(to)?, writable: rest.starts_with("rw") })
    }
}
