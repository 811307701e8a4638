//! Purge consistency: the purge log, the lease under which the store may answer, and catching up with peers.

pub(crate) mod catch_up;
pub(crate) mod lease;
mod listeners;
mod mark_signer;
pub mod messages;
pub(crate) mod purge_log;
#[cfg(test)]
mod tests;
mod unknown;

use crate::{
    clock,
    cluster::Cluster,
    consistency::{
        catch_up::{CatchUp, Claim, Standing},
        lease::{Lease, Renewal, Unknown},
        listeners::Listeners,
        mark_signer::MarkSigner,
        messages::{CatchUpRequest, CatchUpResponse},
        purge_log::{Gap, PurgeLog},
    },
};
use arc_swap::ArcSwap;
use meshcache_protocol::{
    Peer,
    mark::{self, Mark},
    purge::{Position, Purge, Scope, Truncated},
};
use std::sync::Arc;
use tokio::sync::watch;

/// The most purges in one answer to a peer that catches up: beyond it flushing is quicker.
const MAX_CAUGHT_UP: usize = 10_000;
/// The most unknown sources in a claim; more are made up.
const MAX_CLAIMED: usize = 16;

/// The purges that this coordinator knows, and whether these are all.
pub struct Consistency {
    me: String,
    cluster: Arc<Cluster>,
    log: PurgeLog,
    lease: Lease,
    listeners: Listeners,
    signer: ArcSwap<MarkSigner>,
    catch_up: CatchUp,
}

impl Consistency {
    /// An empty log and a lease without peers. `me`: this coordinator's name in the ring.
    pub(crate) fn new(me: &str, cluster: Arc<Cluster>) -> Arc<Self> {
        Arc::new(Self {
            me: me.to_owned(),
            cluster,
            log: PurgeLog::new(me),
            lease: Lease::default(),
            listeners: Listeners::default(),
            signer: ArcSwap::default(),
            catch_up: CatchUp::default(),
        })
    }

    /// The name under which this start numbers its purges.
    #[cfg(test)]
    pub(crate) fn source(&self) -> Arc<String> {
        self.log.source()
    }

    /// The purges that were carried out here.
    pub(crate) fn position(&self) -> Arc<Position> {
        self.log.position()
    }

    /// The position as questions carry it: of the sources that have purged last.
    pub(crate) fn position_text(&self) -> Arc<str> {
        self.log.position_text()
    }

    /// The purges that are not in a position. Fails where there are more than `limit`, or the log no longer has them.
    pub(crate) fn since(&self, position: &Position, limit: usize) -> Result<Vec<Purge>, Truncated> {
        self.log.since(position, limit)
    }

    /// Whether the store may answer.
    pub(crate) fn holds_lease(&self) -> bool {
        self.holds_lease_at(clock::awake())
    }

    /// Whether the store may answer at a time of [`clock::awake`].
    pub(crate) fn holds_lease_at(&self, awake: u64) -> bool {
        self.lease.holds(awake)
    }

    /// The number of purges from which peers and proxies can catch up.
    pub(crate) fn log_len(&self) -> usize {
        self.log.len()
    }

    /// Sets the peer tokens: the first signs marks, and each verifies them.
    pub(crate) fn set_tokens(&self, tokens: &[String]) {
        self.signer.store(Arc::new(MarkSigner::new(tokens)));
    }

    /// The marks of a position, for proxies.
    pub(crate) fn marks(&self, position: &Position) -> String {
        let signer = self.signer.load();
        mark::write(position, |source, n| signer.sign(source, n))
    }
}

/// Claims of requesters.
impl Consistency {
    /// Waits a moment for the purges of a claim that are unknown here. Returns whether the store may answer the
    /// requester.
    pub(crate) async fn catch_up(&self, claim: Claim<'_>) -> bool {
        match self.record_claim(claim) {
            Standing::Current => true,
            Standing::Unproven => false,
            Standing::Behind => self.catch_up.wait(|| self.record_claim(claim) == Standing::Current).await,
        }
    }

    /// Compares a claim with the log, and records when each unknown purge was first claimed.
    pub(crate) fn record_claim(&self, claim: Claim<'_>) -> Standing {
        let standing = match claim {
            Claim::Peer(position) | Claim::Unauthenticated { position, .. } if self.log.matches_text(position) => {
                Standing::Current
            }
            Claim::Peer(position) => match Position::parse(position) {
                Some(there) if self.record_peer_position(&there) => Standing::Current,
                _ => Standing::Behind,
            },
            Claim::Unauthenticated { position, marks } => {
                Position::parse(position).map_or(Standing::Unproven, |there| self.record_marked(&there, marks))
            }
        };
        if standing == Standing::Current && !self.holds_lease() { Standing::Behind } else { standing }
    }

