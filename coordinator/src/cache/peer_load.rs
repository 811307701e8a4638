//! A key that is another coordinator's: its owner is asked once, then the next, then it is loaded here.

use crate::{
    cache::{
        flight::{Waited, Wants},
        groups::Served,
        load::{Errand, Leader},
        load_outcome::{Apart, Audience, Given, Landed},
        miss::{FIRST, millis},
        request::Asked,
        response,
        response::OUTCOME,
        state::Cache,
    },
    cluster::client::Call,
    http::{
        body::Body,
        capture::{CaptureOutcome, capture},
        head::RequestHead,
    },
    origin::{Failure, IdleTimeoutBody, with_headers},
    store::{Entry, Parts},
};
use http::Response;
use hyper::body::Incoming;
use meshcache_protocol::{
    self as protocol, Reason,
    freshness::{Selecting, Vary},
    reason::AnyReason,
    wire::{self, Outcome, Question, Verdict},
};
use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// How many peers are asked, the owner first: those that failed a moment ago do not count.
const PEERS: usize = 2;
/// How many are looked at, to find these.
const CANDIDATES: usize = 8;

/// What a hop needs to know beside the errand.
#[derive(Clone)]
pub(crate) struct Hop {
    /// The peers to ask, in their order: after all of them this one is the next.
    pub(crate) peers: Vec<String>,
    pub(crate) question: Question,
}

impl Cache {
    /// The hop that a request needs; none where it is answered from here.
    pub(crate) fn hop(&self, asked: &Asked<'_>) -> Option<Hop> {
        if asked.is_from_peer || asked.is_hop() || !self.cluster.peers.has_token() {
            return None;
        }
        let ring = self.cluster.ring();
        let me = &self.settings.me;
        if ring.owner(asked.key.hash()).is_none_or(|owner| owner.name == *me) {
            return None;
        }
        let peers = ring
            .order(asked.key.hash())
            .into_iter()
            .map(|peer| peer.name.clone())
            .take_while(|name| name != me)
            .take(CANDIDATES)
            .collect();
        let group = &asked.served.group;
        let theirs = asked.question.as_ref();
        let question = Question {
            wire: wire::VERSION,
            group: group.name().to_owned(),
            namespace: theirs.map_or_else(String::new, |question| question.namespace.clone()),
            verified: asked.verified(),
            ring: ring.version(),
            rules: group.digest().to_owned(),
            purge: self.consistency.position_text().to_string(),
            // Peers believe one another.
            marks: String::new(),
            // Less than we wait, so that `loading` is here before we take the peer for dead.
            patience: group.config().patience.as_millis() / 4 * 3,
            waited: theirs.map_or(0, |question| question.waited),
            flight: 0,
            changed: theirs.and_then(|question| question.changed),
            hop: true,
            route: theirs.and_then(|question| question.route.clone()),
        };
        Some(Hop { peers, question })
    }

    /// Asks the peers for all who wait, and loads here where none of them answers. Where the group hedges, an owner
    /// that is silent for so long is still waited for, beside the next.
    pub(crate) async fn ask(self: &Arc<Self>, errand: Errand, hop: Hop, leader: Leader) -> Landed {
        errand.served.metrics.loads_deduped.inc();
        let errand = Arc::new(errand);
        let of = errand.clone();
        let mut peers =
            hop.peers.iter().filter(|peer| self.cluster.peers.try_acquire(peer, Call::Question)).take(PEERS);
        let Some(owner) = peers.next() else { return self.load_here(errand, leader).await };
        let hedge = errand.served.group.config().hedge.duration();
        let heard = AtomicBool::new(false);
        let mut asked = pin!(self.ask_one(&of, &hop, owner, &heard));
        let mut silent = None;
        if !hedge.is_zero() {
            silent = tokio::select! {
                landed = &mut asked => Some(landed),
                () = async {
                    sleep(hedge).await;
                    // Who has said that it is loading is not silent.
                    if heard.load(Relaxed) {
                        std::future::pending().await
                    }
                } => None,
            };
        }
        let hedged = silent.is_none() && !hedge.is_zero();
        if hedged {
            self.metrics.hedges.inc();
            let next = async {
                match peers.next() {
                    Some(next) => self.ask_one(&of, &hop, next, &AtomicBool::new(false)).await,
                    None => Some(self.load_here(errand.clone(), leader).await),
                }
            };
            return tokio::select! {
                Some(landed) = &mut asked => landed,
                Some(landed) = next => landed,
                else => self.load_here(errand.clone(), None).await,
            };
        }
        if let Some(landed) = match silent {
            Some(landed) => landed,
            None => asked.await,
        } {
            return landed;
        }
        if let Some(next) = peers.next()
            && let Some(landed) = self.ask_one(&of, &hop, next, &heard).await
        {
            return landed;
        }
        self.load_here(errand, leader).await
    }

