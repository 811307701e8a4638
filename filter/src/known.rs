//! What the feed tells: groups, ring and news of purges, read from an answer and checked.

use meshcache_protocol::{
    Groups, Ring,
    feed::{self, FeedResponse, News},
    wire,
};
use serde::Deserialize;
use std::rc::Rc;

/// The state of a coordinator, as a proxy uses it.
#[derive(Debug, PartialEq)]
pub struct Known {
    /// The version, opaque.
    pub version: String,
    /// The installation's name.
    pub installation: String,
    /// The groups.
    pub groups: Groups,
    /// The peers.
    pub ring: Ring,
}

/// What an answer says.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// Another state.
    State {
        /// The coordinator's name.
        peer: String,
        /// The state.
        known: Rc<Known>,
        /// What was purged.
        news: Option<News>,
    },
    /// The asker's state still holds.
    Same {
        /// The coordinator's name.
        peer: String,
        /// The version of that state.
        version: String,
        /// What was purged.
        news: Option<News>,
    },
    /// A wire version that this filter does not understand.
    Foreign(u32),
    /// No answer of a feed, or a state that this filter cannot carry out. Why.
    Broken(String),
}

/// Reads the body of an answer.
pub fn read(body: &[u8]) -> Said {
    #[derive(Deserialize)]
    struct Wire {
        wire: u32,
    }
    // First the version: what follows may look different in another one.
    match serde_json::from_slice::<Wire>(body) {
        Err(error) => return Said::Broken(error.to_string()),
        Ok(Wire { wire }) if !(wire::OLDEST..=feed::VERSION).contains(&wire) => return Said::Foreign(wire),
        Ok(_) => {}
    }
    let answer: FeedResponse = match serde_json::from_slice(body) {
        Ok(answer) => answer,
        Err(error) => return Said::Broken(error.to_string()),
    };
    let Some(state) = answer.state else {
        return Said::Same { peer: answer.peer, version: answer.version, news: answer.news };
    };
    let (installation, ring) = (state.installation.clone(), Ring::new(state.peers.clone()));
    let groups = match state.groups() {
        Ok(groups) => groups,
        Err(problem) => return Said::Broken(problem.to_string()),
    };
    if installation.is_empty() || answer.version.is_empty() {
        return Said::Broken("a state without a version or an installation's name".into());
    }
    let known = Known { version: answer.version, installation, groups, ring };
    Said::State { peer: answer.peer, known: Rc::new(known), news: answer.news }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(json: &str) -> String {
        match read(json.as_bytes()) {
            Said::Broken(why) => why,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn an_answer_is_a_state_or_the_same_or_nothing_of_use() {
        let state = r#"{"wire": 1, "peer": "a", "version": "v", "state": {"installation": "meshcache", "peers": [{"name": "a", "data": "1.2.3.4:8080", "peer": "1.2.3.4:8083"}], "config": {"version": 1}}, "news": {"position": "a.1:3"}}"#;
        let Said::State { peer, known, news } = read(state.as_bytes()) else { panic!("{:?}", read(state.as_bytes())) };
        assert_eq!((peer.as_str(), known.version.as_str(), known.ring.peers().len()), ("a", "v", 1));
        assert_eq!(news.unwrap().position.of("a.1"), 3);
        assert!(broken(r#"{"wire": 1, "version": "v", "news": {"position": "nonsense"}}"#).contains("position"));
        assert_eq!(
            read(br#"{"wire": 1, "peer": "a", "version": "v"}"#),
            Said::Same { peer: "a".into(), version: "v".into(), news: None }
        );
        assert_eq!(read(br#"{"wire": 9, "state": 3}"#), Said::Foreign(9));
        assert!(broken("<html>").contains("expected"));
        assert!(broken(r#"{"wire": 1, "version": "v", "state": {}}"#).contains("without"));
        assert!(
            broken(r#"{"wire": 1, "version": "v", "state": {"installation": "m", "config": {"version": 7}}}"#)
                .contains("version")
        );
    }
}
