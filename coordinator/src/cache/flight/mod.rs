//! One load for everybody who asks for the same key: whoever comes first starts it, it belongs to nobody, and all who
//! wait get what it brings.

#[cfg(test)]
mod tests;
mod wants;

pub(crate) use wants::{Numbers, Wants};

use crate::bounded_lru::recent;
use lru::LruCache;
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
use wants::Waits;

/// How long what landed is kept for those who were told to come back for it.
const KEPT: Duration = Duration::from_secs(5);
/// How much of it is kept: flights, and bytes of what they brought.
const MOST_KEPT: (usize, u64) = (4096, 32 << 20);

/// The flights that are under way, and how many they and their waiters may be.
pub(crate) struct Flights<T> {
    inner: Arc<Inner<T>>,
}

struct Inner<T> {
    table: Mutex<Table<T>>,
    most: Bounds,
    waiters: AtomicUsize,
    numbers: Numbers,
}

struct Table<T> {
    flights: HashMap<Hash, Flight<T>>,
    /// What landed a moment ago, for those who are on their way back.
    kept: LruCache<Hash, Kept<T>>,
    kept_bytes: u64,
}

struct Flight<T> {
    number: u64,
    key: Key,
    landed: watch::Receiver<Option<T>>,
    state: Arc<State>,
    /// None: it waits for the one before it.
    began: Option<Instant>,
    /// When somebody joined it last.
    joined: Instant,
}

/// What the one who flies and the table both see.
#[derive(Default)]
struct State {
    /// It asks the origin, and no other coordinator any more.
    loads: AtomicBool,
    /// Somebody may come for what it brings when it has landed: one who was told to, or one who wakes later from
    /// waiting for the flight before.
    is_awaited: AtomicBool,
}

struct Kept<T> {
    number: u64,
    key: Key,
    began: Option<Instant>,
    value: T,
    bytes: u64,
    until: Instant,
}

/// How much may be under way at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) flights: usize,
    pub(crate) waiters: usize,
}

/// There is no room for another flight or waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// A place in a flight.
pub(crate) struct Seat<T> {
    /// The flight's number; 0: of what no flight brought.
    pub(crate) number: u64,
    /// It begins when the one before it has landed.
    pub(crate) follows: bool,
    waits: Waits,
    landed: watch::Receiver<Option<T>>,
    state: Arc<State>,
    inner: Arc<Inner<T>>,
}

/// The flight itself, for the task that flies it. Dropped without landing (a panic), it ends for everybody.
pub(crate) struct Takeoff<T> {
    number: u64,
    /// Where it stands in the table.
    hash: Hash,
    key: Key,
    /// The flight for the same key that has to land first.
    before: Option<watch::Receiver<Option<T>>>,
    land: watch::Sender<Option<T>>,
    state: Arc<State>,
    inner: Arc<Inner<T>>,
}

/// How waiting ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Waited<T> {
    /// With what the flight brought.
    Landed(T),
    /// The waiter's own time was up; the flight goes on. What to say when coming back for what it brings.
    Late(u64),
    /// The flight broke down.
    Crashed,
}

impl<T: Clone> Flights<T> {
    pub(crate) fn new(most: Bounds, numbers: Numbers) -> Self {
        let table = Mutex::new(Table { flights: HashMap::new(), kept: recent(MOST_KEPT.0), kept_bytes: 0 });
        Self { inner: Arc::new(Inner { table, most, waiters: AtomicUsize::new(0), numbers }) }
    }

