//! Group files: an error or groups, never a panic. What is valid as YAML is valid as the feed's JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshcache_protocol::{Groups, groups::Config};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(config) = serde_saphyr::from_str::<Config>(text) else { return };
    let json = serde_json::to_vec(&config).unwrap();
    let again: Config = serde_json::from_slice(&json).unwrap();
    assert_eq!(Groups::new(config).is_ok(), Groups::new(again).is_ok());
});
