//! Waiting together: whoever finds nothing in the store joins the key's flight, and who is first flies it.

use crate::{
    cache::{
        flight::{Full, Takeoff, Waited, Wants},
        groups::Served,
        load::Errand,
        load_outcome,
        load_outcome::{Apart, Audience, Given, Landed},
        pass_reason::Aside,
        peer_load::Hop,
        request::Asked,
        response,
        state::Cache,
    },
    http::{body::Body, head::RequestHead},
    jitter::spread,
    store::{Entry, with_fields},
    telemetry::metrics::Metrics,
};
use http::Response;
use hyper::body::Incoming;
use meshcache_protocol::{
    Key, Reason,
    freshness::{self, LoadStart, Reuse, Selecting, Vary},
    reason::AnyReason,
    request::Flags,
    wire::{Outcome, Verdict},
};
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::oneshot, time::Instant};

/// The most flights that a request waits for, one after another: one may turn out to have variants, one may be for
/// those who came before it, and one may have failed by its leader's fault.
const MOST: usize = 4;
/// For how long it counts that a key was asked for in part, milliseconds.
const LESS: u64 = 10_000;
/// How soon an asker hears for the first time that a load is under way: it tells a slow origin from a dead owner.
pub(crate) const FIRST: Duration = Duration::from_millis(100);

impl Cache {
    /// Waits for the key's flight, and starts it where there is none.
    pub(crate) async fn fly(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        head: &RequestHead,
        body: Incoming,
        hop: Option<Hop>,
        fwd: &'static str,
        since: LoadStart,
    ) -> Response<Body> {
        let now = Instant::now();
        let told_to_come_back = asked.question.as_ref().map(|question| now + asked.patience(question));
        let came = now.checked_sub(asked.waited()).unwrap_or(now);
        let mut wants = Wants {
            newer: (since == LoadStart::AfterRequest).then_some(came),
            told: asked.question.as_ref().map_or(0, |question| question.flight),
        };
        let flights = if hop.is_some() { &self.asking } else { &self.loading };
        // What it comes back for may have turned out to have variants.
        let mut key = if flights.is_kept(&asked.key, wants) { asked.key.clone() } else { self.flight_key(asked) };
        let (aside, mut is_variant) = (|reason: AnyReason| Aside::new(reason, fwd), false);
        for _ in 0..MOST {
            let left = || if wants.newer.is_none() { self.left(asked, &key) } else { None };
            let (seat, takeoff) = match flights.join(&key, wants, left) {
                Ok(joined) => joined,
                Err(Full) => return self.full(asked, told_to_come_back.unwrap_or(now)).await,
            };
            let (leads, number) = (takeoff.is_some() || wants.leads(seat.number), seat.number);
            let own = takeoff.and_then(|takeoff| self.take_off(takeoff, asked, head, hop.clone(), (fwd, false)));
            let deadline = told_to_come_back.unwrap_or_else(|| self.deadline(asked.served, seat.follows));
            match seat.wait(deadline).await {
                Waited::Landed(Landed::Given(Given { entry, mut verdict, audience, began })) => {
                    let fits = entry.selecting.matches(&asked.request);
                    // What has to be validated before it is used again is for those who asked before the load began
                    // (RFC 9111 section 4).
                    let is_used_again = verdict.ttl > 0 || matches!(verdict.outcome, Outcome::Hit | Outcome::Stale);
                    let is_theirs = match audience {
                        Audience::Leader | Audience::First => false,
                        Audience::All => is_used_again || began >= came || wants.is_in_time_for(number),
                        Audience::Waiters => true,
                    };
                    if leads || (is_theirs && fits) {
                        verdict.collapsed |= !leads;
                        verdict.load = (!is_used_again && audience == Audience::All).then(|| millis(began.elapsed()));
                        if verdict.reason.is_empty()
                            && fwd != "uri-miss"
                            && matches!(verdict.outcome, Outcome::Miss | Outcome::Revalidated)
                        {
                            verdict.reason = fwd.into();
                        }
                        asked.served.metrics.count_response(verdict.outcome.label());
                        match response::give(asked, &entry, verdict, &self.names) {
                            Some(response) => return response,
                            None => return self.let_go(asked, head, body, aside(Reason::Conditional.into())).await,
                        }
                    }
                    match audience {
                        Audience::Leader => break,
                        // Another leads the next one.
                        Audience::First => wants = Wants::after(number),
                        // Whoever comes from now on knows by what it varies.
                        Audience::All if fits => {
                            (wants.newer, key) = (Some(came), variant_key(&asked.key, &selecting(asked, &entry)))
                        }
                        Audience::All | Audience::Waiters if !is_variant => {
                            (is_variant, key) = (true, variant_key(&asked.key, &selecting(asked, &entry)))
                        }
                        Audience::All | Audience::Waiters => break,
                    }
                }
                Waited::Landed(Landed::Apart(Apart { reason, remember, vary })) => {
                    if let Some(response) = own.and_then(|mut own| own.try_recv().ok()) {
                        asked.served.metrics.count_request(Outcome::Miss.label(), reason);
                        return response;
                    }
                    if reason == Reason::Overload {
                        spread(deadline).await;
                    }
                    return self.let_go(asked, head, body, Aside { remember, vary, ..aside(reason) }).await;
                }
                Waited::Landed(Landed::Failed(failure)) => return self.failed(asked, failure),
                Waited::Crashed => return self.failed(asked, crate::origin::Failure::Internal),
                Waited::Late(flight) if asked.question.is_some() => {
                    asked.served.metrics.count_response(Outcome::Loading.label());
                    return response::bare(&Verdict { flight, collapsed: !leads, ..Verdict::new(Outcome::Loading) });
                }
                // The flight's head was there in time, or it would have failed: a long body need not be waited for.
                Waited::Late(_) => return self.let_go(asked, head, body, aside(Reason::Slow.into())).await,
            }
        }
        self.let_go(asked, head, body, aside(Reason::NotShared.into())).await
    }

