//! Membership by gossip in a large mesh: what becomes of the lists while coordinators start, die, freeze, are cut off, and
//! messages come late or twice. `make simulation` runs it with a thousand members: two minutes of one core until they agree,
//! and some more for each case.

mod checks;
mod mesh;
mod orders;
mod tests;
