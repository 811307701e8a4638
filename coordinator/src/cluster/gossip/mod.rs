//! Membership without an API that knows it: coordinators find one another by seeds, and agree on the list of members.
//!
//! Pure: `now` is an argument, milliseconds of a clock that never jumps. The messages are [`Digest`]s, which ride on the
//! calls that peers make for the lease anyway, in both directions.
//!
//! # The list
//!
//! The **agreed list** is what the majority is counted by, and the ring is made of it. Each list has exactly one
//! successor: most of its members vote for a [`list::Change`] of it (Paxos, one instance a list; the first member by
//! name that is heard proposes). So two coordinators with lists of one epoch have the same ring, and while a change
//! spreads there are two rings, not more.
//!
//! - Each member asks each other one anyway. So nobody needs rumours of who is alive: a digest says whom its sender does
//!   not hear, and a member is removed when most of the list do not hear it. A member that some hear and most do not is
//!   silent; one that most hear stays, whatever the others say. To be heard again is the refutation.
//! - A member counts for the majority from the moment on at which a list has it, and most of the list before have voted
//!   for that one.
//! - A newcomer is listed when the proposer has asked it at its address and it has answered: late or made-up messages of
//!   a start that has ended list nobody.
//! - A member that says that it leaves is in no ring at once, and in the list until it has ended.
//! - Of two with one name the later start is listed. A start that finds its own name in the first list that it hears of
//!   numbers itself later than that: the clock of a machine decides nothing.
//! - Two clusters that meet (both were founded while they could not reach each other): that of fewer members takes the
//!   list of the other, and its members join one by one.
//!
//! # Why two sides never both hold most
//!
//! A *majority* is more than half of the members of one list; where more than half have ended, all that have not. A
//! member is known to have ended when it has said so, when another process answers at its address, or when its port
//! refuses and had answered within 3 s before; a port that refuses after a longer silence proves nothing, since what it
//! voted for meanwhile is unknown here. While a later list may be somewhere, nobody counts as ended.
//!
//! 1. Two majorities of one list share a member, or all of one have ended. So only one change of it is voted for by a majority: what a proposer
//!    may propose is the last change that one of its majority has voted for, if there is one. A member never forgets its
//!    votes: a start that has forgotten them is another identity, and no member until it is listed.
//! 2. Be x removed by the list e+1. Each of the majority that voted for it had given x no answer that counts
//!    ([`Digest::counts_receiver`]) for [`WITHHELD`], longer than a lease, and gives it none after that. The lease of x
//!    needs such answers from a majority of e, which shares a member with the one that voted. So x has lost its lease
//!    before anybody has the list e+1, and a purge that does not wait for x is not missed by it.
//! 3. A side that hears no majority of its list makes no other one, and its leases end. An operator who says of a member
//!    that it is gone for good ([`Gossip::forget`]) takes it out of the count, and answers for that being true.
//! 4. Two sides with different lists of one lineage: a majority of the earlier list has voted for the later one, and by
//!    2 gives no answers that count to whom that removed. Who is in both is waited for by purges of both.
//!
//! What is not covered: all of the majority that voted for a list with newcomers end within seconds, before one of the
//! others hears of it, and the newcomers and the others cannot reach each other from then on. And a side all of whose
//! members start anew while they are cut off: they know of nobody, and found a cluster of their own.
//!
//! # What the host does
//!
//! - [`Gossip::tick`] every [`TICK`]: it says whom to ask beside the members, which are asked by the lease's calls.
//! - Each call to a peer carries [`Gossip::question_for`] it, each answer what [`Gossip::answer`] returns.
//!   [`Gossip::answered`] says whether an answer may renew the lease; [`Gossip::refused`] hears of refused connections.
//! - The lease holds by the answers that [`Gossip::electorate`] says. A refused connection counts for it only if
//!   [`Gossip::has_ended`] says so: else the peer may be alive.
//! - A purge is acknowledged when the answers to it told of no list with further members: these are to be reached too.

pub mod digest;
pub mod event;
pub mod identity;
pub mod list;
pub mod marks;
pub mod vote;

mod adoption;
mod campaign;
mod contact;
mod exchange;
mod seed;
mod state;
mod stranger;
#[cfg(test)]
mod tests;
mod tick;

pub use digest::Digest;
pub use event::{Forget, GossipEvent, MemberChange, MemberState};
pub use identity::Identity;
pub use list::{List, ListId};
pub use seed::Ask;
pub use state::{Electorate, Gossip, MemberView, TICK, WITHHELD};
