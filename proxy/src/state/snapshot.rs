//! What a coordinator publishes in its feed: groups, ring and recent purges. Read from an answer and checked.

use meshcache_protocol::{
    Groups, Ring,
    feed::{self, FeedResponse, News},
    wire,
};
use serde::Deserialize;
use std::sync::Arc;

/// The configuration of the mesh as a proxy uses it.
#[derive(Debug, PartialEq)]
pub struct Snapshot {
    /// The version, opaque.
    pub version: String,
    /// The installation's name.
    pub installation: String,
    /// The groups.
    pub groups: Groups,
    /// The peers.
    pub ring: Ring,
}

/// The content of a feed's answer.
#[derive(Clone, Debug, PartialEq)]
pub enum FeedUpdate {
    /// A new snapshot.
    Snapshot {
        /// The coordinator's name.
        peer: String,
        /// The snapshot.
        snapshot: Arc<Snapshot>,
        /// The recent purges.
        news: Option<News>,
    },
    /// The proxy's snapshot is current.
    Unchanged {
        /// The coordinator's name.
        peer: String,
        /// The version of the snapshot.
        version: String,
        /// The recent purges.
        news: Option<News>,
    },
    /// A wire version that this proxy does not understand.
    UnknownVersion(u32),
    /// Not a feed's answer, or a snapshot that this proxy cannot use, with the reason.
    Invalid(String),
}

/// Reads the body of an answer.
pub fn read(body: &[u8]) -> FeedUpdate {
    #[derive(Deserialize)]
    struct Wire {
        wire: u32,
    }
    // The version first: all else may look different in another one.
    match serde_json::from_slice::<Wire>(body) {
        Err(error) => return FeedUpdate::Invalid(error.to_string()),
        Ok(Wire { wire }) if !(wire::OLDEST..=feed::VERSION).contains(&wire) => {
            return FeedUpdate::UnknownVersion(wire);
        }
        Ok(_) => {}
    }
    let answer: FeedResponse = match serde_json::from_slice(body) {
        Ok(answer) => answer,
        Err(error) => return FeedUpdate::Invalid(error.to_string()),
    };
    let Some(state) = answer.state else {
        return FeedUpdate::Unchanged { peer: answer.peer, version: answer.version, news: answer.news };
    };
    let (installation, ring) = (state.installation.clone(), Ring::new(state.peers.clone()));
    let groups = match state.groups() {
        Ok(groups) => groups,
        Err(problem) => return FeedUpdate::Invalid(problem.to_string()),
    };
    if installation.is_empty() || answer.version.is_empty() {
        return FeedUpdate::Invalid("a state without a version or an installation's name".into());
    }
    let snapshot = Snapshot { version: answer.version, installation, groups, ring };
    FeedUpdate::Snapshot { peer: answer.peer, snapshot: Arc::new(snapshot), news: answer.news }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(json: &str) -> String {
        match read(json.as_bytes()) {
            FeedUpdate::Invalid(why) => why,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn an_answer_is_a_snapshot_or_says_unchanged_or_is_refused() {
        let state = r#"{"wire": 1, "peer": "a", "version": "v", "state": {"installation": "meshcache", "peers": [{"name": "a", "data": "1.2.3.4:8080", "peer": "1.2.3.4:8083"}], "config": {"version": 1}}, "news": {"position": "a.1:3"}}"#;
        let FeedUpdate::Snapshot { peer, snapshot, news } = read(state.as_bytes()) else {
            panic!("{:?}", read(state.as_bytes()))
        };
        assert_eq!((peer.as_str(), snapshot.version.as_str(), snapshot.ring.peers().len()), ("a", "v", 1));
        assert_eq!(news.unwrap().position.of("a.1"), 3);
        assert!(broken(r#"{"wire": 1, "version": "v", "news": {"position": "nonsense"}}"#).contains("position"));
        assert_eq!(
            read(br#"{"wire": 1, "peer": "a", "version": "v"}"#),
            FeedUpdate::Unchanged { peer: "a".into(), version: "v".into(), news: None }
        );
        assert_eq!(read(br#"{"wire": 9, "state": 3}"#), FeedUpdate::UnknownVersion(9));
        assert!(broken("<html>").contains("expected"));
        assert!(broken(r#"{"wire": 1, "version": "v", "state": {}}"#).contains("without"));
        assert!(
            broken(r#"{"wire": 1, "version": "v", "state": {"installation": "m", "config": {"version": 7}}}"#)
                .contains("version")
        );
    }
}
