//! What a later coordinator tells of: the filter passes over fields that it does not know, where the coordinator's own
//! files have none.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use meshcache_protocol::feed::FeedResponse;

const LATER: &[u8] = br#"{"wire": 2, "version": "v", "later": 1, "state": {"installation": "m", "later": {}, "config": {"version": 1, "groups": [
    {"name": "g", "later": [1], "match": {"hosts": ["h"], "later": true}, "origin": {"url": "http://hidden", "later": "x"},
     "freshness": {"status": {"404": "5s"}, "later": 1}}]}, "digests": {"g": "d"}}}"#;

#[test]
fn fields_that_a_later_coordinator_tells_of_are_passed_over_in_the_filter_alone() {
    let read = serde_json::from_slice::<FeedResponse>(LATER);
    if cfg!(not(target_family = "wasm")) {
        assert!(read.unwrap_err().to_string().contains("later"), "what people write is read strictly");
        return;
    }
    let groups = read.unwrap().state.unwrap().groups().unwrap();
    let group = groups.named("g").unwrap();
    assert_eq!((group.digest(), group.config().freshness.status.len()), ("d", 1));
}
