//! The feed: what proxies learn from a coordinator (groups, ring, purges), and what they tell it.

use crate::{
    cache::state::Cache,
    clock,
    consistency::catch_up::{Claim, Knows},
    http::byte_budget::{ByteBudget, ByteReservation},
    telemetry::{limits::ProcessLimit, metrics::Metrics},
};
use bytes::Bytes;
use http::HeaderValue;
use meshcache_protocol::{
    Hash, Ring,
    feed::{self, FeedAnswer, FeedQuestion, News, SIGN_OF_LIFE, State},
    groups::Config,
    observe::MISMATCH,
    purge::{Missed, Position},
};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// More purges than these at once are told as an empty cache.
const PURGES: usize = 1000;
/// Changes that come sooner after one another are told together: a proxy is told five times a second at most, however
/// much changes.
const TOGETHER: Duration = Duration::from_millis(200);
/// Answers that are kept for all who ask from where others did.
const ANSWERS: usize = 64;
/// What all answers may take that are kept or on their way, but for those that are as short as any other answer: who
/// asks says from where.
const ANSWERED: u64 = 16 << 20;
const SHORT: usize = 4096;
/// A proxy that has not asked for so long is gone.
const PROXY_STAYS: Duration = Duration::from_secs(5);
/// More requests than this in a second no proxy has: whoever reaches the data port may say that it is one.
const MOST_PER_SECOND: u64 = 200_000;
/// Bounds on what proxies may make grow.
const PROXIES: usize = 20_000;
const WORDS: usize = 32;

/// What all proxies are told.
pub struct Feed {
    cache: Arc<Cache>,
    metrics: Arc<Metrics>,
    installation: String,
    me: String,
    told: Mutex<Told>,
    proxies: Mutex<HashMap<String, Proxy>>,
    words: Mutex<BTreeSet<String>>,
    room: Arc<ByteBudget>,
    current: watch::Sender<Arc<Current>>,
}

/// What is known of a proxy.
struct Proxy {
    heard: Instant,
    version: String,
    /// How many requests it may still tell of: as many more each second as a proxy can have.
    left: u64,
}

/// What was told last, and of what it was made.
#[derive(Default)]
struct Told {
    config: Arc<Config>,
    at: Option<Instant>,
    /// It will be told again before long.
    due: bool,
}

/// The state as it goes over the wire: serialised once for all who ask from the same place, however many they are.
#[derive(Default)]
struct Current {
    version: String,
    ring: Arc<Ring>,
    config: Arc<Config>,
    position: Arc<Position>,
    /// The marks of that position, once somebody is told of it.
    marks: OnceLock<String>,
    sign_of_life: [Bytes; 2],
    own_address: Option<HeaderValue>,
    /// The version of the feed in which it was asked, whether the state was asked for, and the purges that the asker
    /// knows: the answer.
    answers: Mutex<HashMap<Place, Arc<Written>>>,
}

/// For whom an answer is written.
type Place = (u32, bool, Position);

/// An answer with its place in the room, until nobody sends it any more.
struct Written {
    json: Vec<u8>,
    _taken: ByteReservation,
}

/// Somebody who sends it.
struct Sends(Arc<Written>);

impl AsRef<[u8]> for Sends {
    fn as_ref(&self) -> &[u8] {
        &self.0.json
    }
}

/// An answer to a proxy: JSON, and this coordinator's own address in the ring.
pub struct Answer {
    /// The body.
    pub json: Bytes,
    /// The value of `meshcache-self`, if this coordinator is in its ring.
    pub own_address: Option<HeaderValue>,
}

/// Why a proxy is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// This coordinator does not know what others purge, or who they are: its word would let proxies trust what they
    /// have.
    Unsure,
    /// There is no room for the answer.
    Full,
}

impl Feed {
    /// A feed of what this cache has.
    pub fn new(cache: Arc<Cache>, metrics: Arc<Metrics>, installation: &str, me: &str) -> Arc<Self> {
        let (current, _) = watch::channel(Arc::default());
        let (installation, me) = (installation.to_owned(), me.to_owned());
        Arc::new(Self {
            cache,
            metrics,
            installation,
            me,
            told: Mutex::default(),
            proxies: Mutex::default(),
            words: Mutex::default(),
            room: ByteBudget::new(ANSWERED),
            current,
        })
    }

