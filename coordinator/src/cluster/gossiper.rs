//! Gossip at work: the protocol behind a lock, with the time of this process, for all whose calls carry it.

use crate::{
    clock,
    cluster::{
        gossip::{
            Ask, Digest, Electorate, Forget, Gossip, Identity, List, MemberChange, MemberState, MemberView,
            list::ListId,
        },
        gossip_log::GossipLog,
        seed_troubles::{SeedTrouble, SeedTroubles},
    },
    telemetry::metrics::Metrics,
};
use meshcache_protocol::Peer;
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{sync::watch, time::Instant};

/// The longest that a start waits for a source that does not say where the seeds are.
const SEEDS_PATIENCE: Duration = Duration::from_secs(10);

/// The members as this coordinator sees them.
pub struct Gossiper {
    own: Peer,
    begun: Instant,
    gossip: Mutex<Gossip>,
    log: GossipLog,
    /// Changes with the agreed list.
    lists: watch::Sender<Option<ListId>>,
    troubles: SeedTroubles,
    /// Why the seeds are not known. Empty: they are.
    seeds: Mutex<String>,
    was_ready: AtomicBool,
}

impl Gossiper {
    /// A coordinator that knows nobody. `own`: where the others reach it.
    pub(crate) fn new(own: &Peer, metrics: Arc<Metrics>) -> Arc<Self> {
        // It only has to be later than that of the start before.
        let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let me = Identity { peer: own.clone(), start: u64::try_from(start).unwrap_or(u64::MAX) };
        Arc::new(Self {
            own: own.clone(),
            begun: Instant::now(),
            gossip: Mutex::new(Gossip::new(me, clock::awake())),
            log: GossipLog::new(&own.name, metrics),
            lists: watch::Sender::default(),
            troubles: SeedTroubles::default(),
            seeds: Mutex::new("not looked up yet".into()),
            was_ready: AtomicBool::new(false),
        })
    }

    /// Begins its metrics at 0, whether there is gossip or not.
    pub fn begin_metrics(metrics: &Metrics) {
        let states = MemberState::ALL.into_iter().map(MemberState::label);
        metrics.members.begin(states, MemberChange::ALL.into_iter().map(MemberChange::label));
    }

    /// This coordinator, where the others reach it.
    pub(crate) fn own(&self) -> &Peer {
        &self.own
    }

    /// Looks up the seeds again and again. Never ends.
    #[cfg(feature = "program")]
    pub(crate) async fn seek(&self, mut seeds: super::seeds::Seeds) {
        loop {
            let addresses: Vec<String> = seeds.refresh().await.iter().map(ToString::to_string).collect();
            *self.seeds.lock() = seeds.trouble().map_or_else(String::new, ToString::to_string);
            self.troubles.retain(&addresses, clock::awake());
            self.gossip.lock().set_seeds(addresses);
            tokio::time::sleep(seeds.pause()).await;
        }
    }

    /// Does what is due. Returns whom to ask beside the members.
    pub(crate) fn tick(&self) -> Vec<Ask> {
        let is_refused = self.troubles.is_refused();
        let may_be_found = !self.seeds.lock().is_empty() && self.begun.elapsed() < SEEDS_PATIENCE;
        let asks = self.with(|gossip, now| {
            gossip.hold_off(is_refused || may_be_found);
            gossip.tick(now)
        });
        let gossip = self.gossip.lock();
        self.log.remind(&gossip, clock::awake());
        asks
    }

    /// What a question to a peer carries. `None`: it is not known who is there.
    pub(crate) fn question_for(&self, name: Option<&str>) -> Digest {
        self.gossip.lock().question_for(name)
    }

    /// Takes a question, and returns what the answer carries. `None`: the question is no good.
    pub(crate) fn answer(&self, question: &Digest) -> Option<Digest> {
        if let Some(problem) = question.problem() {
            tracing::debug!(problem, "bad digest");
            return None;
        }
        Some(self.with(|gossip, now| gossip.answer(question, now)))
    }

