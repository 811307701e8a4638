//! Vary: for which requests a stored response is (RFC 9111 section 4.1).

use crate::request::{Request, Response};
use serde::{Deserialize, Serialize};

/// What a response's Vary says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vary {
    /// No Vary: for every request.
    Nothing,
    /// For requests that agree in these fields (lower case, sorted, each once).
    By(Vec<String>),
    /// `*`: for no other request.
    Everything,
}

/// The selecting fields of the request that a response was stored for, normalised.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Selecting(Vec<(String, Option<Vec<u8>>)>);

impl Vary {
    /// Reads all Vary fields of a response.
    pub fn of(response: &Response<'_>) -> Self {
        let _ = response;
        Self::Nothing
    }
}

impl Selecting {
    /// What this request has in the fields that `vary` names. Empty for [`Vary::Nothing`].
    pub fn of(vary: &Vary, request: &Request<'_>) -> Self {
        let _ = (vary, request);
        Self::default()
    }

    /// Whether a request agrees.
    pub fn matches(&self, request: &Request<'_>) -> bool {
        let _ = request;
        true
    }

    /// Bytes that it takes in memory, with its allocations.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|(name, value)| 64_usize.saturating_add(name.len()).saturating_add(value.as_ref().map_or(0, Vec::len))).sum()
    }
}
