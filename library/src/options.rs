//! The options of a group.

use meshcache_coordinator::embedded;
use meshcache_protocol::{
    groups::GroupConfig,
    units::{Size, Span},
};
use std::time::Duration;

/// How a group keeps its values. All nodes should have the same ones.
///
/// ```
/// use meshcache::Options;
/// use std::time::Duration;
///
/// let options = Options::new().bytes(64 << 20).ttl(Duration::from_secs(3600)).timeout(Duration::from_secs(5));
/// # let _ = options;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    bytes: Option<u64>,
    value_bytes: u64,
    ttl: Option<Duration>,
    not_found_ttl: Duration,
    stale_while_revalidate: Duration,
    stale_if_error: Duration,
    hot_ttl: Duration,
    timeout: Duration,
    max_loads: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bytes: None,
            value_bytes: 8 << 20,
            ttl: None,
            not_found_ttl: Duration::ZERO,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            hot_ttl: Duration::from_secs(10),
            timeout: Duration::from_secs(10),
            max_loads: 1024,
        }
    }
}

impl Options {
    /// The defaults: the whole store, values that stay until they are evicted or removed, 10 s for the getter.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the most that the group takes of its node's store, with all that its values take in memory. Default: the
    /// whole store.
    #[must_use]
    pub fn bytes(mut self, bytes: u64) -> Self {
        self.bytes = Some(bytes);
        self
    }

    /// Sets the largest value, bytes: a larger one is an error. Default: 8 MiB. At most 30 MiB.
    #[must_use]
    pub fn value_bytes(mut self, bytes: u64) -> Self {
        self.value_bytes = bytes;
        self
    }

    /// Sets how long a value is fresh that does not say so itself. Default: until it is evicted or removed.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Sets how long it is remembered that there is no value, where the getter does not say so itself. Default: zero, not
    /// at all.
    #[must_use]
    pub fn not_found_ttl(mut self, ttl: Duration) -> Self {
        self.not_found_ttl = ttl;
        self
    }

    /// Sets how long past its freshness a value is given at once, while one load makes it anew. Default: zero.
    #[must_use]
    pub fn stale_while_revalidate(mut self, window: Duration) -> Self {
        self.stale_while_revalidate = window;
        self
    }

    /// Sets how long past its freshness a value is given when the getter fails. Default: zero.
    #[must_use]
    pub fn stale_if_error(mut self, window: Duration) -> Self {
        self.stale_if_error = window;
        self
    }

    /// Sets how long a node keeps a copy of a value that is asked for often and that another node owns. Zero: not at
    /// all. Removals reach copies, too. Default: 10 s.
    #[must_use]
    pub fn hot_ttl(mut self, ttl: Duration) -> Self {
        self.hot_ttl = ttl;
        self
    }

    /// Sets how long the getter may take. Default: 10 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how many calls of the getter may be under way at once on a node. Ten times as many wait, for a second.
    /// Default: 1,024.
    #[must_use]
    pub fn max_loads(mut self, loads: u32) -> Self {
        self.max_loads = loads;
        self
    }

    /// The group as the engine has it, and the bytes that it may take. The error is one line for people.
    pub(crate) fn group(&self, name: &str) -> Result<(GroupConfig, u64), String> {
        let wrong = |field: &str, what: &str| Err(format!("group `{name}`: {field}: {what}"));
        if self.ttl.is_some_and(|ttl| ttl.as_millis() == 0) {
            return wrong("ttl", "less than 1 ms: values would never be stored");
        }
        if self.timeout.as_millis() == 0 {
            return wrong("timeout", "less than 1 ms: every load would fail");
        }
        if self.max_loads == 0 {
            return wrong("max_loads", "0: every load would fail");
        }
        if self.bytes == Some(0) {
            return wrong("bytes", "0: nothing would be stored");
        }
        if !(1..=MAX_VALUE).contains(&self.value_bytes) {
            return wrong("value_bytes", "1 to 31457280 (30 MiB), please");
        }
        let mut config = embedded::group_config(name)?;
        config.origin.timeout = span(self.timeout);
        config.origin.max_loads = self.max_loads;
        config.freshness.default = span(self.ttl.unwrap_or_default());
        config.freshness.status = embedded::not_found(span(self.not_found_ttl));
        config.freshness.stale_while_revalidate = span(self.stale_while_revalidate);
        config.freshness.stale_if_error = span(self.stale_if_error);
        config.limits.object = Size(self.value_bytes);
        config.hot.ttl = span(self.hot_ttl);
        Ok((config, self.bytes.unwrap_or(u64::MAX)))
    }
}

/// The largest value that goes from node to node in one answer.
const MAX_VALUE: u64 = 30 << 20;

fn span(duration: Duration) -> Span {
    Span::millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