    /// Takes the answer to a question that was sent to an address at `sent`. Returns the name of the member that has
    /// answered, if the lease may be renewed by it.
    pub(crate) fn answered(&self, at: &str, answer: Option<&Digest>, sent: u64) -> Option<String> {
        let Some(answer) = answer.filter(|answer| answer.problem().is_none()) else {
            self.note_trouble(at, Some(SeedTrouble::NoMember));
            return None;
        };
        self.note_trouble(at, None);
        let counts = self.with(|gossip, now| gossip.answered(at, answer, sent, now));
        counts.then(|| answer.from.name().to_owned())
    }

    /// Hears that an address refused a connection at `sent`. Returns whether the lease may go on without the member
    /// there: it has ended.
    pub(crate) fn refused(&self, at: &str, name: &str, sent: u64) -> bool {
        self.note_trouble(at, None);
        self.with(|gossip, now| {
            gossip.refused(at, sent, now);
            gossip.is_member() && gossip.has_ended(name, now)
        })
    }

    /// Hears that an address refuses the token.
    pub(crate) fn token_refused(&self, at: &str) {
        self.note_trouble(at, Some(SeedTrouble::TokenRefused));
    }

    fn note_trouble(&self, at: &str, trouble: Option<SeedTrouble>) {
        self.troubles.note(at, trouble, clock::awake());
    }

    /// The peers of the ring.
    pub(crate) fn members(&self) -> Vec<Peer> {
        self.gossip.lock().members(clock::awake())
    }

    /// All others of the agreed list, which are asked what they purged: also one that has this one's name.
    pub(crate) fn others(&self) -> Vec<Peer> {
        let gossip = self.gossip.lock();
        let members = gossip.agreed().map_or(&[][..], List::members).iter();
        members.filter(|member| member.peer != self.own).map(|member| member.peer.clone()).collect()
    }

    /// The other members that count, and how many of them make a majority with this one. `None`: this coordinator is
    /// no member, and has no lease whatever they answer.
    pub(crate) fn electorate(&self) -> Option<(Vec<String>, usize)> {
        let gossip = self.gossip.lock();
        let Electorate { others, answers } = gossip.electorate(clock::awake())?;
        Some((others.into_iter().map(str::to_owned).collect(), answers))
    }

    /// The agreed list.
    pub(crate) fn list(&self) -> Option<ListId> {
        self.gossip.lock().agreed().map(List::id)
    }

    /// Whether another coordinator has a later list.
    pub(crate) fn is_behind(&self, theirs: &ListId) -> bool {
        self.list().is_none_or(|own| own.gives_way_to(theirs))
    }

    /// Changes with the agreed list.
    pub(crate) fn lists(&self) -> watch::Receiver<Option<ListId>> {
        self.lists.subscribe()
    }

    /// Leaves the ring.
    pub(crate) fn leave(&self) {
        self.with(|gossip, _| gossip.leave());
    }

    /// Hears that a member leaves the ring, or has ended. An announcement of an earlier start at another address says
    /// nothing of the one that is a member now.
    pub(crate) fn member_leaves(&self, peer: &Peer, ended: bool) {
        if self.others().contains(peer) {
            self.with(|gossip, now| gossip.member_leaves(&peer.name, ended, now));
        }
    }

    /// All members, and those who ask to be.
    pub(crate) fn view(&self) -> Vec<MemberView> {
        self.gossip.lock().view(clock::awake())
    }

    /// The members without whose answers, or an operator's word, nothing is answered from the store.
    pub(crate) fn missing(&self) -> Vec<String> {
        self.gossip.lock().missing(clock::awake())
    }

    /// Takes the word of an operator that these members are gone for good: all of them, or none. The error is one
    /// line.
    pub(crate) fn forget(&self, names: &[String]) -> Result<(), String> {
        self.with(|gossip, now| {
            names.iter().try_for_each(|name| refusal(name, gossip.may_forget(name, now)))?;
            names.iter().try_for_each(|name| refusal(name, gossip.forget(name, now)))
        })
    }

