//! The cache of one coordinator. [`lookup`] shows the way of a request: the store, else a flight, which asks a peer or
//! the origin. Imports go that way and never back; [`state`] is what all stages share.

pub(crate) mod fill;
pub(crate) mod flight;
pub(crate) mod flight_key;
pub(crate) mod getter_key;
pub(crate) mod getter_load;
pub(crate) mod getter_lookup;
pub(crate) mod getter_peek;
pub(crate) mod getter_set;
pub(crate) mod groups;
pub(crate) mod growing_load;
pub(crate) mod handover;
pub(crate) mod hit_for_pass;
pub(crate) mod hot_copies;
pub(crate) mod housekeeping;
pub(crate) mod insertion;
pub(crate) mod invalidation;
pub(crate) mod invalidation_limits;
pub(crate) mod load;
pub(crate) mod load_job;
pub(crate) mod load_limit;
pub(crate) mod load_outcome;
pub(crate) mod load_response;
pub mod lookup;
pub(crate) mod miss;
pub(crate) mod not_passed;
pub(crate) mod observe;
pub(crate) mod origin_response;
pub(crate) mod ownership;
pub(crate) mod pass;
pub(crate) mod pass_reason;
pub(crate) mod peek;
pub(crate) mod peer_load;
pub(crate) mod query;
pub(crate) mod range;
pub(crate) mod removal;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod revalidation;
pub mod state;
#[cfg(test)]
pub(crate) mod test_peers;
pub(crate) mod transfer;
pub(crate) mod transfer_report;
pub(crate) mod uses;
