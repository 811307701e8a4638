//! Requests as they end (`tail`), and what they are for (`top`): recorded while somebody looks, and not otherwise.
//!
//! Each table and each filter that is asked for is a look. It begins with the first question for it, and is forgotten
//! when nobody has asked for 10 s. With none left a request costs one load of an atomic.

mod counters;
mod merge;
mod sketch;
mod stream;
mod table;
mod wanted;

pub(crate) use merge::merged;
pub(crate) use wanted::{BadFilter, shown};

use crate::{
    cache::state::Cache,
    clock,
    inquiry::no_answer::NoAnswer,
    telemetry::request_end::{OnDemand, RequestEnd, RequestListener},
};
use arc_swap::ArcSwap;
use counters::Counters;
use meshcache_admin::{Filter, Tail, TailRequest, Top, TopBy, TopRequest};
use parking_lot::Mutex;
use std::{
    sync::{
        Arc, Weak,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};
use stream::Stream;
use table::Table;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, sleep},
};
use wanted::{TOLD, Wanted};

/// A look that nobody has asked for in this time is forgotten, seconds.
const FORGOTTEN: f64 = 10.0;
/// How often that is looked after.
const SWEEP: Duration = Duration::from_secs(1);
/// The most looks of a kind at once: what they cost and keep is bounded.
const MAX_LOOKS: usize = 16;
/// The most who tail at once at one coordinator.
pub(crate) const MAX_TAILS: usize = 16;
/// The most rows that a coordinator tells another.
const MAX_ROWS: usize = 1024;
/// How long who tails waits for a request.
const WAIT: Duration = Duration::from_secs(1);
/// How often it is looked for meanwhile: to wake who waits would cost each request more than this does.
const LOOK: Duration = Duration::from_millis(50);

/// What is recorded while somebody looks.
pub struct Live {
    began: Instant,
    is_on: Arc<AtomicBool>,
    looks: ArcSwap<Looks>,
    /// Held while looks are changed.
    changing: Mutex<()>,
    numbers: AtomicU64,
    stopped: watch::Sender<bool>,
    tails: Arc<Semaphore>,
}

#[derive(Clone, Default)]
struct Looks {
    tables: Vec<Arc<Look<Table>>>,
    streams: Vec<Arc<Look<Stream>>>,
}

/// What somebody looks at.
struct Look<T> {
    /// When it was asked for last: milliseconds since [`Live::began`].
    asked: AtomicU64,
    at: T,
}

