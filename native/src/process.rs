//! The state that all threads of this Envoy share, for one cluster of coordinators. It outlives configurations.

use crate::{
    clock,
    envoy::{self, Scheduler},
    panics,
    recorder::{HostState, Recorder, Tasks},
    wake::{OutgoingCall, Slot, Task},
};
use meshcache_proxy::{
    driver::{Driver, TICK},
    host::CallError,
    state::hot_state::HotState,
    stream::StreamState,
};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU32, AtomicU64, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};

/// How long checks stay frequent after the last lookup, milliseconds: each change of the period wakes a thread.
const STAYS_FREQUENT: u64 = 250;

/// The events of a configuration's hook on the main thread.
pub(crate) mod event {
    /// It ticks.
    pub(crate) const TICK: u64 = 0;
    /// There are callouts to be sent.
    pub(crate) const CALLS: u64 = 1;
}

static PROCESSES: Mutex<Vec<&'static Process>> = Mutex::new(Vec::new());
static THREADS: AtomicUsize = AtomicUsize::new(0);
/// The numbers of streams that a thread takes at a time.
const NUMBERS: u32 = 1024;
static STREAMS: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// The thread's number, from 0.
    static THREAD: usize = THREADS.fetch_add(1, Relaxed);
    /// The last number that the thread gave to a stream, and how many it may still give.
    static STREAM: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
}

/// Returns the number of this thread, from 0.
pub(crate) fn thread() -> usize {
    THREAD.with(|thread| *thread)
}

/// Returns a number for a stream.
pub(crate) fn next_stream() -> u32 {
    let (last, left) = STREAM.get();
    let next = match left.checked_sub(1) {
        Some(left) => (last.wrapping_add(1), left),
        None => (STREAMS.fetch_add(NUMBERS, Relaxed), NUMBERS.saturating_sub(1)),
    };
    STREAM.set(next);
    next.0
}

/// The state for one cluster.
pub(crate) struct Process {
    pub(crate) cluster: String,
    /// What hot hits and passes need: no lock of ours.
    pub(crate) hot: Arc<HotState>,
    locked: Mutex<Locked>,
    /// The schedulers of the configurations that are there, by their numbers. The first one ticks.
    configs: Mutex<Vec<(u64, Scheduler)>>,
    /// Callouts for the main thread.
    calls: Mutex<Vec<OutgoingCall>>,
    ticker: Ticker,
}

/// The state behind the lock.
pub(crate) struct Locked {
    pub(crate) driver: Driver,
    pub(crate) host: HostState,
    /// Somebody has the lock; or had it, and panicked.
    is_taken: bool,
}

/// The thread that has the main thread tick.
struct Ticker {
    sleeps: Mutex<()>,
    wakes: Condvar,
    /// The period until then is short.
    frequent_until: AtomicU64,
    /// The short period.
    period: AtomicU64,
    /// It sleeps for the long period.
    is_slow: AtomicBool,
    /// The main thread has not carried out the last tick yet.
    is_pending: AtomicBool,
}

