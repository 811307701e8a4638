//! What must never be, whatever happens.

use crate::simulation::gossip::mesh::Mesh;
use std::collections::{BTreeMap, BTreeSet};

/// The lists that were seen.
#[derive(Default)]
pub(super) struct Checks {
    /// The one list of each epoch of each lineage.
    versions: BTreeMap<(u64, u64), u64>,
    /// The most different rings at once among those that have a lease.
    pub(super) rings: usize,
    /// The purges that all of a cluster have acknowledged: their numbers, and its lineage.
    pub(super) acknowledged: BTreeSet<(u64, u64)>,
    /// An operator has said what is not true: the rest is his business.
    pub(super) is_off: bool,
}

impl Checks {
    pub(super) fn look(&mut self, mesh: &Mesh) {
        if self.is_off {
            return;
        }
        let all: Vec<usize> = (0..mesh.ports.len()).filter(|at| mesh.process(*at).is_some()).collect();
        let gossip = |at: usize| &mesh.process(at).unwrap().gossip;
        for list in all.iter().filter_map(|at| gossip(*at).agreed()) {
            let id = list.id();
            let version = *self.versions.entry((id.lineage, id.epoch)).or_insert(id.version);
            assert_eq!(
                version,
                id.version,
                "two lists of epoch {} at {}: {list:?}\n{}",
                id.epoch,
                mesh.now,
                mesh.describe()
            );
        }
        let leases: Vec<usize> = all.iter().copied().filter(|at| mesh.has_lease(*at)).collect();
        for at in &leases {
            let process = mesh.process(*at).unwrap();
            let lineage = process.gossip.agreed().unwrap().id().lineage;
            let due = self.acknowledged.iter().filter(|(n, of)| *of == lineage && process.started <= *n / 100);
            let missed = due.map(|(n, _)| n).find(|n| !process.purges.contains(n));
            assert_eq!(missed, None, "{at} has a lease and missed this purge, at {}\n{}", mesh.now, mesh.describe());
        }
        // A purge waits for those in the list, and for those in the lists that answers to it tell of. So nobody has a
        // lease whom a list no longer has.
        let lists: BTreeMap<(u64, u64), usize> = all
            .iter()
            .filter_map(|at| Some((gossip(*at).agreed()?.id(), *at)))
            .map(|(id, at)| ((id.lineage, id.epoch), at))
            .collect();
        for at in &leases {
            let own = gossip(*at).agreed().unwrap().id();
            for ((lineage, epoch), other) in &lists {
                if *lineage == own.lineage && *epoch > own.epoch {
                    let later = gossip(*other).agreed().unwrap();
                    assert!(
                        later.rank_of(gossip(*at).me()).is_some(),
                        "{at} has a lease, and the list of {other} does not have it, at {}",
                        mesh.now
                    );
                }
            }
        }
        let rings: BTreeSet<Vec<String>> = leases.iter().map(|at| mesh.ring(*at)).collect();
        self.rings = self.rings.max(rings.len());
    }
}
