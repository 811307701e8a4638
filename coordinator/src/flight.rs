//! One load for everybody who asks for the same key: whoever comes first starts it, it belongs to nobody, and all who wait get what it brings.

use meshcache_protocol::{Hash, Key};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

/// Two questions of one asker are on their way for times that differ by no more than this, most of the time.
const TRANSIT: Duration = Duration::from_millis(250);

/// The flights that are under way, and how many they and their waiters may be.
pub(crate) struct Flights<T> {
    inner: Arc<Inner<T>>,
}

struct Inner<T> {
    table: Mutex<Table<T>>,
    most: Bounds,
    waiters: AtomicUsize,
}

struct Table<T> {
    flights: HashMap<Hash, Flight<T>>,
    next: u64,
}

struct Flight<T> {
    id: u64,
    key: Key,
    landed: watch::Receiver<Option<T>>,
    /// It asks the origin, and no other coordinator any more.
    loads: Arc<AtomicBool>,
    /// None: it waits for the one before it.
    began: Option<Instant>,
}

/// How much may be under way at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) flights: usize,
    pub(crate) waiters: usize,
}

/// When a flight has to have begun so that somebody may join it: no sooner than this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Newer {
    than: Instant,
    about: Duration,
}

impl Newer {
    /// Exactly then.
    #[cfg(test)]
    fn than(than: Instant) -> Self {
        Self { than, about: Duration::ZERO }
    }

    /// About so long ago, as somebody says who asks again: how long the two questions were on their way, nobody knows.
    pub(crate) fn ago(waited: Duration) -> Self {
        let now = Instant::now();
        let about = if waited.is_zero() { Duration::ZERO } else { TRANSIT };
        Self { than: now.checked_sub(waited).unwrap_or(now), about }
    }

    fn admits(self, began: Option<Instant>, about: Duration) -> bool {
        // One that waits for the one before it begins later than this.
        began.is_none_or(|began| began + about >= self.than)
    }
}

/// There is no room for another flight or waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// A place in a flight.
pub(crate) struct Seat<T> {
    landed: watch::Receiver<Option<T>>,
    inner: Arc<Inner<T>>,
}

/// The flight itself, for the task that flies it. Dropped without landing (a panic), it ends for everybody.
pub(crate) struct Takeoff<T> {
    id: u64,
    /// Where it stands in the table.
    hash: Hash,
    key: Key,
    /// The flight for the same key that has to land first.
    before: Option<watch::Receiver<Option<T>>>,
    land: watch::Sender<Option<T>>,
    loads: Arc<AtomicBool>,
    inner: Arc<Inner<T>>,
}

/// How waiting ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Waited<T> {
    /// With what the flight brought.
    Landed(T),
    /// The waiter's own time was up; the flight goes on.
    Late,
    /// The flight broke down.
    Crashed,
}

impl<T: Clone> Flights<T> {
    pub(crate) fn new(most: Bounds) -> Self {
        let table = Mutex::new(Table { flights: HashMap::new(), next: 0 });
        Self { inner: Arc::new(Inner { table, most, waiters: AtomicUsize::new(0) }) }
    }

    /// A seat in the key's flight; and the flight itself, where there was none: the caller then has to fly it, in a task of its own.
    /// `since`: only in a flight that began no sooner. Where an older one is under way, all who say so share the one that follows it. Where
    /// none does, the one under way has been refused to nobody: who asks again after about as long as it flies is one of those who wait for it.
    /// `left`: where none is under way, what one has left that has landed since the asker looked; asked while no other can begin.
    pub(crate) fn join(&self, key: &Key, since: Option<Newer>, left: impl FnOnce() -> Option<T>) -> Result<(Seat<T>, Option<Takeoff<T>>), Full> {
        let inner = &self.inner;
        let mut table = inner.table.lock();
        if inner.waiters.load(Relaxed) >= inner.most.waiters {
            return Err(Full);
        }
        let (landed, takeoff) = match table.flights.get(&key.hash()) {
            Some(flight) if flight.key != *key => return Err(Full),
            Some(flight) if since.is_none_or(|since| since.admits(flight.began, Duration::ZERO)) => (flight.landed.clone(), None),
            Some(flight) => {
                let (before, following) = (flight.landed.clone(), following(key));
                match table.flights.get(&following.hash()) {
                    Some(flight) if flight.key == following => (flight.landed.clone(), None),
                    Some(_) => return Err(Full),
                    None if since.is_some_and(|since| since.admits(flight.began, since.about)) => (before, None),
                    None => table.begin(inner, key, following, Some(before))?,
                }
            }
            None => match left() {
                Some(left) => (watch::channel(Some(left)).1, None),
                None => table.begin(inner, key, key.clone(), None)?,
            },
        };
        inner.waiters.fetch_add(1, Relaxed);
        Ok((Seat { landed, inner: inner.clone() }, takeoff))
    }