    /// The text of /readyz. A coordinator is ready once it is a member and holds a lease; from then on it stays so, as
    /// it can let requests pass. The error names what is missing.
    pub(crate) fn readiness(&self, holds_lease: bool) -> Result<String, String> {
        let (is_member, list, missing) = {
            let (gossip, now) = (self.gossip.lock(), clock::awake());
            (gossip.is_member(), gossip.agreed().is_some(), gossip.missing(now))
        };
        let silent = || format!("most members do not answer: {}", missing.join(", "));
        if is_member && holds_lease {
            self.was_ready.store(true, Relaxed);
        }
        if self.was_ready.load(Relaxed) {
            return Ok(if missing.is_empty() { "ready".into() } else { format!("ready, but {}", silent()) });
        }
        Err(match (is_member, list) {
            (true, _) if missing.is_empty() => "waiting for the answers of most members".into(),
            (true, _) => silent(),
            (false, true) => "waiting until most members have listed this coordinator".into(),
            (false, false) => self.waits_for(),
        })
    }

    fn waits_for(&self) -> String {
        let seeds = self.seeds.lock();
        match self.troubles.first() {
            Some(first) => format!("waiting for a seed: {first}"),
            None if seeds.is_empty() => "waiting for a seed that answers".into(),
            None => format!("waiting for seeds: {seeds}"),
        }
    }

    /// Changes the view. What follows from that is logged, and the list told.
    fn with<T>(&self, change: impl FnOnce(&mut Gossip, u64) -> T) -> T {
        let (mut gossip, now) = (self.gossip.lock(), clock::awake());
        let result = change(&mut gossip, now);
        let (events, list) = (gossip.take_events(), gossip.agreed().map(List::id));
        self.log.write(events, now);
        drop(gossip);
        self.lists.send_if_modified(|last| std::mem::replace(last, list) != list);
        result
    }
}

fn refusal(name: &str, outcome: Forget) -> Result<(), String> {
    match outcome {
        Forget::Forgotten => Ok(()),
        Forget::Answers => Err(format!("forget: `{name}` answers: stop it first")),
        Forget::Own => Err(format!("forget: `{name}` is this coordinator")),
        Forget::Unknown => Err(format!("forget: `{name}` is no member")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::simulated;
    use serde_json::json;

    fn peer(name: &str, port: u16) -> Peer {
        let at = format!("127.0.0.1:{port}");
        Peer { name: name.to_owned(), data: at.clone(), peer: at }
    }

    /// A member of a list with b and c, at 1 s, and a digest of b.
    fn of_three() -> (Arc<Gossiper>, Digest) {
        simulated::set(1000);
        let gossiper = Gossiper::new(&peer("a", 1), Metrics::new().unwrap());
        let a = gossiper.question_for(None).from;
        let [b, c] = [peer("b", 2), peer("c", 3)].map(|peer| Identity { peer, start: 1 });
        let members = json!({"lineage": 1, "epoch": 1, "members": [a, b, c]});
        let list: List = serde_json::from_value(members.clone()).unwrap();
        let said = serde_json::from_value(json!({"from": b, "list": list.id(), "members": members})).unwrap();
        gossiper.answered("127.0.0.1:2", Some(&said), 1000);
        assert_eq!(gossiper.list(), Some(list.id()));
        (gossiper, said)
    }

    #[test]
    fn of_several_members_all_are_forgotten_or_none() {
        let (gossiper, said) = of_three();
        for now in [2500, 4000, 5500] {
            simulated::set(now);
            gossiper.answered("127.0.0.1:2", Some(&said), now);
        }
        gossiper.member_leaves(&peer("b", 2), false);
        let both = ["c".to_owned(), "b".to_owned()];
        assert_eq!(
            gossiper.forget(&both),
            Err("forget: `b` answers: stop it first".into()),
            "it leaves, and still answers"
        );
        assert_eq!(gossiper.gossip.lock().forgotten(), [""; 0]);
        simulated::set(9000);
        assert_eq!(gossiper.forget(&both), Ok(()));
        assert_eq!(gossiper.gossip.lock().forgotten(), ["b", "c"]);
    }
}