impl Process {
    /// Returns the state for this cluster.
    pub(crate) fn of(cluster: &str, hot_bytes: usize) -> &'static Self {
        let mut all = PROCESSES.lock();
        if let Some(process) = all.iter().find(|process| process.cluster == cluster) {
            process.hot.hot.resize(hot_bytes);
            return process;
        }
        let hot = Arc::new(HotState::new(hot_bytes, envoy::worker_threads()));
        let driver =
            Driver::of(clock::random(), &crate::facts::proxy_name(), cluster, hot.clone()).streaming().filling();
        let process: &'static Self = Box::leak(Box::new(Self {
            cluster: cluster.to_owned(),
            hot,
            locked: Mutex::new(Locked { driver, host: HostState::default(), is_taken: false }),
            configs: Mutex::default(),
            calls: Mutex::default(),
            ticker: Ticker {
                sleeps: Mutex::default(),
                wakes: Condvar::new(),
                frequent_until: AtomicU64::new(0),
                period: AtomicU64::new(TICK),
                is_slow: AtomicBool::new(false),
                is_pending: AtomicBool::new(false),
            },
        }));
        let thread = std::thread::Builder::new().name("meshcache".into());
        if let Err(error) = thread.spawn(|| process.tick_forever()) {
            envoy::log(
                meshcache_proxy::host::Level::Critical,
                &format!("no thread for the filter's clock, so every request passes: {error}"),
            );
        }
        all.push(process);
        process
    }

    pub(crate) fn add_config(&self, number: u64, scheduler: Scheduler) {
        self.configs.lock().push((number, scheduler));
    }

    pub(crate) fn remove_config(&self, number: u64) {
        self.configs.lock().retain(|(other, _)| *other != number);
        // A tick that was scheduled in it never comes. Another configuration ticks from now on.
        self.ticker.is_pending.store(false, Relaxed);
    }

    /// Takes the lock. A call of [`Process::unlock`] has to follow.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Locked> {
        let mut locked = self.locked.lock();
        if std::mem::replace(&mut locked.is_taken, true) {
            locked.recover();
        }
        locked
    }

    /// Has ticks look after a stream that waits no longer for a lookup.
    pub(crate) fn look_after(&self, slot: &Arc<Slot>) {
        let mut locked = self.lock();
        locked.host.slots.insert(slot.stream, slot.clone());
        locked.is_taken = false;
    }

    /// Ends that.
    pub(crate) fn look_away(&self, slot: &Slot) {
        let mut locked = self.lock();
        locked.host.slots.remove(&slot.stream);
        locked.is_taken = false;
    }

    /// Has what is due recorded, gives the lock back, and then hands it out. `current`: the stream whose hook runs, which
    /// looks into its mailbox itself.
    pub(crate) fn unlock(&self, mut locked: MutexGuard<'_, Locked>, tasks: &mut Tasks, current: Option<u32>) {
        let Locked { driver, host, is_taken } = &mut *locked;
        let mut recorder = Recorder::new(host, tasks);
        let period = driver.flush(&mut recorder, usize::MAX, clock::now());
        recorder.settle(driver);
        *is_taken = false;
        drop(locked);
        self.carry_out(tasks, current);
        self.ticker.set_period(period);
    }

    /// Runs the driver, and then what it wants done. `current`: as in [`Process::unlock`].
    pub(crate) fn drive<T>(
        &self,
        current: Option<u32>,
        act: impl FnOnce(&mut Driver, &mut Recorder<'_>) -> T,
    ) -> (T, Tasks) {
        let mut tasks = Tasks::default();
        let mut locked = self.lock();
        let Locked { driver, host, .. } = &mut *locked;
        let result = act(driver, &mut Recorder::new(host, &mut tasks));
        self.unlock(locked, &mut tasks, current);
        (result, tasks)
    }

    fn carry_out(&self, tasks: &mut Tasks, current: Option<u32>) {
        let mut lost = Vec::new();
        for (slot, task) in tasks.of_streams.drain(..) {
            if let Err(Task::Call(call)) = slot.push(task, current != Some(slot.stream)) {
                lost.push(call.token);
            }
        }
        if !tasks.calls.is_empty() {
            self.calls.lock().append(&mut tasks.calls);
            self.schedule(event::CALLS);
        }
        tasks.log.drain(..).for_each(|(level, line)| envoy::log(level, &line));
        if !lost.is_empty() {
            self.lose_calls(&lost);
        }
    }

    /// Has the first configuration's hook called on the main thread. Returns whether there is one.
    fn schedule(&self, event: u64) -> bool {
        let configs = self.configs.lock();
        if let Some((_, scheduler)) = configs.first() {
            scheduler.commit(event);
        }
        !configs.is_empty()
    }

    /// Takes the callouts that the main thread has to send.
    pub(crate) fn take_calls(&self) -> Vec<OutgoingCall> {
        std::mem::take(&mut *self.calls.lock())
    }

    /// Ends a stream that waits, or that carried these callouts.
    pub(crate) fn leave(&self, slot: &Slot, calls: &[u32]) {
        let left = slot.close();
        let unsent = left.iter().filter_map(|task| match task {
            Task::Call(call) => Some(call.token),
            Task::Stream | Task::Settle(..) => None,
        });
        let tokens: Vec<u32> = calls.iter().copied().chain(unsent).collect();
        self.drive(Some(slot.stream), |driver, host| {
            host.state.slots.remove(&slot.stream);
            driver.leave(slot.stream);
            tokens.iter().for_each(|token| driver.lose_call(*token, clock::now()));
        });
    }

    fn lose_calls(&self, tokens: &[u32]) {
        self.drive(None, |driver, _| tokens.iter().for_each(|token| driver.lose_call(*token, clock::now())));
    }

    /// Takes a callout back that could not be sent.
    pub(crate) fn refuse_call(&self, token: u32, error: CallError, current: Option<u32>) {
        self.drive(current, |driver, host| driver.call_refused(host, token, error, clock::moment()));
    }

    /// Ticks. Returns the counters and gauges that changed.
    pub(crate) fn tick(&self) -> Tasks {
        self.ticker.is_pending.store(false, Relaxed);
        let tick = |driver: &mut Driver, host: &mut Recorder<'_>| {
            let at = clock::moment();
            let late = host.state.slots.values().filter(|slot| slot.take_late(at.now));
            host.tasks.of_streams.extend(late.map(|slot| (slot.clone(), Task::Stream)));
            driver.note_panics(panics::count());
            driver.tick(host, at, clock::wall());
        };
        self.drive(None, tick).1
    }

    fn tick_forever(&self) {
        loop {
            self.ticker.sleep();
            if !self.ticker.is_pending.swap(true, Relaxed) && !self.schedule(event::TICK) {
                self.ticker.is_pending.store(false, Relaxed);
            }
        }
    }
}