    /// A seat in the key's flight; and the flight itself, where there was none: the caller then has to fly it, in a
    /// task of its own. Where the one that is under way is not wanted, all whom that holds for share the one that
    /// follows it. Who comes back for a flight that has landed meanwhile gets what it brought.
    /// `left`: where none is under way, what one has left that has landed since the asker looked; asked while no other
    /// can begin.
    pub(crate) fn join(
        &self,
        key: &Key,
        wants: Wants,
        left: impl FnOnce() -> Option<T>,
    ) -> Result<(Seat<T>, Option<Takeoff<T>>), Full> {
        let (inner, now) = (&self.inner, Instant::now());
        let mut table = inner.table.lock();
        if inner.waiters.load(Relaxed) >= inner.most.waiters {
            return Err(Full);
        }
        if let Some(kept) = table.kept_for(key, wants, now) {
            return Ok((inner.seat_of(kept.number, kept.value.clone()), None));
        }
        let is_free = match table.flights.get(&key.hash()) {
            Some(flight) if flight.key != *key => return Err(Full),
            Some(flight) => !wants.admits(flight),
            None => {
                if let Some(left) = left() {
                    return Ok((inner.seat_of(0, left), None));
                }
                return table.begin(inner, key, key.clone(), None, wants);
            }
        };
        let at = if is_free { following(key) } else { key.clone() };
        match table.flights.get_mut(&at.hash()) {
            Some(flight) if flight.key == at => {
                flight.joined = now;
                let mut seat = inner.seat(flight);
                seat.waits = seat.waits.min(wants.waits(seat.number));
                Ok((seat, None))
            }
            Some(_) => Err(Full),
            None => {
                let before = table.flights.get(&key.hash()).map(|flight| flight.landed.clone());
                table.begin(inner, key, at, before, wants)
            }
        }
    }

    /// Whether something is kept for who comes back so.
    pub(crate) fn is_kept(&self, key: &Key, wants: Wants) -> bool {
        // Most come for the first time.
        wants != Wants::default() && self.inner.table.lock().kept_for(key, wants, Instant::now()).is_some()
    }

    /// A seat in the key's flight for another coordinator, if there is one that asks the origin. One that asks a
    /// coordinator itself is not waited for: the two might wait for each other.
    pub(crate) fn find(&self, key: &Key) -> Option<Seat<T>> {
        let inner = &self.inner;
        let table = inner.table.lock();
        let flight =
            table.flights.get(&key.hash()).filter(|flight| flight.key == *key && flight.state.loads.load(Relaxed))?;
        (inner.waiters.load(Relaxed) < inner.most.waiters).then(|| inner.seat(flight))
    }

    /// Whether a flight for the key is under way.
    pub(crate) fn is_flying(&self, key: &Key) -> bool {
        self.inner.table.lock().flights.get(&key.hash()).is_some_and(|flight| flight.key == *key)
    }

    /// Lets nobody else join the flights that are named: who comes later starts anew. Those who wait get what they wait
    /// for.
    pub(crate) fn detach(&self, named: impl Fn(&Key) -> bool) {
        let mut table = self.inner.table.lock();
        table.flights.retain(|_, flight| !named(&flight.key));
        table.drop_kept(|kept| named(&kept.key));
    }

