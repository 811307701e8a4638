//! The feed: one worker of a proxy asks a coordinator, the others take what it heard from the proxy's shared memory.

use crate::{
    counts::{self, ByGroup, Event},
    known::{self, Said},
    shared::Shared,
    worker::Worker,
};
use meshcache_protocol::{
    feed::{self, FeedRequest, HEARTBEAT, News},
    wire,
};

/// The longest that Envoy waits for an answer, milliseconds. A coordinator answers after a second; were it frozen,
/// another one's sign of life still comes while hot answers are trusted.
pub const TIMEOUT: u64 = 1800;
/// How long a worker that stopped ticking keeps the others from asking.
const LEASE: u64 = 1500;
/// After so many failures the feed rests. Most installations have no more coordinators: one that is there is found in
/// one round.
const ROUND: u32 = 4;
/// An answer that says nothing new and comes sooner than this is not followed by the next question at once.
const SOON: u64 = 200;

/// A question that goes out now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedAsk {
    /// The coordinator to ask; `None`: any.
    pub peer: Option<String>,
    /// The question.
    pub body: Vec<u8>,
    /// How long to wait for its answer, milliseconds.
    pub timeout: u64,
}

/// This moment, and a number nobody can foresee.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Milliseconds of a clock that never jumps, the same for all workers.
    pub now: u64,
    /// For spreading what would otherwise come all at once.
    pub random: u64,
}

/// One worker's part in its proxy's feed.
pub struct Feed {
    /// This worker.
    holder: u64,
    /// The proxy.
    proxy: String,
    /// Names in the shared memory: whose turn it is, the state, the last purges, the last sign of life, counters.
    lease: String,
    state: String,
    purges: String,
    life: String,
    counts: String,
    /// The number of the purges in the shared memory that it has heard of.
    purged: u32,
    /// The coordinator to ask: the one that answered last, after a failure another of the ring. `None`: any.
    peer: Option<String>,
    /// Failures since the last answer.
    failures: u32,
    /// When the question under way was asked.
    asked: Option<u64>,
    /// Not before then is asked again.
    rest: u64,
    /// The counters that went with the question.
    sent: ByGroup,
    /// What the last failure was; said once.
    complaint: String,
}

impl Feed {
    /// A worker's part: `holder` tells it from the proxy's other workers, `cluster` this feed from others.
    pub fn new(holder: u64, proxy: &str, cluster: &str) -> Self {
        let name = |what: &str| format!("meshcache.{cluster}.{what}");
        Self {
            holder,
            proxy: proxy.to_owned(),
            lease: name("lease"),
            state: name("state"),
            purges: name("purges"),
            life: name("life"),
            counts: name("counts"),
            purged: 0,
            peer: None,
            failures: 0,
            asked: None,
            rest: 0,
            sent: ByGroup::new(),
            complaint: String::new(),
        }
    }

    /// Some times a second: hears what others heard, hands over counters, and asks when it is this worker's turn.
    pub fn tick(&mut self, worker: &mut Worker, shared: &mut dyn Shared, at: Moment) -> Option<FeedAsk> {
        self.listen(worker, shared);
        self.hand_over(worker, shared);
        if !self.holds_lease(shared, at.now) {
            return None;
        }
        if self.asked.is_some_and(|asked| asked.saturating_add(TIMEOUT).saturating_add(LEASE) < at.now) {
            self.fails(worker, at, "no answer".into());
        }
        self.ask(worker, shared, at.now)
    }

    /// An answer came; `None`: none did. What is worth a line in the log, and the next question.
    pub fn answered(
        &mut self,
        worker: &mut Worker,
        shared: &mut dyn Shared,
        body: Option<&[u8]>,
        at: Moment,
    ) -> (Option<String>, Option<FeedAsk>) {
        self.takes(worker, shared, body.map(|body| (body, known::read(body))), at)
    }