impl Live {
    /// Returns one at which nobody looks.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            is_on: Arc::default(),
            looks: ArcSwap::default(),
            changing: Mutex::default(),
            // A tail goes on when this process has started anew: numbers of before must be others.
            numbers: AtomicU64::new(clock::wall() % (1 << 20)),
            stopped: watch::Sender::new(false),
            tails: Arc::new(Semaphore::new(MAX_TAILS)),
        })
    }

    /// Returns it as what wants to know of requests while somebody looks.
    pub(crate) fn listener(self: &Arc<Self>) -> OnDemand {
        OnDemand { is_on: self.is_on.clone(), listener: self.clone() }
    }

    /// Returns a place among those who tail here; none: there are [`MAX_TAILS`].
    pub(crate) fn try_tail(&self) -> Option<OwnedSemaphorePermit> {
        self.tails.clone().try_acquire_owned().ok()
    }

    /// Ends all tails: the process stops.
    pub(crate) fn stop(&self) {
        self.stopped.send_replace(true);
    }

    /// Returns when the process stops.
    pub(crate) fn stopped(&self) -> watch::Receiver<bool> {
        self.stopped.subscribe()
    }

    /// Returns this coordinator's rows of a table.
    pub(crate) fn top(self: &Arc<Self>, cache: &Cache, request: &TopRequest) -> Result<Top, NoAnswer> {
        let (wanted, by) = (read(cache, &request.filter)?, request.by);
        let now = self.now();
        let table = self.look(
            |looks| &mut looks.tables,
            |table| table.is_for(by, &wanted),
            |_| Table::new(by, wanted.clone(), now),
        )?;
        let mut top = table.at.rows(&Counters::read(cache, by), now);
        top.rows.truncate(MAX_ROWS);
        Ok(top)
    }

    /// Returns this coordinator's requests since the number that is asked for; where there are none, after a second.
    pub(crate) async fn tail(
        self: &Arc<Self>,
        cache: &Cache,
        request: &TailRequest,
        me: &str,
    ) -> Result<Tail, NoAnswer> {
        let wanted = read(cache, &request.filter)?;
        let stream = self.look(
            |looks| &mut looks.streams,
            |stream| stream.is_for(&wanted),
            |number| Stream::new(wanted.clone(), number),
        )?;
        let end = Instant::now() + WAIT;
        loop {
            let tail = stream.at.since(request.after, me, self.now());
            if !tail.ended.is_empty() || request.after.is_none() || Instant::now() >= end {
                return Ok(tail);
            }
            sleep(LOOK).await;
        }
    }

    /// Returns what is looked at, and begins to record it where nobody has looked.
    fn look<T>(
        self: &Arc<Self>,
        kind: impl Fn(&mut Looks) -> &mut Vec<Arc<Look<T>>>,
        is: impl Fn(&T) -> bool,
        new: impl FnOnce(u64) -> T,
    ) -> Result<Arc<Look<T>>, NoAnswer> {
        let _changing = self.changing.lock();
        let mut looks = Looks::clone(&self.looks.load());
        let asked = self.began.elapsed().as_millis() as u64;
        if let Some(look) = kind(&mut looks).iter().find(|look| is(&look.at)) {
            look.asked.store(asked, Relaxed);
            return Ok(look.clone());
        }
        if kind(&mut looks).len() >= MAX_LOOKS {
            let why =
                format!("{MAX_LOOKS} others are looked at with other filters: try again when one of them has ended");
            return Err(NoAnswer(why));
        }
        let look = Arc::new(Look { asked: AtomicU64::new(asked), at: new(self.numbers.fetch_add(1, Relaxed)) });
        kind(&mut looks).push(look.clone());
        self.looks.store(Arc::new(looks));
        if !self.is_on.swap(true, SeqCst) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
        Ok(look)
    }

    /// Forgets what nobody looks at any more. Returns whether nothing is left.
    fn forget(&self) -> bool {
        let _changing = self.changing.lock();
        let mut looks = Looks::clone(&self.looks.load());
        let now = self.now();
        let is_wanted = |asked: &AtomicU64| now - asked.load(Relaxed) as f64 / 1000.0 < FORGOTTEN;
        looks.tables.retain(|look| is_wanted(&look.asked));
        looks.streams.retain(|look| is_wanted(&look.asked));
        let is_empty = looks.tables.is_empty() && looks.streams.is_empty();
        self.looks.store(Arc::new(looks));
        if is_empty {
            self.is_on.store(false, SeqCst);
        }
        is_empty
    }

    /// Seconds since it began.
    fn now(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }
}

impl RequestListener for Live {
    fn ended(&self, request: &RequestEnd) {
        let (looks, now) = (self.looks.load(), self.now());
        looks.tables.iter().for_each(|table| table.at.record(request, now));
        looks.streams.iter().for_each(|stream| stream.at.record(request, now));
    }
}

/// Checks what `GET /top` or `GET /tail` asks for.
pub(crate) fn check(cache: &Cache, by: Option<TopBy>, filter: &Filter) -> Result<(), BadFilter> {
    let others = (&filter.outcome, &filter.reason, &filter.status, &filter.path);
    if by == Some(TopBy::Origins) && others != (&None, &None, &None, &None) {
        return Err(BadFilter("by=origins is filtered by group alone".to_owned()));
    }
    // A coordinator ends no request so: who looks would wait in vain.
    let is_told = filter.outcome.as_ref().is_some_and(|outcome| TOLD.iter().any(|told| outcome == told));
    if is_told && !matches!(by, Some(TopBy::Groups | TopBy::Reasons)) {
        return Err(BadFilter("outcome: only proxies tell of that, and only for top by groups and reasons".to_owned()));
    }
    Wanted::read(filter, &cache.groups()).map(drop)
}

fn read(cache: &Cache, filter: &Filter) -> Result<Wanted, NoAnswer> {
    Wanted::read(filter, &cache.groups()).map_err(|bad| NoAnswer(bad.to_string()))
}