    /// Records a peer's position. Returns whether all of it was carried out here, but for lost purges: the coordinator
    /// that ordered them has ended, and they were not acknowledged without naming this coordinator as unreached.
    fn record_peer_position(&self, there: &Position) -> bool {
        let (here, own, now) = (self.log.position(), self.log.source(), clock::awake());
        let is_lost = |source: &String, n| *source != *own && self.lease.note_unknown(source, n, now) == Unknown::Lost;
        // All are recorded now, and not one after another.
        there.sources().filter(|(source, n)| **n > here.of(source) && !is_lost(source, **n)).count() == 0
    }

    /// Records a position that may be made up where its marks do not prove it.
    fn record_marked(&self, there: &Position, marks: &str) -> Standing {
        let (here, own, now, signer) = (self.log.position(), self.log.source(), clock::awake(), self.signer.load());
        let unknown: Vec<_> = mark::read(there, marks)
            .filter(|(source, n, _)| *n > here.of(source))
            .take(MAX_CLAIMED.saturating_add(1))
            .collect();
        if unknown.len() > MAX_CLAIMED {
            return Standing::Unproven;
        }
        let is_proven =
            |(source, n, mark): &(&str, u64, Option<Mark>)| mark.is_some_and(|mark| signer.verify(source, *n, mark));
        let (proven, unproven): (Vec<_>, Vec<_>) = unknown.into_iter().partition(is_proven);
        // All are recorded now, and not one after another.
        let missing = proven.iter().filter(|(source, n, _)| {
            *source == own.as_str() || self.lease.note_unknown(source, *n, now) == Unknown::Awaited
        });
        let doubtful =
            unproven.iter().filter(|(source, n, _)| self.lease.note_unproven(source, *n, now) == Unknown::Awaited);
        match (missing.count(), doubtful.count()) {
            (0, 0) => Standing::Current,
            (0, _) => Standing::Unproven,
            _ => Standing::Behind,
        }
    }
}

/// Catching up with peers.
impl Consistency {
    /// Requests a catch-up with all peers now.
    pub(crate) fn request_catch_up(&self) {
        self.catch_up.request();
    }

    /// Changes whenever peers are to be asked now.
    pub(crate) fn catch_up_requests(&self) -> watch::Receiver<()> {
        self.catch_up.requests()
    }

    /// Wakes the requests that wait: a peer has answered, and its purges were carried out.
    pub(crate) fn notify_caught_up(&self) {
        self.catch_up.notify();
    }

    /// The request by which this coordinator catches up with a peer. `None`: it is not known who that is.
    pub(crate) fn request(&self, peer: Option<&str>) -> CatchUpRequest {
        let gossiper = self.cluster.gossiper();
        CatchUpRequest {
            position: (*self.log.position()).clone(),
            from: gossiper.map_or_else(|| self.own_peer(), |gossiper| Some(gossiper.own().clone())),
            exact: true,
            gossip: gossiper.map(|gossiper| gossiper.question_for(peer)),
        }
    }

    /// Answers a peer that catches up, and records that it has asked.
    pub(crate) fn respond(&self, request: &CatchUpRequest) -> CatchUpResponse {
        let now = clock::awake();
        let (holds_lease, rest) = (self.lease.holds(now), self.lease.rest(now));
        if let Some(from) = &request.from {
            self.listeners.record(from, now);
        }
        // The position is read first: a purge that comes now is not in this answer, and will be in the next.
        let (source, position) = (self.log.source(), (*self.log.position()).clone());
        let gossip = self.cluster.gossiper().zip(request.gossip.as_ref()).and_then(|(own, theirs)| own.answer(theirs));
        let purges = self.log.since(&request.position, MAX_CAUGHT_UP);
        CatchUpResponse {
            source: source.to_string(),
            holds_lease,
            position,
            truncated: purges.is_err(),
            purges: purges.unwrap_or_default().into_iter().map(|purge| purge.told(request.exact)).collect(),
            rest: if gossip.is_some() { rest } else { 0 },
            gossip,
        }
    }

    /// Ends the lease that a coordinator without peers holds.
    pub(crate) fn await_peers(&self) {
        self.lease.await_peers();
    }