    /// The same, of an answer that was read before: its body, and what it says.
    pub fn takes(
        &mut self,
        worker: &mut Worker,
        shared: &mut dyn Shared,
        said: Option<(&[u8], Said)>,
        at: Moment,
    ) -> (Option<String>, Option<FeedAsk>) {
        let asked = self.asked.take();
        let Some((body, said)) = said else { return (self.fails(worker, at, "no coordinator answers".into()), None) };
        match said {
            Said::Broken(why) => return (self.fails(worker, at, why), None),
            Said::Foreign(version) => {
                worker.forget();
                shared.set(&self.state, body, 0);
                // A sign of life of a state that has no version: the other workers read it and forget, too.
                shared.set(&self.life, &at.now.to_le_bytes(), 0);
                return (
                    self.fails(
                        worker,
                        at,
                        format!("wire version {version} is not one of mine ({} to {})", wire::OLDEST, feed::VERSION),
                    ),
                    None,
                );
            }
            Said::State { peer, known, news } => {
                worker.learn(known);
                self.peer = next(worker, &peer, at.random);
                shared.set(&self.state, body, 0);
                self.purge(worker, shared, news);
            }
            Said::Same { version, .. } if version != worker.version() => {
                return (self.fails(worker, at, format!("state {version} was not sent")), None);
            }
            Said::Same { peer, news, .. } => {
                self.purge(worker, shared, news);
                self.peer = next(worker, &peer, at.random);
                if asked.is_some_and(|asked| at.now < asked.saturating_add(SOON)) {
                    self.rest = at.now.saturating_add(SOON);
                }
            }
        }
        self.failures = 0;
        worker.hears(at.now);
        worker.counts.event(Event::Feed);
        let mut life = at.now.to_le_bytes().to_vec();
        life.extend_from_slice(worker.version().as_bytes());
        shared.set(&self.life, &life, 0);
        let sent = std::mem::take(&mut self.sent);
        update(shared, &self.counts, |all| counts::subtract(all, &sent));
        let recovered = std::mem::take(&mut self.complaint);
        let line = (!recovered.is_empty()).then(|| "the feed is back".to_owned());
        let next = if self.holds_lease(shared, at.now) { self.ask(worker, shared, at.now) } else { None };
        (line, next)
    }

    /// Carries out what was purged, and lets the other workers know.
    fn purge(&self, worker: &mut Worker, shared: &mut dyn Shared, news: Option<News>) {
        let Some(news) = news else { return };
        worker.purge(news);
        if let Ok(all) = serde_json::to_vec(&worker.news()) {
            shared.set(&self.purges, &all, 0);
        }
    }

    fn ask(&mut self, worker: &Worker, shared: &dyn Shared, now: u64) -> Option<FeedAsk> {
        if self.asked.is_some() || now < self.rest {
            return None;
        }
        // They stay in the shared memory until an answer comes: a lost answer may count twice, a lost worker loses
        // nothing.
        self.sent =
            shared.get(&self.counts).and_then(|(json, _)| serde_json::from_slice(&json).ok()).unwrap_or_default();
        // Of whom it asks to answer at once it does not wait that second: it may be frozen, and another one there. But
        // the last of a round has as long as ever: one that is slow is better than none.
        let at_once = self.failures > 0;
        let is_short = at_once && !self.failures.saturating_add(1).is_multiple_of(ROUND);
        let question = FeedRequest {
            wire: feed::VERSION,
            proxy: self.proxy.clone(),
            filter_version: env!("CARGO_PKG_VERSION").to_owned(),
            version: worker.version().to_owned(),
            position: worker.position().clone(),
            announced: worker.told().clone(),
            at_once,
            requests: self.sent.clone(),
        };
        let body = serde_json::to_vec(&question).ok()?;
        self.asked = Some(now);
        Some(FeedAsk { peer: self.peer.clone(), body, timeout: if is_short { TIMEOUT - HEARTBEAT } else { TIMEOUT } })
    }