    /// Asks one peer until it has said what it has. None where it does not answer. `heard`: it lives.
    async fn ask_one(&self, errand: &Errand, hop: &Hop, peer: &str, heard: &AtomicBool) -> Option<Landed> {
        let Errand { served, head, .. } = errand;
        let config = served.group.config();
        let patience = config.patience.duration();
        // The owner has its own end for a load that does not come back; this is only for an owner that has lost its
        // mind.
        let asked = Instant::now();
        // There may be another load before the one that it waits for.
        let end = asked + 2 * config.origin.timeout.duration() + 4 * patience;
        let mut question = hop.question.clone();
        // The first `loading` is a sign of life; it has to be here before the next one is asked, too.
        let hedge = if config.hedge.is_zero() { u64::MAX } else { config.hedge.as_millis() / 4 * 3 };
        question.patience = question.patience.min(hedge).min(millis(FIRST)).max(1);
        loop {
            let began = Instant::now();
            question.waited = millis(asked.elapsed()).saturating_add(hop.question.waited);
            let answered = self.cluster.peers.ask(peer, head, &question, patience, true).await;
            served.metrics.record_peer_latency(began.elapsed());
            let Ok((verdict, response)) = answered else {
                served.metrics.peer_errors.inc();
                return None;
            };
            heard.store(true, Relaxed);
            match verdict.outcome {
                Outcome::Loading if began < end => {
                    (question.patience, question.flight) = (hop.question.patience, verdict.flight)
                }
                Outcome::Loading => return Some(Landed::Failed(Failure::Timeout)),
                Outcome::Pass => {
                    return Some(Landed::Apart(Apart {
                        reason: AnyReason::from_peer(verdict.reason),
                        remember: verdict.remember,
                        vary: verdict.vary,
                    }));
                }
                Outcome::Error => return Some(Landed::Failed(Failure::of_label(&verdict.reason))),
                _ => {
                    let received = self.received(errand, verdict, response, asked).await;
                    if received.is_some() {
                        served.metrics.peer_loads.inc();
                    } else {
                        served.metrics.peer_errors.inc();
                        self.cluster.peers.record_incomplete(peer);
                    }
                    return received;
                }
            }
        }
    }

    /// A load of our own for those who could not get the key from its owner: one, together with whoever asks us for it.
    /// It flies in a task of its own: whoever else waits for it does so although we may get an answer elsewhere.
    async fn load_here(self: &Arc<Self>, errand: Arc<Errand>, leader: Leader) -> Landed {
        match self.loading.join(&errand.key, Wants::default(), || None) {
            Ok((seat, takeoff)) => {
                let end = self.deadline(&errand.served, seat.follows);
                if let Some(takeoff) = takeoff {
                    let cache = self.clone();
                    tokio::spawn(async move {
                        takeoff.loads();
                        let landed = cache.load(&errand, leader).await;
                        let bytes = landed.bytes();
                        takeoff.land(landed, bytes);
                    });
                }
                match seat.wait(end).await {
                    Waited::Landed(landed) => landed,
                    Waited::Late(_) => Landed::Failed(Failure::Timeout),
                    Waited::Crashed => Landed::Failed(Failure::Internal),
                }
            }
            Err(_) => Landed::Apart(Apart { reason: Reason::Full.into(), remember: 0, vary: String::new() }),
        }
    }

