//! The feed: responses as a filter reads them, requests as a coordinator does.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshcache_protocol::feed::{FeedResponse, FeedRequest};

fuzz_target!(|data: &[u8]| {
    let _ = meshcache_filter::known::read(data);
    let _ = serde_json::from_slice::<FeedResponse>(data);
    let _ = serde_json::from_slice::<FeedRequest>(data);
});