    /// A seat in the key's flight for another coordinator, if there is one that asks the origin. One that asks a coordinator itself is not
    /// waited for: the two might wait for each other.
    pub(crate) fn find(&self, key: &Key) -> Option<Seat<T>> {
        let inner = &self.inner;
        let table = inner.table.lock();
        let flight = table.flights.get(&key.hash()).filter(|flight| flight.key == *key && flight.loads.load(Relaxed))?;
        if inner.waiters.load(Relaxed) >= inner.most.waiters {
            return None;
        }
        inner.waiters.fetch_add(1, Relaxed);
        Some(Seat { landed: flight.landed.clone(), inner: inner.clone() })
    }

    /// Lets nobody else join the flights that are named: who comes later starts anew. Those who wait get what they wait for.
    pub(crate) fn detach(&self, named: impl Fn(&Key) -> bool) {
        self.inner.table.lock().flights.retain(|_, flight| !named(&flight.key));
    }

    /// How many wait.
    pub(crate) fn waiters(&self) -> usize {
        self.inner.waiters.load(Relaxed)
    }

    #[cfg(test)]
    fn counts(&self) -> (usize, usize) {
        (self.inner.table.lock().flights.len(), self.inner.waiters.load(Relaxed))
    }
}

/// Where the flight stands that follows the one under way for a key. The parts that a purge names are the same.
fn following(key: &Key) -> Key {
    Key::from_bytes([key.bytes(), b"following"].concat())
}

type Begun<T> = (watch::Receiver<Option<T>>, Option<Takeoff<T>>);

impl<T> Table<T> {
    fn begin(&mut self, inner: &Arc<Inner<T>>, key: &Key, at: Key, before: Option<watch::Receiver<Option<T>>>) -> Result<Begun<T>, Full> {
        if self.flights.len() >= inner.most.flights {
            return Err(Full);
        }
        let (land, landed) = watch::channel(None);
        let id = self.next;
        self.next += 1;
        let (hash, began) = (at.hash(), before.is_none().then(Instant::now));
        let loads = Arc::<AtomicBool>::default();
        self.flights.insert(hash, Flight { id, key: at, landed: landed.clone(), loads: loads.clone(), began });
        Ok((landed, Some(Takeoff { id, hash, key: key.clone(), before, land, loads, inner: inner.clone() })))
    }
}

impl<T: Clone> Seat<T> {
    /// Waits until the flight has landed, at most until the deadline.
    pub(crate) async fn wait(mut self, deadline: Instant) -> Waited<T> {
        let landed = self.landed.wait_for(Option::is_some);
        match timeout_at(deadline, landed).await {
            Ok(Ok(value)) => (*value).clone().map_or(Waited::Crashed, Waited::Landed),
            Ok(Err(_)) => Waited::Crashed,
            Err(_) => Waited::Late,
        }
    }
}

impl<T> Takeoff<T> {
    /// From now on it asks the origin only.
    pub(crate) fn loads(&self) {
        self.loads.store(true, Relaxed);
    }

    /// Waits until no other flight for the key is under way, then takes its place: who asks from now on finds it there.
    pub(crate) async fn clear(&mut self) {
        while let Some(mut before) = self.before.take() {
            // An error is a flight that broke down: it is over, too.
            let _ = before.wait_for(Option::is_some).await;
            let mut table = self.inner.table.lock();
            match table.flights.get(&self.key.hash()) {
                // The one that has landed takes itself out a moment later.
                Some(flight) if flight.landed.same_channel(&before) => {}
                Some(flight) if flight.key == self.key => {
                    self.before = Some(flight.landed.clone());
                    continue;
                }
                _ => {}
            }
            if table.flights.get(&self.hash).is_some_and(|flight| flight.id == self.id)
                && let Some(flight) = table.flights.remove(&self.hash)
            {
                self.hash = self.key.hash();
                table.flights.insert(self.hash, Flight { key: self.key.clone(), began: Some(Instant::now()), ..flight });
            }
        }
    }

    /// Gives everybody what the flight brought. What is to be found in the store has to be there already:
    /// whoever comes after this looks there.
    pub(crate) fn land(self, value: T) {
        self.land.send_replace(Some(value));
    }
}

impl<T> Drop for Takeoff<T> {
    fn drop(&mut self) {
        let mut table = self.inner.table.lock();
        if table.flights.get(&self.hash).is_some_and(|flight| flight.id == self.id) {
            table.flights.remove(&self.hash);
        }
    }
}

impl<T> Drop for Seat<T> {
    fn drop(&mut self) {
        self.inner.waiters.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests;