    /// A peer's answer, as everybody who waits can have it. None where it broke off.
    async fn received(
        &self,
        errand: &Errand,
        verdict: Verdict,
        response: Response<Incoming>,
        asked: Instant,
    ) -> Option<Landed> {
        let Errand { served, head, .. } = errand;
        let (arrived, (parts, body)) = (Instant::now(), response.into_parts());
        let config = served.group.config();
        let CaptureOutcome::Whole(body) = capture(
            IdleTimeoutBody::new(body, config.patience.duration()),
            config.limits.object.0,
            &mut self.bytes.reserve(),
        )
        .await
        else {
            return None;
        };
        let fields = head.fields();
        let request = head.request(&fields).ok()?;
        let selecting = with_headers(&parts.headers, |fields| {
            Selecting::in_group(
                &served.group,
                &Vary::of(&protocol::Response { status: parts.status.as_u16(), fields }),
                &request,
            )
        });
        let is_ours = |name: &str| name == OUTCOME.as_str() || name == "age";
        let fields = parts
            .headers
            .iter()
            .filter(|(name, _)| !is_ours(name.as_str()))
            .map(|(name, value)| (name.as_str().as_bytes().to_vec(), value.as_bytes().to_vec()))
            .collect();
        let entry = Entry::new(Parts {
            status: parts.status,
            fields,
            tags: &config.tags.header.to_ascii_lowercase(),
            body,
            selecting,
            stored: verdict.to_stored(parts.status.as_u16()),
            arrived: self.clock.now(),
            // It is given, and stored nowhere.
            position: Arc::default(),
        });
        let is_failure = parts.status.is_client_error() || parts.status.is_server_error();
        let audience = match () {
            () if verdict.waiters => Audience::Waiters,
            () if !verdict.shared => Audience::Leader,
            () if is_failure && verdict.ttl <= 0 && verdict.load.is_none() && verdict.outcome == Outcome::Miss => {
                Audience::First
            }
            () => Audience::All,
        };
        // Where the owner does not say when it began: no sooner than it was asked.
        let began =
            verdict.load.map_or(asked, |load| arrived.checked_sub(Duration::from_millis(load)).unwrap_or(asked));
        Some(Landed::Given(Given { entry: Arc::new(entry), verdict, audience, began }))
    }

    /// Asks the owner for one request that is for nobody else, as it is. None where it has nothing for it.
    pub(crate) async fn relay(&self, asked: &Asked<'_>, head: &RequestHead, hop: &Hop) -> Option<Response<Body>> {
        let Served { group, metrics, .. } = &**asked.served;
        let patience = group.config().patience.duration();
        let peer = hop.peers.iter().find(|peer| self.cluster.peers.try_acquire(peer, Call::Question))?;
        let (verdict, response) = match self.cluster.peers.ask(peer, head, &hop.question, patience, false).await {
            Ok(answered) => answered,
            Err(_) => {
                metrics.peer_errors.inc();
                return None;
            }
        };
        if !verdict.outcome.has_response() {
            return asked.question.is_some().then(|| response::bare(&verdict));
        }
        metrics.peer_loads.inc();
        let (mut parts, body) = response.into_parts();
        if asked.question.is_none() {
            parts.headers.remove(OUTCOME);
            self.names.append_status(
                &mut parts.headers,
                &verdict,
                if verdict.outcome == Outcome::Hit { "owner" } else { verdict.reason.as_str() },
            );
        }
        parts.extensions.clear();
        parts.version = http::Version::HTTP_11;
        Some(Response::from_parts(parts, Body::stream(IdleTimeoutBody::new(body, patience))))
    }
}