    /// Tells proxies of these groups.
    pub fn set_config(self: &Arc<Self>, config: Config) {
        lock(&self.told).config = Arc::new(config);
        self.publish();
    }

    /// Tells proxies of what is new, after a change of groups, ring or purges: at once, or together with what comes
    /// soon after the last change.
    pub fn publish(self: &Arc<Self>) {
        let mut told = lock(&self.told);
        // Until there are peers nobody is told anything.
        let told_peers = !self.current.borrow().ring.peers().is_empty();
        let wait = told.at.filter(|_| told_peers).map_or(Duration::ZERO, |at| TOGETHER.saturating_sub(at.elapsed()));
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) if !wait.is_zero() => {
                if !std::mem::replace(&mut told.due, true) {
                    let feed = self.clone();
                    runtime.spawn(async move {
                        tokio::time::sleep(wait).await;
                        feed.tell(&mut lock(&feed.told));
                    });
                }
            }
            _ => self.tell(&mut told),
        }
    }

    /// Makes the state anew. The lock is held to the end, so that of two changes at once the later state stays.
    fn tell(&self, told: &mut Told) {
        (told.at, told.due) = (Some(Instant::now()), false);
        // First where we are: what is purged from now on is told the next time.
        let position = self.cache.consistency.history.position();
        let ring = self.cache.cluster.ring();
        // Equal on all coordinators that have been told the same: a proxy that changes between them is not told again.
        let of = format!("{} {:016x} {}", self.installation, ring.version(), self.cache.groups().digest());
        let version = format!("{:032x}", Hash::of(of.as_bytes()).0);
        let own_address = ring.peer(&self.me).and_then(|peer| HeaderValue::from_str(&peer.data).ok());
        let mut current =
            Current { version, ring, config: told.config.clone(), position, own_address, ..Current::default() };
        current.sign_of_life = [1, feed::VERSION].map(|wire| self.json(wire, &current, false, None).into());
        self.current.send_replace(Arc::new(current));
    }

    /// Answers a proxy: at once where it does not know all, else after a second.
    pub async fn answer(&self, mut question: FeedQuestion) -> Result<Answer, Unanswered> {
        self.count(&question);
        // It may wait for a second, and there may be many.
        question.requests.clear();
        let is_news = |current: &Arc<Current>| current.is_news_to(&question);
        let wait = if question.at_once { Duration::ZERO } else { Duration::from_millis(SIGN_OF_LIFE) };
        let mut current = self.current.subscribe();
        let _ = tokio::time::timeout(wait, current.wait_for(is_news)).await;
        self.now(&question)
    }

    /// What a proxy is told now.
    pub(crate) fn now(&self, question: &FeedQuestion) -> Result<Answer, Unanswered> {
        let current = self.current.borrow().clone();
        // Asked at the end: an answer that comes late, because we slept, would be taken for a word of now.
        if !self.cache.consistency.lease.holds(clock::awake()) || current.ring.peers().is_empty() {
            self.cache.consistency.wake();
            return Err(Unanswered::Unsure);
        }
        let claim = Claim::Anybody { purges: &question.told.position, marks: &question.told.marks };
        if self.cache.consistency.knows(claim) == Knows::Behind {
            // It was told by another of what we have not heard.
            self.cache.consistency.wake();
        }
        let [first, second] = &current.sign_of_life;
        let json = match question.wire {
            _ if current.is_news_to(question) => self.news(&current, question).ok_or(Unanswered::Full)?,
            ..=1 => first.clone(),
            _ => second.clone(),
        };
        Ok(Answer { json, own_address: current.own_address.clone() })
    }

    /// Whether a proxy does not know all.
    #[cfg(test)]
    pub(crate) fn has_news(&self, question: &FeedQuestion) -> bool {
        self.current.borrow().is_news_to(question)
    }

    /// What one does not know who has that state and those purges.
    fn news(&self, current: &Arc<Current>, question: &FeedQuestion) -> Option<Bytes> {
        let wants_state = current.version != question.version;
        // A later version is answered in this one: in the middle of an upgrade, or back from it, the filter understands
        // that.
        let wire = question.wire.min(feed::VERSION);
        let key = (wire, wants_state, question.position.clone());
        // Held while it is written: of those who are at the same place, one writes it.
        let mut answers = lock(&current.answers);
        if let Some(written) = answers.get(&key) {
            return Some(Bytes::from_owner(Sends(written.clone())));
        }
        let marks = || current.marks.get_or_init(|| self.cache.consistency.marks(&current.position)).clone();
        let lost =
            |position: Position, marks: String| News { since: position.clone(), position, marks, purges: Vec::new() };
        let news = (!question.position.covers(&current.position)).then(|| {
            let (position, marks) = ((*current.position).clone(), marks());
            match self.cache.consistency.history.since(&question.position, PURGES) {
                Ok(purges) => News { since: question.position.clone(), position, marks, purges },
                Err(Missed) => lost(position, marks),
            }
        });
        let is_lost = news.as_ref().is_none_or(|news| news.purges.is_empty());
        let json = self.json(wire, current, wants_state, news);
        if json.len() <= SHORT {
            return Some(json.into());
        }
        let written = self.written(json, &mut answers).or_else(|| {
            self.metrics.count_limit_reached(ProcessLimit::FeedAnswers);
            // Whoever cannot be told what was purged is told that: it empties its hot cache.
            let news = (!is_lost).then(|| lost((*current.position).clone(), marks()))?;
            self.written(self.json(wire, current, wants_state, Some(news)), &mut answers)
        })?;
        // What was written in place of an answer is short, and not for whoever asks when there is room.
        if answers.len() < ANSWERS && written.json.len() > SHORT {
            answers.insert(key, written.clone());
        }
        Some(Bytes::from_owner(Sends(written)))
    }

    /// The answer, if there is room for it. What is kept and not on its way to anybody makes room.
    fn written(&self, json: Vec<u8>, kept: &mut HashMap<Place, Arc<Written>>) -> Option<Arc<Written>> {
        let (mut taken, bytes) = (self.room.reserve(), json.len() as u64);
        // One that is larger than all there is for them has to be told, too.
        let mut fits = || json.len() <= SHORT || taken.grow(bytes) || (bytes > ANSWERED && self.room.used() == 0);
        if !fits() {
            kept.retain(|_, written| Arc::strong_count(written) > 1);
            if !fits() {
                return None;
            }
        }
        Some(Arc::new(Written { json, _taken: taken }))
    }

    fn json(&self, wire: u32, current: &Current, with_state: bool, news: Option<News>) -> Vec<u8> {
        let state = with_state.then(|| State::new(wire, &self.installation, current.ring.peers(), &current.config));
        let answer = FeedAnswer { wire, peer: self.me.clone(), version: current.version.clone(), state, news };
        let mut json = serde_json::to_vec(&answer).unwrap_or_else(|error| {
            tracing::error!(%error, "the feed cannot be written");
            Vec::new()
        });
        json.shrink_to_fit();
        json
    }

    /// Counts the proxies heard lately into the metrics, just before somebody reads them.
    pub fn count_proxies(&self) {
        let mut versions: HashMap<String, usize> = HashMap::new();
        let mut proxies = lock(&self.proxies);
        proxies.retain(|_, proxy| proxy.heard.elapsed() < PROXY_STAYS);
        for Proxy { version, .. } in proxies.values() {
            let known = versions.contains_key(version) || versions.len() < WORDS;
            *versions.entry(if known { version.clone() } else { "other".into() }).or_default() += 1;
        }
        self.metrics.set_proxies(versions);
    }

    /// Takes what a proxy counted. Words that nobody knows make no series: whoever reaches the data port may ask.
    fn count(&self, question: &FeedQuestion) {
        let mut proxies = lock(&self.proxies);
        if question.proxy.len() > 256 || (proxies.len() >= PROXIES && !proxies.contains_key(&question.proxy)) {
            return;
        }
        let version = if is_word(&question.filter_version) { &question.filter_version } else { "other" };
        let most = MOST_PER_SECOND * PROXY_STAYS.as_secs();
        let proxy = proxies.entry(question.proxy.clone()).or_insert_with(|| Proxy {
            heard: Instant::now(),
            version: String::new(),
            left: most,
        });
        let more =
            u64::try_from(proxy.heard.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_mul(MOST_PER_SECOND / 1000);
        (proxy.heard, proxy.left) = (Instant::now(), proxy.left.saturating_add(more).min(most));
        version.clone_into(&mut proxy.version);
        let mut possible = |count: u64| {
            let count = count.min(proxy.left);
            proxy.left -= count;
            count
        };
        let groups = self.cache.groups();
        for (group, outcomes) in question.requests.iter().filter(|(group, _)| groups.named(group).is_some()) {
            if let Some(count) = outcomes.get(MISMATCH) {
                self.metrics.group(group).observe_mismatches.inc_by(possible(*count));
            }
            for (outcome, count) in outcomes.iter().filter(|(outcome, _)| is_word(outcome) && *outcome != MISMATCH) {
                let mut words = lock(&self.words);
                if words.contains(outcome) || (words.len() < WORDS && words.insert(outcome.clone())) {
                    self.metrics.add_proxy_requests(group, outcome, possible(*count));
                }
            }
        }
    }
}

