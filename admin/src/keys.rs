//! What is stored: `GET /keys`.

use serde::{Deserialize, Serialize};

/// `GET /keys?group=…&prefix=…&limit=…`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct KeysRequest {
    /// Of this group; none: of all.
    pub group: Option<String>,
    /// Whose path begins so.
    pub prefix: Option<String>,
    /// At most so many; 0: 100. Never more than 10,000.
    pub limit: usize,
}

/// The answer, over all coordinators.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct KeysAnswer {
    /// The responses, by URL.
    pub keys: Vec<StoredKey>,
    /// How many fit in all.
    pub total: u64,
    /// Coordinators that gave no answer.
    pub unreached: Vec<String>,
}

/// One stored response.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StoredKey {
    /// Where it is.
    pub at: String,
    /// Its group.
    pub group: String,
    /// Its URL, with the names of the query's parameters and of other parts of the key; never their values.
    pub url: String,
    /// Its status.
    pub status: u16,
    /// `main` or `hot`.
    pub kept_as: String,
    /// Its age, seconds.
    pub age: u64,
    /// For how long it is fresh, seconds; negative: stale for so long.
    pub ttl: i64,
    /// Bytes that it takes.
    pub bytes: u64,
}
