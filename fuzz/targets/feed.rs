//! The feed, as a filter reads answers and a coordinator reads questions.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshcache_protocol::feed::{FeedAnswer, FeedQuestion};

fuzz_target!(|data: &[u8]| {
    let _ = meshcache_proxy::state::snapshot::read(data);
    let _ = serde_json::from_slice::<FeedAnswer>(data);
    let _ = serde_json::from_slice::<FeedQuestion>(data);
});