    /// Frees what nobody came back for.
    pub(crate) fn expire(&self) {
        let now = Instant::now();
        self.inner.table.lock().drop_kept(|kept| kept.until <= now);
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

type Joined<T> = Result<(Seat<T>, Option<Takeoff<T>>), Full>;

impl<T> Table<T> {
    fn begin(
        &mut self,
        inner: &Arc<Inner<T>>,
        key: &Key,
        at: Key,
        before: Option<watch::Receiver<Option<T>>>,
        wants: Wants,
    ) -> Joined<T> {
        if self.flights.len() >= inner.most.flights {
            return Err(Full);
        }
        let (land, landed) = watch::channel(None);
        let (hash, number, now) = (at.hash(), inner.numbers.next(), Instant::now());
        let state = Arc::new(State { is_awaited: wants.newer.is_some().into(), ..State::default() });
        let flight = Flight {
            number,
            key: at,
            landed,
            state: state.clone(),
            began: before.is_none().then_some(now),
            joined: now,
        };
        let mut seat = inner.seat(&flight);
        // Who begins it comes before it.
        seat.waits = Waits::Leads;
        self.flights.insert(hash, flight);
        Ok((seat, Some(Takeoff { number, hash, key: key.clone(), before, land, state, inner: inner.clone() })))
    }

    fn kept_for(&self, key: &Key, wants: Wants, now: Instant) -> Option<&Kept<T>> {
        self.kept.peek(&key.hash()).filter(|kept| kept.key == *key && kept.until > now && wants.awaits(kept))
    }

    fn keep(&mut self, hash: Hash, kept: Kept<T>) {
        self.kept_bytes = self.kept_bytes.saturating_add(kept.bytes);
        if let Some((_, old)) = self.kept.push(hash, kept) {
            self.kept_bytes = self.kept_bytes.saturating_sub(old.bytes);
        }
        while self.kept_bytes > MOST_KEPT.1
            && let Some((_, old)) = self.kept.pop_lru()
        {
            self.kept_bytes = self.kept_bytes.saturating_sub(old.bytes);
        }
    }

    fn drop_kept(&mut self, is_dropped: impl Fn(&Kept<T>) -> bool) {
        let gone: Vec<Hash> = self.kept.iter().filter(|(_, kept)| is_dropped(kept)).map(|(hash, _)| *hash).collect();
        for hash in gone {
            if let Some(old) = self.kept.pop(&hash) {
                self.kept_bytes = self.kept_bytes.saturating_sub(old.bytes);
            }
        }
    }
}

impl<T> Inner<T> {
    fn seat(self: &Arc<Self>, flight: &Flight<T>) -> Seat<T> {
        self.waiters.fetch_add(1, Relaxed);
        Seat {
            number: flight.number,
            follows: flight.began.is_none(),
            waits: if flight.began.is_some() { Waits::Late } else { Waits::InTime },
            landed: flight.landed.clone(),
            state: flight.state.clone(),
            inner: self.clone(),
        }
    }

    /// A seat where everything is there already.
    fn seat_of(self: &Arc<Self>, number: u64, value: T) -> Seat<T> {
        self.waiters.fetch_add(1, Relaxed);
        Seat {
            number,
            follows: false,
            waits: Waits::Late,
            landed: watch::channel(Some(value)).1,
            state: Arc::default(),
            inner: self.clone(),
        }
    }
}

impl<T: Clone> Seat<T> {
    /// Waits until the flight has landed, at most until the deadline.
    pub(crate) async fn wait(mut self, deadline: Instant) -> Waited<T> {
        match timeout_at(deadline, self.landed.wait_for(Option::is_some)).await {
            Ok(Ok(value)) => return (*value).clone().map_or(Waited::Crashed, Waited::Landed),
            Ok(Err(_)) => return Waited::Crashed,
            Err(_) => {}
        }
        self.state.is_awaited.store(true, Relaxed);
        // Whoever lands after this look keeps what it brings, since both hold the lock for it.
        let _table = self.inner.table.lock();
        match self.landed.borrow().clone() {
            Some(value) => Waited::Landed(value),
            None => Waited::Late(self.number + self.waits as u64),
        }
    }
}

impl<T: Clone> Takeoff<T> {
    /// From now on it asks the origin only.
    pub(crate) fn loads(&self) {
        self.state.loads.store(true, Relaxed);
    }

    /// Waits until no other flight for the key is under way, then takes its place: who asks from now on finds it there.
    /// How long all who have joined it until then have been waiting, where it had to wait.
    pub(crate) async fn clear(&mut self) -> Option<Duration> {
        let mut waited = None;
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
            if table.flights.get(&self.hash).is_some_and(|flight| flight.number == self.number)
                && let Some(flight) = table.flights.remove(&self.hash)
            {
                self.hash = self.key.hash();
                waited = Some(flight.joined.elapsed());
                table
                    .flights
                    .insert(self.hash, Flight { key: self.key.clone(), began: Some(Instant::now()), ..flight });
            }
        }
        waited
    }

    /// Gives everybody what the flight brought, and keeps it for those who were told to come back; `bytes` of it. What
    /// is to be found in the store has to be there already: whoever comes after this looks there.
    pub(crate) fn land(self, value: T, bytes: u64) {
        let mut table = self.inner.table.lock();
        // One that a purge has named is nobody's any more who comes from now on.
        let flight = table.flights.get(&self.hash).filter(|flight| flight.number == self.number);
        if let Some(began) = flight.map(|flight| flight.began)
            && self.state.is_awaited.load(Relaxed)
        {
            let kept = Kept {
                number: self.number,
                key: self.key.clone(),
                began,
                value: value.clone(),
                bytes,
                until: Instant::now() + KEPT,
            };
            table.keep(self.key.hash(), kept);
        }
        self.land.send_replace(Some(value));
    }
}

impl<T> Drop for Takeoff<T> {
    fn drop(&mut self) {
        let mut table = self.inner.table.lock();
        if table.flights.get(&self.hash).is_some_and(|flight| flight.number == self.number) {
            table.flights.remove(&self.hash);
        }
    }
}

impl<T> Drop for Seat<T> {
    fn drop(&mut self) {
        self.inner.waiters.fetch_sub(1, Relaxed);
    }
}
