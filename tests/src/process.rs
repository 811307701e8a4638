//! A child process that never outlives the test, and what the kernel says about it: CPU time, memory, open files.

use std::{
    fs::File,
    io,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{OnceLock, mpsc},
    time::Duration,
};

pub use rustix::process::Signal;
use rustix::process::{
    Pid, Resource, Rlimit, WaitId, WaitIdOptions, getrlimit, kill_process, set_parent_process_death_signal, setrlimit,
    waitid,
};

use crate::wait::await_some;

/// A running child with its output in a file. Dropping it kills it; so does the end of the test process, however it
/// ends.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with its output appended to the file `log`.
    pub fn start(name: &str, command: Command, log: &Path) -> Process {
        let child = spawn(command, log).unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Process { name: name.to_owned(), child, log: log.to_owned() }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All it has written so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The last lines that it has written.
    pub fn log_tail(&self, lines: usize) -> String {
        let log = self.log();
        let all: Vec<&str> = log.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// Panics with the end of the log.
    pub fn give_up(&self, why: &str) -> ! {
        panic!("{}: {why}; its log ({}) ends:\n{}", self.name, self.log.display(), self.log_tail(30))
    }

    /// Sends a signal: KILL, STOP, CONT, TERM.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.pid() as i32).unwrap(), signal).unwrap();
    }

    /// Stops it, and waits until its last thread has stopped: on a busy machine one may answer a little longer.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
        let pid = Pid::from_raw(self.pid() as i32).unwrap();
        waitid(WaitId::Pid(pid), WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT).unwrap();
    }

    /// Kills it as kill -9 does, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Its exit status, once it has ended.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end; panics with the end of its log after `timeout`.
    pub async fn exit(&mut self, timeout: Duration) -> ExitStatus {
        match await_some(|| self.exited(), timeout).await {
            Some(status) => status,
            None => self.give_up(&format!("still there after {timeout:?}")),
        }
    }

    /// CPU time used so far, in user and kernel, all threads.
    pub fn cpu(&self) -> Duration {
        cpu(self.pid())
    }

    /// Resident memory in bytes.
    pub fn rss(&self) -> u64 {
        memory(self.pid(), "VmRSS:")
    }

    /// The most resident memory there ever was, in bytes.
    pub fn peak_rss(&self) -> u64 {
        memory(self.pid(), "VmHWM:")
    }

    /// Sets the peak back to what is resident now.
    pub fn reset_peak_rss(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.pid()), "5").unwrap();
    }

    /// Open file descriptors.
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).map_or(0, Iterator::count)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Processes that get a part of the CPU's time only, until this is dropped: they are stopped and continued over and
/// over.
pub struct Starved {
    over: mpsc::Sender<()>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Starved {
    /// Stops the processes for `stopped`, lets them run for `running`, and repeats. They must outlive this.
    pub fn begin(pids: Vec<u32>, stopped: Duration, running: Duration) -> Starved {
        let (over, is_over) = mpsc::channel::<()>();
        let signal = move |signal| {
            pids.iter().for_each(|pid| kill_process(Pid::from_raw(*pid as i32).unwrap(), signal).unwrap())
        };
        let thread = std::thread::spawn(move || {
            let waits = |time| matches!(is_over.recv_timeout(time), Err(mpsc::RecvTimeoutError::Timeout));
            loop {
                signal(Signal::STOP);
                let goes_on = waits(stopped);
                signal(Signal::CONT);
                if !goes_on || !waits(running) {
                    return;
                }
            }
        });
        Starved { over, thread: Some(thread) }
    }
}

impl Drop for Starved {
    fn drop(&mut self) {
        let _ = self.over.send(());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The end of a process, in words.
pub fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown end".to_owned(),
    }
}

/// CPU time of any process; zero when it is gone.
pub fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in brackets may hold anything; after it come numbers only, utime the 12th and stime the 13th.
    let numbers = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = numbers.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

fn memory(pid: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|value| value.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Raises the soft limit of open files to the hard one: a herd needs a connection for each of its clients.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// Starts the child from a thread that lives as long as the test process: the kernel ends it with the thread that
/// started it, and a test's own thread, or a runtime's, may end before the test does.
fn spawn(mut command: Command, log: &Path) -> io::Result<Child> {
    type Job = (Command, mpsc::Sender<io::Result<Child>>);
    static SPAWNER: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        raise_open_files();
        let (sender, jobs) = mpsc::channel::<Job>();
        std::thread::spawn(move || {
            for (mut command, answer) in jobs {
                let _ = answer.send(command.spawn());
            }
        });
        sender
    });
    let log = File::options().create(true).append(true).open(log)?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    // SAFETY: prctl is safe to call between fork and exec.
    unsafe {
        command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
    }
    let (sender, answer) = mpsc::channel();
    spawner.send((command, sender)).expect("the spawner lives");
    answer.recv().expect("the spawner answers")
}