    /// Takes over the rest of a peer's lease as of `sent`, where there was none before.
    pub(crate) fn take_over_lease(&self, sent: u64, rest: u64) {
        if rest > 0 {
            self.lease.take_over(sent.saturating_add(rest));
        }
    }

    /// This coordinator as the ring has it, or had it.
    fn own_peer(&self) -> Option<Peer> {
        self.cluster.ring().peer(&self.me).cloned().or_else(|| self.cluster.previous_peer(&self.me))
    }

    /// The peers that must acknowledge a purge carried out here just now: all in the ring, the listeners that are not in
    /// it, and the members that gossip knows besides. One that is named twice is where the ring has it.
    pub(crate) fn audience(&self) -> Vec<Peer> {
        let ring = self.cluster.ring();
        let members = self.cluster.gossiper().map_or_else(Vec::new, |gossiper| gossiper.others());
        let further = self.listeners().into_iter().chain(members).filter(|peer| ring.peer(&peer.name).is_none());
        ring.peers().iter().cloned().chain(further).filter(|peer| peer.name != self.me).collect()
    }

    /// The peers whose lease may rest on an answer of this coordinator.
    pub(crate) fn listeners(&self) -> Vec<Peer> {
        self.listeners.current(clock::awake())
    }

    /// Sets the other peers of the ring.
    pub(crate) fn set_peers<'a>(&self, names: impl Iterator<Item = &'a str>) -> Renewal {
        self.lease.set_peers(names, clock::awake())
    }

    /// Sets the other members that count, and how many of them make a majority with this one.
    pub(crate) fn set_electorate(&self, names: &[String], quorum: usize) -> Renewal {
        self.lease.set_electorate(names.iter().map(String::as_str), Some(quorum), clock::awake())
    }

    /// Lets the lease end: this coordinator is no member, and gets no answers that count.
    pub(crate) fn limit_lease(&self) {
        self.lease.limit(clock::awake());
    }

    /// Records the answer of a peer to a request sent at `sent`. All purges in it were carried out here.
    pub(crate) fn peer_answered(&self, name: &str, sent: u64, source: &str, holds_lease: bool) -> Renewal {
        self.lease.peer_answered(name, sent, source, holds_lease, clock::awake())
    }

    /// Records that a peer refused a connection at `sent`.
    pub(crate) fn peer_refused(&self, name: &str, sent: u64) -> Renewal {
        self.lease.peer_refused(name, sent, clock::awake())
    }
}

/// Carrying out purges, one after another.
impl Consistency {
    /// Numbers a purge of this coordinator, and carries it out.
    pub(crate) fn append_own<T>(&self, scope: Scope, soft: bool, carry_out: impl FnOnce(&Purge) -> T) -> (Purge, T) {
        self.log.append_own(scope, soft, carry_out)
    }

    /// Carries out a purge of a peer. `None`: it was carried out before.
    pub(crate) fn append<T>(&self, purge: &Purge, carry_out: impl FnOnce(&Purge) -> T) -> Result<Option<T>, Gap> {
        self.log.append(purge, carry_out)
    }

    /// Flushes the store instead of carrying out the purges up to a position.
    pub(crate) fn skip_to<T>(&self, position: &Position, flush: impl FnOnce() -> T) -> T {
        self.log.skip_to(position, flush)
    }

    /// Flushes the store because the purges of the last silence are unknown. Peers no longer learn earlier purges from
    /// this coordinator.
    pub(crate) fn start_over<T>(&self, flush: impl FnOnce() -> T) -> T {
        let flushed = self.log.skip_to(&Position::default(), flush);
        self.log.restart();
        self.lease.renew_after_flush(clock::awake());
        flushed
    }

    /// The purges that were claimed, are unknown here, and may be known only to unresponsive peers: see
    /// [`Self::abandon`].
    pub(crate) fn unresolvable(&self) -> Vec<(String, u64)> {
        let mut purges = self.lease.unresolvable(clock::awake());
        // Some may have been carried out since they were claimed.
        let here = self.log.position();
        purges.retain(|(source, n)| *n > here.of(source));
        purges
    }

    /// Flushes the store instead of waiting for these purges.
    pub(crate) fn abandon<T>(&self, purges: &[(String, u64)], flush: impl FnOnce() -> T) -> T {
        let flushed = self.log.skip_to(&Position::default(), flush);
        self.lease.abandon(purges);
        flushed
    }
}