/// Looks after what is forgotten, until nothing is left.
async fn sweep(live: Weak<Live>) {
    loop {
        sleep(SWEEP).await;
        if live.upgrade().is_none_or(|live| live.forget()) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{settings::Port, telemetry::request_end::RequestEnds};
    use http::Request;
    use std::hint::black_box;

    fn ended(live: &Arc<Live>, path: &str) {
        live.ended(&wanted::tests::end(path, "hit", 200));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_recorded_nor_kept_when_nobody_looks() {
        let (live, cache) = (Live::new(), Cache::sample("me", 1 << 20));
        let ends = RequestEnds::new(Vec::new(), None, false, Some(live.listener())).unwrap();
        assert!(!ends.is_needed());
        live.top(&cache, &TopRequest::default()).unwrap();
        let table = Arc::downgrade(live.looks.load().tables.first().unwrap());
        for _ in 0..3 {
            sleep(Duration::from_secs(9)).await;
            live.top(&cache, &TopRequest::default()).unwrap();
            assert!(ends.is_needed() && table.upgrade().is_some(), "somebody asks every 9 s");
        }
        sleep(Duration::from_secs(12)).await;
        assert!(!ends.is_needed() && table.upgrade().is_none());
        live.tail(&cache, &TailRequest::default(), "me").await.unwrap();
        assert!(ends.is_needed(), "somebody looks again");
    }

    #[tokio::test(start_paused = true)]
    async fn who_tails_waits_a_second_for_a_request_and_no_longer() {
        let (live, cache) = (Live::new(), Cache::sample("me", 1 << 20));
        let after = Some(live.tail(&cache, &TailRequest::default(), "me").await.unwrap().next);
        let ask = TailRequest { after, ..TailRequest::default() };
        let began = Instant::now();
        assert!(live.tail(&cache, &ask, "me").await.unwrap().ended.is_empty());
        assert!(began.elapsed() >= WAIT && began.elapsed() < 2 * WAIT, "{:?}", began.elapsed());
        let (told, ()) = tokio::join!(live.tail(&cache, &ask, "me"), async {
            sleep(LOOK * 3).await;
            ended(&live, "/a");
        });
        assert_eq!(told.unwrap().ended[0].path, "/a");
    }

    #[tokio::test]
    async fn looks_with_different_filters_are_few() {
        let (live, cache) = (Live::new(), Cache::sample("me", 1 << 20));
        let look = |n: usize| {
            let filter = Filter { path: Some(format!("/{n}")), ..Filter::default() };
            live.top(&cache, &TopRequest { filter, ..TopRequest::default() })
        };
        assert!((0..MAX_LOOKS).chain(0..MAX_LOOKS).all(|n| look(n).is_ok()));
        assert!(look(MAX_LOOKS).is_err_and(|why| why.0.contains("16 others are looked at")));
    }

    /// This thread's, whatever else the machine does.
    fn cpu_time() -> Duration {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(now.tv_sec.try_into().unwrap(), now.tv_nsec.try_into().unwrap())
    }

    /// cargo test --release -p meshcache-coordinator --lib somebody_looks -- --ignored --nocapture
    #[tokio::test]
    #[ignore = "it measures: with --release"]
    async fn while_somebody_looks_a_request_costs_at_most_half_a_microsecond() {
        const TIMES: u32 = 500_000;
        let cache = Cache::sample("me", 1 << 20);
        let requests: Vec<Request<()>> =
            (0..10_000).map(|n| Request::get(format!("http://shop.test/a/path/{n}")).body(()).unwrap()).collect();
        let took = async |live: &Arc<Live>, paths: usize| {
            let ends = RequestEnds::new(Vec::new(), None, false, Some(live.listener())).unwrap();
            let began = cpu_time();
            for request in requests.iter().take(paths).cycle().take(TIMES as usize) {
                let begun = Some(&ends).filter(|ends| ends.is_needed());
                let begun = begun.map(|ends| ends.begin(Port::Data, black_box(request)));
                if let Some((current, unfinished)) = begun {
                    current.scope(async { drop(black_box(unfinished)) }).await;
                }
            }
            (cpu_time() - began) / TIMES
        };
        let looked_at = |by: Option<TopBy>| {
            let live = Live::new();
            by.map(|by| live.top(&cache, &TopRequest { by, ..TopRequest::default() }).unwrap());
            live
        };
        let nobody = took(&looked_at(None), 100).await;
        let (few, many) = (looked_at(Some(TopBy::Keys)), looked_at(Some(TopBy::Keys)));
        let (few, many) = (took(&few, 100).await, took(&many, 10_000).await);
        let tailed = looked_at(None);
        tailed.tail(&cache, &TailRequest::default(), "me").await.unwrap();
        let tail = took(&tailed, 100).await;
        println!("nobody looks {nobody:?}; top of 100 keys {few:?}, of 10,000 keys {many:?}; tail {tail:?}");
        assert!(nobody < Duration::from_nanos(5), "{nobody:?}");
        assert!([few, many, tail].iter().all(|took| *took < Duration::from_nanos(500)), "{few:?} {many:?} {tail:?}");
    }
}
