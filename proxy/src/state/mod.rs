//! The state that a proxy keeps between requests: what all requests read, and the worker behind it.

pub mod attention;
pub mod counters;
pub mod gauges;
pub mod group_counts;
pub mod hit_for_pass;
pub mod hot_cache;
pub mod hot_state;
pub mod invalidations;
pub mod listener_config;
mod lock;
pub mod lookup;
pub mod other_hosts;
pub mod peers;
pub mod pending;
pub mod purge;
pub mod samples;
pub mod shared_data;
mod side;
pub mod sleep_check;
pub mod snapshot;
pub mod worker;
