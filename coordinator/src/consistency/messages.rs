//! What coordinators ask each other about purges.

use meshcache_protocol::{
    Peer,
    purge::{Position, Purge},
};
use serde::{Deserialize, Serialize};

/// What one coordinator asks of another.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Question {
    /// What was carried out there.
    pub position: Position,
    /// Who asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Peer>,
}

/// What the other has heard.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// Its source: another one than before has forgotten what was.
    pub source: String,
    /// Whether it is itself sure to know all purges.
    pub holds: bool,
    /// Where it is.
    pub position: Position,
    /// It does not hold any more all that the asker lacks.
    pub missed: bool,
    /// What the asker lacks.
    pub purges: Vec<Purge>,
}
