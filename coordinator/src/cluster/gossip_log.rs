//! What the log and the metrics say of the members.

use crate::{
    cluster::gossip::{Gossip, GossipEvent, MemberChange},
    telemetry::metrics::Metrics,
};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// The time between two lines about the same trouble that goes on, milliseconds.
const REMINDER: u64 = 30_000;

/// Writes the lines.
pub(crate) struct GossipLog {
    me: String,
    metrics: Arc<Metrics>,
    /// When a trouble was last named; 0: there is none.
    reminded: AtomicU64,
    /// The names that are taken, and when that was said.
    taken: Mutex<BTreeMap<String, u64>>,
}

impl GossipLog {
    pub(crate) fn new(me: &str, metrics: Arc<Metrics>) -> Self {
        Self { me: me.to_owned(), metrics, reminded: AtomicU64::new(0), taken: Mutex::default() }
    }

    /// Writes a line for each change, and counts it.
    pub(crate) fn write(&self, events: Vec<GossipEvent>, now: u64) {
        for GossipEvent { name: member, change } in events {
            if change == MemberChange::NameTaken && !self.is_news(&member, now) {
                continue;
            }
            self.metrics.members.count_change(change.label());
            let own = member == self.me;
            match change {
                MemberChange::Founded => tracing::info!("no seed knows members: this coordinator is the first"),
                MemberChange::Merged => tracing::warn!("another cluster has more members: joining it"),
                MemberChange::NameTaken if own => {
                    tracing::warn!("another coordinator has this --name: the later start is the member");
                }
                MemberChange::NameTaken => tracing::warn!(member, "two coordinators have this --name"),
                MemberChange::Joined => tracing::info!(member, "member joins"),
                MemberChange::Left => tracing::info!(member, "member leaves"),
                MemberChange::Removed => tracing::info!(member, "member is removed"),
                MemberChange::Suspected => tracing::warn!(member, "member does not answer"),
                MemberChange::Answers => tracing::info!(member, "member answers again"),
                MemberChange::Forgotten => tracing::warn!(member, "member is forgotten, as POST /peers says"),
            }
        }
    }

    /// Whether it was not said a while ago that a name is taken: each message of the other one shows it anew.
    fn is_news(&self, member: &str, now: u64) -> bool {
        let mut taken = self.taken.lock();
        taken.retain(|_, at| now < at.saturating_add(REMINDER));
        let is_news = !taken.contains_key(member);
        if is_news {
            taken.insert(member.to_owned(), now);
        }
        is_news
    }

    /// Says again and again what only an operator can mend, or has mended, for as long as it is so.
    pub(crate) fn remind(&self, gossip: &Gossip, now: u64) {
        let (missing, forgotten) = (gossip.missing(now), gossip.forgotten());
        if missing.is_empty() && forgotten.is_empty() {
            return self.reminded.store(0, Relaxed);
        }
        let last = self.reminded.load(Relaxed);
        if last != 0 && now < last.saturating_add(REMINDER) {
            return;
        }
        self.reminded.store(now.max(1), Relaxed);
        if !missing.is_empty() {
            tracing::warn!(
                members = missing.join(","),
                "most members do not answer, so nothing is answered from the store: if these are gone for good, POST /peers {{\"forget\": [..]}}"
            );
        }
        if !forgotten.is_empty() {
            tracing::warn!(
                members = forgotten.join(","),
                "forgotten members do not count, until they are removed or answer"
            );
        }
    }
}
