//! Purges: ordered anywhere, sent to all that the orderer knows of, and acknowledged by the rules of `purge/purger.rs`.

use crate::{
    cluster::gossip::{List, ListId},
    consistency::lease::LEASE,
    simulation::gossip::mesh::{Body, Mesh, Message, index},
};
use std::collections::BTreeSet;

/// The time that a peer has for a purge, milliseconds.
const PURGE: u64 = 2000;

/// A purge under way.
pub(super) struct Order {
    n: u64,
    by: usize,
    begun: u64,
    /// Those to whom it was sent, and those who have not answered.
    sent: BTreeSet<usize>,
    pending: BTreeSet<usize>,
    /// The lists that answers told of.
    lists: Vec<ListId>,
}

impl Mesh {
    /// Orders a purge at a process.
    pub(super) fn purge(&mut self, by: usize) {
        let n = self.now * 100 + by as u64;
        let process = self.process_mut(by);
        if process.is_frozen {
            return;
        }
        process.purges.insert(n);
        let begun = self.now;
        self.orders.push(Order { n, by, begun, sent: [by].into(), pending: BTreeSet::new(), lists: Vec::new() });
    }

    pub(super) fn order_done(&mut self, n: u64, from: usize, list: Option<ListId>, listeners: &[usize]) {
        for order in self.orders.iter_mut().filter(|order| order.n == n) {
            order.pending.remove(&from);
            order.lists.extend(list);
            // Whose lease may rest on an answer from before, and whom the orderer does not know, has not acknowledged it.
            order.pending.extend(listeners.iter().filter(|other| !order.sent.contains(other)));
        }
    }

    /// Sends orders to those who are new, and notes those that all have acknowledged.
    pub(super) fn follow_orders(&mut self) {
        let mut messages = Vec::new();
        let mut acknowledged = Vec::new();
        let mut orders = std::mem::take(&mut self.orders);
        let now = self.now;
        orders.retain_mut(|order| {
            let Some(process) = self.process(order.by) else { return false };
            if process.is_frozen {
                return now < order.begun + PURGE;
            }
            let own = process.gossip.agreed();
            let members = own.iter().flat_map(|list| list.members()).filter_map(|member| index(&member.peer.peer));
            let listeners = process.listeners.iter().filter(|(_, at)| now < **at + LEASE).map(|(at, _)| *at);
            let audience: BTreeSet<usize> = members.chain(listeners).collect();
            for to in audience.into_iter().filter(|to| order.sent.insert(*to)).collect::<Vec<_>>() {
                order.pending.insert(to);
                messages.push(Message { from: order.by, to, sent: now, body: Body::Purge(order.n) });
            }
            let id = own.map(List::id);
            let is_behind = order.lists.iter().any(|list| id.is_none_or(|own| own.gives_way_to(list)));
            // Who has heard of nobody yet, and is not ready, has nobody to tell.
            if let Some(id) = id.filter(|_| order.pending.is_empty() && !is_behind) {
                acknowledged.push((order.n, id.lineage));
                return false;
            }
            now < order.begun + PURGE
        });
        self.orders = orders;
        self.checks.acknowledged.extend(acknowledged);
        messages.into_iter().for_each(|message| self.send(message));
    }
}
