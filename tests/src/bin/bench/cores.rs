//! Processes on cores: what passes from one core to another costs the sender, too.

use meshcache_tests::process::Process;
use rustix::{
    process::Pid,
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};

/// This process is the clients of a benchmark. Dropping it lets them run on all cores again.
pub(crate) struct Placed(CpuSet);

impl Placed {
    /// Puts servers onto the first core, and their clients onto that one as well, or onto another. `None`: this machine
    /// has one core.
    pub(crate) fn new(servers: &[&Process], together: bool) -> Option<Placed> {
        Placed::with(servers, &[], together)
    }

    /// Puts what is measured onto the first core, and clients and all that answers behind it onto another: in turns of a
    /// second the system would place the one side so and the other side so.
    pub(crate) fn apart(measured: &[&Process], behind: &[&Process]) -> Option<Placed> {
        Placed::with(measured, behind, false)
    }

    fn with(servers: &[&Process], behind: &[&Process], together: bool) -> Option<Placed> {
        let all = sched_getaffinity(None).ok()?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| all.is_set(*core)).map(|core| {
            let mut one = CpuSet::new();
            one.set(core);
            one
        });
        let (first, second) = (cores.next()?, cores.next()?);
        servers.iter().for_each(|server| put(server.pid(), &first));
        let clients = if together { &first } else { &second };
        behind
            .iter()
            .map(|process| process.pid())
            .chain([std::process::id()])
            .for_each(|process| put(process, clients));
        Some(Placed(all))
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        put(std::process::id(), &self.0);
    }
}

/// Puts all threads of a process onto these cores.
fn put(process: u32, cores: &CpuSet) {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    for thread in threads.filter_map(|thread| Pid::from_raw(thread.file_name().to_str()?.parse().ok()?)) {
        let _ = sched_setaffinity(Some(thread), cores);
    }
}