    /// The next question is for another coordinator: soon, and after a whole round of failures after a rest, each
    /// proxy's another. A line for the log, unless it is the last one again.
    pub fn fails(&mut self, worker: &mut Worker, at: Moment, why: String) -> Option<String> {
        worker.counts.event(Event::FeedFailure);
        self.asked = None;
        self.failures = self.failures.saturating_add(1);
        // Once all are gone, all proxies wait for the first that is back: they come over a second, and then ask one
        // after another.
        let rest =
            if self.failures.is_multiple_of(ROUND) { (at.random % 1000).saturating_add(250) } else { at.random % 100 };
        self.rest = at.now.saturating_add(rest);
        // The feed alone turns to another. Whether the peer answers questions, they find out themselves, in each worker
        // alike: which one holds the lease, and it may be the main thread's, must make no difference to an
        // answer. And if that one does not answer either, to any that Envoy knows of: all that this worker
        // knows of may be gone.
        self.peer = self.peer.take().filter(|_| self.failures == 1).and_then(|peer| another(worker, &peer, at.random));
        if self.complaint == why {
            return None;
        }
        self.complaint = why;
        Some(format!("the feed fails: {}", self.complaint))
    }

    /// Takes what another worker heard.
    fn listen(&mut self, worker: &mut Worker, shared: &dyn Shared) {
        let Some((life, _)) = shared.get(&self.life) else { return };
        let Some((heard, version)) = life.split_first_chunk::<8>() else { return };
        let heard = u64::from_le_bytes(*heard);
        if version != worker.version().as_bytes() || version.is_empty() {
            match shared.get(&self.state).map(|(body, _)| known::read(&body)) {
                Some(Said::State { known, .. }) if known.version.as_bytes() == version => worker.learn(known),
                Some(Said::Foreign(_)) => return worker.forget(),
                _ => return,
            }
        }
        // Read after the sign of life, and written before it: it vouches for no more than what is heard here.
        if let Some((all, number)) = shared.get(&self.purges).filter(|(_, number)| *number != self.purged) {
            let Ok(news) = serde_json::from_slice::<News>(&all) else { return };
            self.purged = number;
            worker.purge(news);
        }
        worker.hears(heard);
    }

    /// Adds this worker's counters to those of all.
    fn hand_over(&self, worker: &mut Worker, shared: &mut dyn Shared) {
        let mine = worker.counts.groups();
        if !mine.is_empty() && update(shared, &self.counts, |all| counts::merge(all, &mine)) {
            worker.counts.clear_groups();
        }
    }

    /// Whether it is this worker's turn; takes it over from one that stopped ticking.
    fn holds_lease(&self, shared: &mut dyn Shared, now: u64) -> bool {
        let read = |shared: &dyn Shared| {
            let (value, number) = shared.get(&self.lease)?;
            let (holder, until) = value.split_first_chunk::<8>()?;
            Some((u64::from_le_bytes(*holder), u64::from_le_bytes(*until.first_chunk::<8>()?), number))
        };
        let number = match read(shared) {
            Some((holder, until, _)) if holder != self.holder && until > now => return false,
            Some((.., number)) => number,
            None => 0,
        };
        let mine = [self.holder.to_le_bytes(), now.saturating_add(LEASE).to_le_bytes()].concat();
        // The first value is written without a number to hold it against, perhaps by two: what stands there then
        // decides.
        shared.set(&self.lease, &mine, number) && read(shared).is_some_and(|(holder, ..)| holder == self.holder)
    }
}

/// Whom to ask next: who has answered, unless it has left the ring.
fn next(worker: &Worker, answered: &str, random: u64) -> Option<String> {
    let known = worker.known()?;
    known.ring.peer(answered).map(|peer| peer.data.clone()).or_else(|| another(worker, "", random))
}

/// Any peer but this one.
fn another(worker: &Worker, but: &str, random: u64) -> Option<String> {
    let others: Vec<_> = worker.known()?.ring.peers().iter().filter(|peer| peer.data != but).collect();
    let at = usize::try_from(random).unwrap_or(0).checked_rem(others.len())?;
    others.get(at).map(|peer| peer.data.clone())
}

/// Changes counters that all workers share. Whether it was done.
fn update(shared: &mut dyn Shared, name: &str, change: impl Fn(&mut ByGroup)) -> bool {
    for _ in 0..8 {
        let (all, number) = shared.get(name).unwrap_or_default();
        let before: ByGroup = serde_json::from_slice(&all).unwrap_or_default();
        let mut after = before.clone();
        change(&mut after);
        if after == before {
            return true;
        }
        if serde_json::to_vec(&after).is_ok_and(|json| shared.set(name, &json, number)) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests;
