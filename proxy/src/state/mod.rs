//! The state that one worker thread keeps between requests.

pub mod attention;
pub mod counters;
pub mod gauges;
pub mod hit_for_pass;
pub mod hot_cache;
pub mod invalidations;
pub mod listener_config;
pub mod lookup;
pub mod peers;
pub mod pending;
pub mod purge;
pub mod samples;
pub mod shared_data;
pub mod sleep_check;
pub mod snapshot;
pub mod worker;
