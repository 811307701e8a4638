//! The feed, as a filter reads answers and a coordinator reads questions.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshcache_protocol::feed::{FeedResponse, FeedRequest};

fuzz_target!(|data: &[u8]| {
    let _ = meshcache_proxy::state::snapshot::read(data);
    let _ = serde_json::from_slice::<FeedResponse>(data);
    let _ = serde_json::from_slice::<FeedRequest>(data);
});
