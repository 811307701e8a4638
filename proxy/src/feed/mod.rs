//! The feed: one worker of a proxy asks a coordinator, and the others read its answers from the proxy's shared data.

mod panics;

use self::panics::Panics;
use crate::{
    http::Headers,
    state::{
        counters::Event,
        group_counts::{self, GroupCounts},
        shared_data::SharedData,
        snapshot::{self, FeedUpdate},
        worker::Worker,
    },
};
use meshcache_protocol::{
    feed::{self, FeedRequest, HEARTBEAT, News},
    paths, wire,
};
use std::borrow::Cow;

/// The timeout of a request, milliseconds. A coordinator answers after a second. Should it be frozen, another one
/// answers while hot responses are still served.
pub const TIMEOUT: u64 = 1800;
/// How long a worker that stopped ticking keeps the others from asking, milliseconds.
const LEASE: u64 = 1500;
/// The failures after which the feed pauses. Most installations have no more coordinators, so one that is there is
/// found in one round.
const ROUND: u32 = 4;
/// After an answer without news that came sooner than this, the next request waits as long, milliseconds.
const MIN_INTERVAL: u64 = 200;
/// The attempts to change data that other workers write at the same time.
const ATTEMPTS: usize = 8;

/// A request of the feed, to be sent now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedCallout {
    /// The coordinator to ask. `None`: any.
    pub peer: Option<String>,
    /// The body.
    pub body: Vec<u8>,
    /// The timeout, milliseconds.
    pub timeout: u64,
}

impl FeedCallout {
    /// Returns its headers.
    pub fn headers(&self) -> Headers<'_> {
        let own = [
            (":method", Cow::Borrowed("POST")),
            (":scheme", Cow::Borrowed("http")),
            (":authority", Cow::Borrowed("meshcache")),
            (":path", Cow::Borrowed(paths::FEED)),
            ("content-type", Cow::Borrowed("application/json")),
            (wire::header::WIRE, Cow::Owned(wire::VERSION.to_string())),
        ];
        let peer = self.peer.as_deref().map(|peer| (wire::header::PEER, Cow::Borrowed(peer)));
        own.into_iter().chain(peer).collect()
    }
}

/// The current time, and a random number.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Milliseconds of a monotonic clock that all workers share.
    pub now: u64,
    /// Spreads what would otherwise happen at once in all proxies.
    pub random: u64,
}

/// One worker's part in its proxy's feed.
pub struct Feed {
    /// This worker's number.
    holder: u64,
    /// The proxy's name.
    proxy: String,
    /// The names in the shared data: the lease, the last state, the last purges, the last contact, the counters.
    lease: String,
    state: String,
    purges: String,
    life: String,
    counts: String,
    /// The number of the shared purges that this worker has applied.
    purged: u32,
    /// The coordinator to ask: the one that answered last, or another one after a failure. `None`: any.
    peer: Option<String>,
    /// The failures since the last answer.
    failures: u32,
    /// When the request in flight was sent.
    sent_at: Option<u64>,
    /// The next request waits until then.
    rest: u64,
    /// The counters in the request in flight.
    sent_counts: GroupCounts,
    /// The panics that the host survived.
    pub(crate) panics: Panics,
    /// The last failure, which is logged once.
    complaint: String,
}

