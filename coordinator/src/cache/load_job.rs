//! What a load is for.

use crate::{cache::groups::ServedGroup, http::head::RequestHead};
use meshcache_protocol::{Key, Slice};
use std::sync::Arc;

/// The job of one flight.
pub(crate) struct LoadJob {
    pub(crate) served: Arc<ServedGroup>,
    pub(crate) head: RequestHead,
    pub(crate) key: Key,
    /// A proxy has verified the requester's token.
    pub(crate) verified: bool,
    /// Why the store did not answer, as Cache-Status has it (RFC 9211 section 2.2).
    pub(crate) fwd: &'static str,
    /// A background load: no request waits for it.
    pub(crate) is_refresh: bool,
    /// In a group with slices: the one to load. The first one stands for its file, and its key is the file's.
    pub(crate) slice: Option<Slice>,
}
