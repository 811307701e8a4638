//! Those who ask and are not in the list: newcomers, and members of other clusters.

use crate::cluster::gossip::{identity::Identity, list::ListId};

/// A stranger that has not asked for so long is forgotten, milliseconds.
const EXPIRY: u64 = 5000;
/// An answer of a stranger is a proof that it runs for so long, milliseconds.
const PROOF: u64 = 3000;

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Stranger {
    pub(super) identity: Identity,
    /// When it last asked or answered.
    pub(super) asked: u64,
    /// When the last question was sent that it has answered.
    pub(super) answered: Option<u64>,
    /// When it is to be asked.
    pub(super) next: u64,
    pub(super) list: Option<ListId>,
    pub(super) leaves: bool,
}

impl Stranger {
    pub(super) fn is_expired(&self, now: u64) -> bool {
        now >= self.asked.saturating_add(EXPIRY)
    }

    /// Whether it asks to be in a list, and has answered at its address.
    pub(super) fn may_join(&self, list: &ListId, now: u64) -> bool {
        self.wants(list) && self.answered.is_some_and(|sent| now < sent.saturating_add(PROOF))
    }

    /// Whether it asks to be in a list: it has taken it or the one before.
    pub(super) fn wants(&self, list: &ListId) -> bool {
        !self.leaves && self.list.is_some_and(|own| own.lineage == list.lineage)
    }
}