impl Locked {
    /// Begins anew after a panic under the lock. It may have lost what requests that wait were to be told, so all of
    /// them pass.
    fn recover(&mut self) {
        self.driver.recover();
        for (_, slot) in self.host.slots.drain() {
            // Those that are over are gone, too.
            let _ = slot.push(Task::Settle(StreamState::refused(), None), true);
        }
    }
}

impl Ticker {
    /// Sets the period that the driver wants.
    fn set_period(&self, period: u64) {
        if period >= TICK {
            return;
        }
        self.period.store(period, Relaxed);
        self.frequent_until.store(clock::now().saturating_add(STAYS_FREQUENT), SeqCst);
        if self.is_slow.swap(false, SeqCst) {
            let _sleeps = self.sleeps.lock();
            self.wakes.notify_one();
        }
    }

    fn sleep(&self) {
        let mut sleeps = self.sleeps.lock();
        // First this, then the look: who changes the period meanwhile is seen here, or sees this and wakes us.
        self.is_slow.store(true, SeqCst);
        let is_frequent = clock::now() < self.frequent_until.load(SeqCst);
        let period = if is_frequent { self.period.load(Relaxed).max(1) } else { TICK };
        if is_frequent {
            self.is_slow.store(false, Relaxed);
        }
        self.wakes.wait_for(&mut sleeps, Duration::from_millis(period));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(cluster: &str) -> &'static Process {
        Process::of(cluster, 0)
    }

    #[test]
    fn after_a_panic_under_the_lock_all_that_wait_go_on() {
        let process = process("panics");
        let slot = Arc::new(Slot::new(7));
        process.drive(None, |_, host| host.state.slots.insert(7, slot.clone()));
        assert!(slot.pop().is_none(), "it waits");
        let panicked = panics::guard(|| process.drive(None, |_, _| panic!("in the middle")));
        assert!(panicked.is_none());
        process.tick();
        assert!(matches!(slot.pop(), Some(Task::Settle(StreamState::Passes { .. }, None))), "it passes");
        process.tick();
        assert!(slot.pop().is_none(), "once");
    }

    #[test]
    fn a_tick_that_went_with_its_configuration_is_not_waited_for() {
        let process = process("replaced");
        process.ticker.is_pending.store(true, Relaxed);
        process.remove_config(1);
        assert!(!process.ticker.is_pending.load(Relaxed));
    }
}