    /// Flies in a task of its own, that no client's leaving ends. What may turn out to be a plain client's alone comes
    /// back to it this way.
    fn take_off(
        self: &Arc<Self>,
        mut takeoff: Takeoff<Landed>,
        asked: &Asked<'_>,
        head: &RequestHead,
        hop: Option<Hop>,
        (fwd, is_refresh): (&'static str, bool),
    ) -> Option<oneshot::Receiver<Response<Body>>> {
        // The answer to a whole load is no answer to a request for less.
        let wants_all = asked.request.is_get() && !asked.request.flags.any(Flags::RANGE.with(Flags::CONDITIONAL));
        let (leader, own) =
            if asked.question.is_none() && wants_all { Some(oneshot::channel()).unzip() } else { (None, None) };
        let head = if wants_all { head.clone() } else { head.whole() };
        let errand = Errand {
            served: asked.served.clone(),
            head,
            key: asked.key.clone(),
            verified: asked.verified(),
            fwd,
            is_refresh,
        };
        let cache = self.clone();
        let under_way = UnderWay::new(&self.metrics);
        tokio::spawn(async move {
            let _under_way = under_way;
            let waited = takeoff.clear().await;
            let landed = match hop {
                Some(mut hop) => {
                    hop.question.waited = waited.map_or(hop.question.waited, millis);
                    cache.ask(errand, hop, leader).await
                }
                None => {
                    cache.peek(&errand).await;
                    takeoff.loads();
                    cache.load(&errand, leader).await
                }
            };
            let bytes = landed.bytes();
            takeoff.land(landed, bytes);
        });
        own
    }

    /// One load in the background for a stale answer, whatever the number of those who were given it.
    pub(crate) fn refresh(self: &Arc<Self>, asked: &Asked<'_>, head: &RequestHead) {
        if freshness::joins(&asked.served.group, &asked.request, asked.verified()).is_ok()
            && self.passes.get(asked.key.hash(), &asked.request, false, self.clock.now()).is_none()
        {
            self.load_beside(asked, head, "stale");
        }
    }

    /// One load in the background, for whoever comes while it is under way.
    pub(crate) fn load_beside(self: &Arc<Self>, asked: &Asked<'_>, head: &RequestHead, fwd: &'static str) {
        let key = self.flight_key(asked);
        if let Ok((_, Some(takeoff))) = self.loading.join(&key, Wants::default(), || self.left(asked, &key)) {
            self.take_off(takeoff, asked, head, None, (fwd, true));
        }
    }

    /// Whether a load of the whole is to answer a proxy's request for less: one that is under way, or one that begins
    /// because the key was asked for a moment ago already. What is asked for once is not worth the whole.
    pub(crate) fn loads_the_whole(&self, asked: &Asked<'_>) -> bool {
        if asked.question.is_none()
            || !freshness::is_answered_by_whole(&asked.served.group, &asked.request, asked.verified())
        {
            return false;
        }
        let key = self.flight_key(asked);
        self.loading.is_flying(&key)
            || self.asking.is_flying(&key)
            || (!asked.is_from_peer
                && self.asked_for_less.replace(asked.key.hash(), (), self.clock.now(), LESS).is_some())
    }

    /// The key under which a request waits with others: its own, or, where what is stored under that is known to vary,
    /// one for all whom the same variant would fit.
    fn flight_key(&self, asked: &Asked<'_>) -> Key {
        let newest = self
            .store
            .peek(&asked.served.quota, &asked.key, self.clock.now())
            .and_then(|(entries, _)| entries.into_iter().next());
        newest.map_or_else(|| asked.key.clone(), |newest| variant_key(&asked.key, &selecting(asked, &newest)))
    }

    /// What a flight has left that landed after the store was looked at for this request: it would be loaded twice.
    /// Either what answers it, or the first that is known of a key that varies.
    fn left(&self, asked: &Asked<'_>, key: &Key) -> Option<Landed> {
        if asked.question.as_ref().is_some_and(|question| question.changed.is_some()) {
            return None;
        }
        let (group, now) = (&asked.served.group, self.clock.now());
        let (entries, _) = self.store.peek(&asked.served.quota, &asked.key, now)?;
        let entry = match entries.iter().find(|entry| entry.answers(&asked.request)) {
            Some(entry) => {
                (freshness::reuse(group, &asked.request, asked.verified(), Some(&entry.stored), entry.resident(now))
                    == Reuse::Fresh)
                    .then_some(entry)
            }
            None => entries.first().filter(|newest| variant_key(&asked.key, &selecting(asked, newest)) != *key),
        }?;
        let verdict = response::aged(Verdict::new(Outcome::Hit), entry, now);
        (verdict.ttl > 0).then(|| load_outcome::given(entry, verdict, now))
    }

    /// When a plain client has waited long enough for a flight: longer than the load's head may take, and the one
    /// before it where it follows one.
    pub(crate) fn deadline(&self, served: &Served, follows: bool) -> Instant {
        let loads = if follows { 2 } else { 1 };
        Instant::now() + loads * served.origin.timeout() + 3 * served.group.config().patience.duration()
    }
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What a request has in the fields by which a stored response varies.
fn selecting(asked: &Asked<'_>, stored: &Entry) -> Selecting {
    with_fields(stored, |stored| Selecting::in_group(&asked.served.group, &Vary::of(&stored), &asked.request))
}

/// The key of a flight for all whom the same variant would fit. Of what does not vary it is the key itself.
pub(crate) fn variant_key(key: &Key, selecting: &Selecting) -> Key {
    if *selecting == Selecting::default() {
        return key.clone();
    }
    let mut hasher = DefaultHasher::new();
    selecting.hash(&mut hasher);
    Key::from_bytes([key.bytes(), &hasher.finish().to_le_bytes()].concat())
}

/// Counts a flight for as long as it is there.
struct UnderWay(Arc<Metrics>);

impl UnderWay {
    fn new(metrics: &Arc<Metrics>) -> Self {
        metrics.flights.inc();
        Self(metrics.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.flights.dec();
    }
}