impl Current {
    fn is_news_to(&self, question: &FeedQuestion) -> bool {
        self.version != question.version || !question.position.covers(&self.position)
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.len() <= 32 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.+".contains(&b))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshcache_protocol::{Groups, Peer, Ring, mark::Marked, purge::What};

    /// A coordinator that has just started, alone in its ring.
    fn started() -> (Arc<Cache>, Arc<Feed>) {
        let cache = Cache::sample("a", 1 << 20);
        let config: Config = serde_json::from_value(serde_json::json!({"version": 1})).unwrap();
        cache.set_groups(Arc::new(Groups::new(config.clone()).unwrap())).unwrap();
        let peer = Peer { name: "a".into(), data: "127.0.0.1:1".into(), peer: "127.0.0.1:2".into() };
        drop(cache.cluster.note_ring(&Arc::new(Ring::new(vec![peer]))));
        let feed = Feed::new(cache.clone(), cache.metrics.clone(), "meshcache", "a");
        feed.set_config(config);
        (cache, feed)
    }

    fn told(feed: &Feed, question: &FeedQuestion) -> FeedAnswer {
        serde_json::from_slice(&feed.now(question).ok().unwrap().json).unwrap()
    }

    #[test]
    fn what_proxies_count_is_no_more_than_a_proxy_can_do() {
        let (cache, feed) = started();
        let config = serde_json::json!({"version": 1, "groups": [{"name": "g", "match": {"hosts": ["*"]}, "origin": {"url": "http://o"}}]});
        cache.set_groups(Arc::new(Groups::new(serde_json::from_value(config).unwrap()).unwrap())).unwrap();
        let requests = |hot: u64| [("g".to_owned(), [("hot".to_owned(), hot), ("pass".to_owned(), 5)].into())].into();
        feed.count(&FeedQuestion { proxy: "p".into(), requests: requests(10), ..FeedQuestion::default() });
        assert_eq!(cache.metrics.group("g").saved(), (15, 10), "five went on to the service");
        for _ in 0..10 {
            feed.count(&FeedQuestion { proxy: "p".into(), requests: requests(u64::MAX), ..FeedQuestion::default() });
        }
        let (all, _) = cache.metrics.group("g").saved();
        assert!(all < 15 + MOST_PER_SECOND * 10, "{all}");
    }

    /// A log of a thousand purges, of 4 KiB each.
    fn purged(cache: &Arc<Cache>, feed: &Arc<Feed>) {
        for n in 0..1000 {
            crate::purge::execute::order(
                cache,
                What { group: Some("g".into()), paths: vec![format!("/{n}{}", "x".repeat(4096))], ..What::default() },
                false,
            );
        }
        feed.publish();
    }

    /// A proxy that knows the state, and purges of a coordinator that nobody knows.
    fn asks(feed: &Feed, n: u64) -> FeedQuestion {
        FeedQuestion {
            version: feed.current.borrow().version.clone(),
            position: Position::parse(&format!("x.1:{}", n + 1)).unwrap(),
            ..FeedQuestion::default()
        }
    }

    #[test]
    fn those_who_are_at_the_same_place_share_one_answer() {
        let (cache, feed) = started();
        purged(&cache, &feed);
        let held: Vec<_> = (0..1000).map(|_| feed.now(&asks(&feed, 0)).unwrap().json).collect();
        assert!(held[0].len() > 4_000_000 && held.iter().all(|json| json.as_ptr() == held[0].as_ptr()));
        assert_eq!(feed.room.used(), held[0].len() as u64);
    }

    #[test]
    fn whoever_asks_from_where_nobody_is_takes_no_more_than_there_is_for_answers() {
        let (cache, feed) = started();
        purged(&cache, &feed);
        let held: Vec<_> = (0..25).map(|n| feed.now(&asks(&feed, n)).unwrap().json).collect();
        let bytes: usize = held.iter().map(Bytes::len).sum();
        assert!(bytes < 17 << 20 && feed.room.used() <= ANSWERED, "{bytes}");
        let last: FeedAnswer = serde_json::from_slice(&held[24]).unwrap();
        let news = last.news.unwrap();
        assert!(news.purges.is_empty() && news.since == news.position, "it is told that purges were lost: {news:?}");
        let page = String::from_utf8(cache.metrics.page().unwrap()).unwrap();
        assert!(page.contains("meshcache_limits_met_total{limit=\"feed-answers\"} "), "{page}");
        drop(held);
        assert_eq!(
            told(&feed, &asks(&feed, 24)).news.unwrap().purges.len(),
            1000,
            "what nobody sends any more makes room"
        );
    }

    #[test]
    fn proxies_are_told_marks_and_peers_are_asked_for_what_a_right_one_proves() {
        let (before, feed) = started();
        before.set_peer_tokens(&["token".to_owned()]);
        crate::purge::execute::order(&before, What { all: true, ..What::default() }, false);
        feed.publish();
        let news = told(&feed, &FeedQuestion::default()).news.unwrap();
        let proxy = |marks: &str| FeedQuestion {
            told: Marked { position: news.position.to_string(), marks: marks.into() },
            ..FeedQuestion::default()
        };
        // Another one, which may learn of it from a peer.
        let (cache, feed) = started();
        cache.set_peer_tokens(&["newer".to_owned(), "token".to_owned()]);
        cache.consistency.lease.set_peers(["b"].into_iter(), clock::awake());
        let mut woken = cache.consistency.wake.subscribe();
        for (marks, asks) in [("", false), ("0123456789abcdef", false), (&news.marks, true)] {
            woken.mark_unchanged();
            told(&feed, &proxy(marks));
            assert_eq!(woken.has_changed().unwrap(), asks, "`{marks}`");
        }
        cache.set_peer_tokens(&[]);
        crate::purge::execute::order(&cache, What { all: true, ..What::default() }, false);
        feed.publish();
        assert_eq!(told(&feed, &FeedQuestion::default()).news.unwrap().marks, "", "without a token there are none");
    }

    #[test]
    fn a_coordinator_that_starts_anew_sends_no_proxy_back_in_time() {
        let (cache, before) = started();
        crate::purge::execute::order(&cache, What { all: true, ..What::default() }, false);
        before.publish();
        let first = told(&before, &FeedQuestion::default());
        let news = first.news.unwrap();
        assert!(first.state.is_some() && news.purges.len() == 1);
        let proxy = FeedQuestion { version: first.version, position: news.position, ..FeedQuestion::default() };
        let (cache, after) = started();
        assert!(!after.has_news(&proxy), "it knows less, and that is no news");
        let same = told(&after, &proxy);
        assert_eq!((&same.version, same.state, same.news), (&proxy.version, None, None));
        // What it purges from now on is news, from where the proxy is.
        crate::purge::execute::order(&cache, What { all: true, ..What::default() }, false);
        after.publish();
        let news = told(&after, &proxy).news.unwrap();
        assert_eq!((&news.since, news.purges.len()), (&proxy.position, 1));
    }
}