impl Feed {
    /// The part of the worker `holder`. `cluster` separates this feed from those of other coordinators.
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
            sent_at: None,
            rest: 0,
            sent_counts: GroupCounts::new(),
            panics: Panics::default(),
            complaint: String::new(),
        }
    }

    /// Reads what other workers received and hands over counters. Returns a request if it is this worker's turn. Called
    /// a few times a second.
    pub fn tick(&mut self, worker: &mut Worker, shared: &mut dyn SharedData, at: Moment) -> Option<FeedCallout> {
        self.read_shared(worker, shared);
        self.hand_over_counters(worker, shared);
        if !self.try_hold_lease(shared, at.now) {
            return None;
        }
        if self.sent_at.is_some_and(|sent| sent.saturating_add(TIMEOUT).saturating_add(LEASE) < at.now) {
            self.fail(worker, at, "no answer".into());
        }
        self.ask(worker, shared, at.now)
    }

    /// Takes the body of an answer, or `None` if there was none. Returns a line for the log and the next request.
    pub fn receive(
        &mut self,
        worker: &mut Worker,
        shared: &mut dyn SharedData,
        body: Option<&[u8]>,
        at: Moment,
    ) -> (Option<String>, Option<FeedCallout>) {
        self.apply(worker, shared, body.map(|body| (body, snapshot::read(body))), at)
    }

    /// Does what [`Feed::receive`] does, for an answer that was read before.
    pub fn apply(
        &mut self,
        worker: &mut Worker,
        shared: &mut dyn SharedData,
        answer: Option<(&[u8], FeedUpdate)>,
        at: Moment,
    ) -> (Option<String>, Option<FeedCallout>) {
        let sent_at = self.sent_at.take();
        let Some((body, update)) = answer else {
            return (self.fail(worker, at, "no coordinator answers".into()), None);
        };
        match update {
            FeedUpdate::Invalid(why) => return (self.fail(worker, at, why), None),
            FeedUpdate::UnknownVersion(version) => {
                worker.remove_snapshot();
                shared.set(&self.state, body, 0);
                // A contact without a version: the other workers read the state and remove their snapshots, too.
                shared.set(&self.life, &at.now.to_le_bytes(), 0);
                let why = format!("wire version {version} is not one of mine ({} to {})", wire::OLDEST, feed::VERSION);
                return (self.fail(worker, at, why), None);
            }
            FeedUpdate::Snapshot { peer, snapshot, news } => {
                worker.install(snapshot);
                self.peer = next_peer(worker, &peer, at.random);
                shared.set(&self.state, body, 0);
                self.apply_news(worker, shared, news);
            }
            FeedUpdate::Unchanged { version, .. } if version != worker.version() => {
                return (self.fail(worker, at, format!("state {version} was not sent")), None);
            }
            FeedUpdate::Unchanged { peer, news, .. } => {
                self.apply_news(worker, shared, news);
                self.peer = next_peer(worker, &peer, at.random);
                if sent_at.is_some_and(|sent| at.now < sent.saturating_add(MIN_INTERVAL)) {
                    self.rest = at.now.saturating_add(MIN_INTERVAL);
                }
            }
        }
        self.failures = 0;
        worker.note_contact(at.now);
        worker.counters.count_event(Event::Feed);
        let mut life = at.now.to_le_bytes().to_vec();
        life.extend_from_slice(worker.version().as_bytes());
        shared.set(&self.life, &life, 0);
        self.panics.confirm();
        let sent = std::mem::take(&mut self.sent_counts);
        update_counts(shared, &self.counts, |all| group_counts::subtract(all, &sent));
        let recovered = std::mem::take(&mut self.complaint);
        let line = (!recovered.is_empty()).then(|| "the feed is back".to_owned());
        let next = if self.try_hold_lease(shared, at.now) { self.ask(worker, shared, at.now) } else { None };
        (line, next)
    }

    /// Carries out purges and shares them with the other workers.
    fn apply_news(&self, worker: &mut Worker, shared: &mut dyn SharedData, news: Option<News>) {
        let Some(news) = news else { return };
        worker.apply_news(news);
        if let Ok(all) = serde_json::to_vec(&worker.news()) {
            shared.set(&self.purges, &all, 0);
        }
    }

    fn ask(&mut self, worker: &Worker, shared: &dyn SharedData, now: u64) -> Option<FeedCallout> {
        if self.sent_at.is_some() || now < self.rest {
            return None;
        }
        // The counters stay in the shared data until an answer arrives: a lost answer may count twice, a lost worker
        // loses nothing.
        self.sent_counts =
            shared.get(&self.counts).and_then(|(json, _)| serde_json::from_slice(&json).ok()).unwrap_or_default();
        // After a failure a coordinator is asked to answer at once, and has a second less for it: it may be frozen
        // while another one is there. The last of a round has the full time: a slow one is better than none.
        let at_once = self.failures > 0;
        let is_short = at_once && !self.failures.saturating_add(1).is_multiple_of(ROUND);
        let question = FeedRequest {
            wire: feed::VERSION,
            proxy: self.proxy.clone(),
            filter_version: env!("CARGO_PKG_VERSION").to_owned(),
            version: worker.version().to_owned(),
            position: worker.position().clone(),
            announced: worker.purge_ack().clone(),
            at_once,
            exact: true,
            requests: self.sent_counts.clone(),
            panics: self.panics.send(),
        };
        let body = serde_json::to_vec(&question).ok()?;
        self.sent_at = Some(now);
        Some(FeedCallout {
            peer: self.peer.clone(),
            body,
            timeout: if is_short { TIMEOUT - HEARTBEAT } else { TIMEOUT },
        })
    }

    /// Records a failure. The next request goes to another coordinator: soon, or after a pause when a whole round has
    /// failed. Returns a line for the log, unless the last one was the same.
    pub fn fail(&mut self, worker: &mut Worker, at: Moment, why: String) -> Option<String> {
        worker.counters.count_event(Event::FeedFailure);
        self.sent_at = None;
        self.failures = self.failures.saturating_add(1);
        // When all coordinators are gone, all proxies wait for the first one that returns. Their requests are spread
        // over a second.
        let rest =
            if self.failures.is_multiple_of(ROUND) { (at.random % 1000).saturating_add(250) } else { at.random % 100 };
        self.rest = at.now.saturating_add(rest);
        // Only the feed turns to another peer. Each worker finds out by itself which peers answer lookups: which worker
        // holds the lease must make no difference. If the other peer fails, too, any that Envoy knows is asked: all
        // that this worker knows may be gone.
        self.peer =
            self.peer.take().filter(|_| self.failures == 1).and_then(|peer| other_peer(worker, &peer, at.random));
        if self.complaint == why {
            return None;
        }
        self.complaint = why;
        Some(format!("the feed fails: {}", self.complaint))
    }

    /// Takes over what another worker received.
    fn read_shared(&mut self, worker: &mut Worker, shared: &dyn SharedData) {
        let Some((life, _)) = shared.get(&self.life) else { return };
        let Some((contact, version)) = life.split_first_chunk::<8>() else { return };
        let contact = u64::from_le_bytes(*contact);
        if version != worker.version().as_bytes() || version.is_empty() {
            match shared.get(&self.state).map(|(body, _)| snapshot::read(&body)) {
                Some(FeedUpdate::Snapshot { snapshot, .. }) if snapshot.version.as_bytes() == version => {
                    worker.install(snapshot)
                }
                Some(FeedUpdate::UnknownVersion(_)) => return worker.remove_snapshot(),
                _ => return,
            }
        }
        // Read after the contact and written before it, so that the contact vouches for no more than is read here.
        if let Some((all, number)) = shared.get(&self.purges).filter(|(_, number)| *number != self.purged) {
            let Ok(news) = serde_json::from_slice::<News>(&all) else { return };
            self.purged = number;
            worker.apply_news(news);
        }
        worker.note_contact(contact);
    }

    /// Adds this worker's counters to those of all.
    fn hand_over_counters(&self, worker: &mut Worker, shared: &mut dyn SharedData) {
        let own = worker.all_counters().report();
        if !own.is_empty() && update_counts(shared, &self.counts, |all| group_counts::merge(all, &own)) {
            worker.counters.clear_groups();
        }
    }

    /// Renews the lease, or takes it over from a worker that stopped ticking. Returns whether this worker holds it.
    fn try_hold_lease(&self, shared: &mut dyn SharedData, now: u64) -> bool {
        let read = |shared: &dyn SharedData| {
            let (value, number) = shared.get(&self.lease)?;
            let (holder, until) = value.split_first_chunk::<8>()?;
            Some((u64::from_le_bytes(*holder), u64::from_le_bytes(*until.first_chunk::<8>()?), number))
        };
        let number = match read(shared) {
            Some((holder, until, _)) if holder != self.holder && until > now => return false,
            Some((.., number)) => number,
            None => 0,
        };
        let own = [self.holder.to_le_bytes(), now.saturating_add(LEASE).to_le_bytes()].concat();
        // The first value is written unconditionally, perhaps by two workers. The value that remains decides.
        shared.set(&self.lease, &own, number) && read(shared).is_some_and(|(holder, ..)| holder == self.holder)
    }
}

/// The peer to ask next: the one that answered, unless it has left the ring.
fn next_peer(worker: &Worker, answered: &str, random: u64) -> Option<String> {
    let snapshot = worker.snapshot()?;
    snapshot.ring.peer(answered).map(|peer| peer.data.clone()).or_else(|| other_peer(worker, "", random))
}

/// Any peer except this one.
fn other_peer(worker: &Worker, except: &str, random: u64) -> Option<String> {
    let others: Vec<_> = worker.snapshot()?.ring.peers().iter().filter(|peer| peer.data != except).collect();
    let at = usize::try_from(random).unwrap_or(0).checked_rem(others.len())?;
    others.get(at).map(|peer| peer.data.clone())
}

/// Changes counters in the shared data. Returns whether that succeeded.
fn update_counts(shared: &mut dyn SharedData, name: &str, change: impl Fn(&mut GroupCounts)) -> bool {
    for _ in 0..ATTEMPTS {
        let (all, number) = shared.get(name).unwrap_or_default();
        let before: GroupCounts = serde_json::from_slice(&all).unwrap_or_default();
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
