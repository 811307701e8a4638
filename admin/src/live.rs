//! Requests as they end (`GET /tail`), and what they are for (`GET /top`). Coordinators record them only while somebody
//! looks.

use serde::{Deserialize, Serialize};

/// Which requests are wanted. All that is given has to fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Filter {
    /// Of this group.
    pub group: Option<String>,
    /// With this outcome.
    pub outcome: Option<String>,
    /// For this reason.
    pub reason: Option<String>,
    /// With this status: `404`, or `5xx`.
    pub status: Option<String>,
    /// Whose path begins so.
    pub path: Option<String>,
}

/// `GET /tail?group=…`: lines of JSON ([`EndedRequest`]) until the client leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct TailRequest {
    /// Which requests.
    #[serde(flatten)]
    pub filter: Filter,
    /// Between coordinators: the number of the last request that the asker has.
    pub after: Option<u64>,
}

/// A request that has ended. What a client wrote is in it as text, with control characters escaped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EndedRequest {
    /// The coordinator that answered.
    pub at: String,
    /// Requests that fit and were left out before this one: too many came.
    pub left_out: u64,
    /// How many milliseconds ago it ended, when it was told.
    pub ago: u64,
    /// `client` or `proxy`: a request is told where it came in.
    pub by: String,
    /// Its method.
    pub method: String,
    /// Its host.
    pub host: String,
    /// Its path, without the query.
    pub path: String,
    /// The response's status; none: the client left before.
    pub status: Option<u16>,
    /// The bytes of the body.
    pub bytes: u64,
    /// Its group; none: no group.
    pub group: Option<String>,
    /// What the cache did.
    pub outcome: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// How long it took, milliseconds.
    pub took: f64,
}

/// `GET /top?by=keys&group=…&limit=…`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct TopRequest {
    /// What is counted.
    pub by: TopBy,
    /// Of which requests.
    #[serde(flatten)]
    pub filter: Filter,
    /// At most so many rows; 0: 20. Never more than 200.
    pub limit: usize,
}

/// What the rows of a table are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TopBy {
    /// Host and path.
    #[default]
    Keys,
    /// Groups.
    Groups,
    /// Group and reason.
    Reasons,
    /// Origins, the slowest first.
    Origins,
}

/// The answer to `GET /top`: rates of the last seconds, over all coordinators.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Top {
    /// For how long requests have been counted, seconds, at most 10. 0: counting has just begun, ask again.
    pub seconds: f64,
    /// The rows, the largest first.
    pub rows: Vec<TopRow>,
    /// Coordinators that gave no answer.
    pub unreached: Vec<String>,
}

/// One row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TopRow {
    /// What it is: a host and path, a group, `group reason`, an origin.
    pub name: String,
    /// Its group.
    pub group: Option<String>,
    /// Requests a second.
    pub rate: f64,
    /// By how much that may be too high: the sketch's bound.
    pub rate_error: f64,
    /// The share of them that the cache answered, 0 to 1.
    pub hits: f64,
    /// The mean time, milliseconds.
    pub took: f64,
    /// Bytes a second.
    pub bytes: f64,
    /// Whether some of it is what proxies told: anybody's word.
    pub told: bool,
}

/// Between coordinators: the answer to [`crate::Ask::Tail`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Tail {
    /// The requests that have ended since; after at most a second without any, none.
    pub ended: Vec<EndedRequest>,
    /// The number to ask from the next time.
    pub next: u64,
}
