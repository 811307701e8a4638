//! An origin that is a function of this process: it makes the value of a key.

use bytes::Bytes;
use futures_util::FutureExt;
use std::{any::Any, fmt::Display, future::Future, panic::AssertUnwindSafe, pin::Pin, sync::Arc, time::Duration};
use tokio::time::timeout;

/// The longest text of an error, bytes. A longer one is cut.
const MAX_TEXT: usize = 1024;

/// Makes the values of a group's keys.
///
/// The cache calls it for a key that no node has: once, however many ask. It runs in a task of its own, so that a caller
/// who leaves does not stop it. A panic, and more time than the group's `timeout`, are errors.
///
/// A closure from `String` to a future is one, too.
pub trait Getter: Send + Sync + 'static {
    /// Makes the value of a key.
    fn get(&self, key: &str) -> impl Future<Output = Result<Value, Error>> + Send;
}

impl<F, R> Getter for F
where
    F: Fn(String) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Value, Error>> + Send,
{
    fn get(&self, key: &str) -> impl Future<Output = Result<Value, Error>> + Send {
        self(key.to_owned())
    }
}

/// A value as its getter gives it: bytes, how long they are fresh, and the tags by which they can be removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Value {
    /// The bytes.
    pub bytes: Bytes,
    /// How long it is fresh. `None`: as the group has it.
    pub ttl: Option<Duration>,
    /// How long past its freshness it is given while it is loaded again. `None`: as the group has it.
    pub stale_while_revalidate: Option<Duration>,
    /// How long past its freshness it is given when the getter fails. `None`: as the group has it.
    pub stale_if_error: Option<Duration>,
    /// Its tags: words of visible ASCII without commas.
    pub tags: Vec<String>,
}

impl Value {
    /// A value that is fresh for as long as the group says.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), ..Self::default() }
    }

    /// Sets how long it is fresh. Zero: it is given to those who wait, and not stored.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Sets how long past its freshness it is given at once, while one load makes it anew.
    #[must_use]
    pub fn stale_while_revalidate(mut self, window: Duration) -> Self {
        self.stale_while_revalidate = Some(window);
        self
    }

    /// Sets how long past its freshness it is given when the getter fails.
    #[must_use]
    pub fn stale_if_error(mut self, window: Duration) -> Self {
        self.stale_if_error = Some(window);
        self
    }

    /// Adds a tag: all values with it can be removed at once.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }
}

impl<B: Into<Bytes>> From<B> for Value {
    fn from(bytes: B) -> Self {
        Self::new(bytes)
    }
}

/// Why there is no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no value for this key. It is remembered for `ttl`; `None`: as the group has it.
    #[error("not found")]
    NotFound {
        /// How long this is remembered. A getter sets it.
        ttl: Option<Duration>,
    },
    /// The getter failed, with this text.
    #[error("{0}")]
    Getter(String),
    /// The getter took longer than the group's `timeout`.
    #[error("the getter gave no answer in time")]
    Timeout,
    /// More loads than the group's `max_loads`, or no memory for another.
    #[error("more loads than the node may have at once")]
    Overload,
    /// The key is too long.
    #[error("the key is longer than {0} bytes")]
    Key(usize),
    /// The value is not what its codec reads or writes.
    #[error("codec: {0}")]
    Codec(String),
    /// A value that was set is in no store.
    #[error("not stored: {0}")]
    NotStored(String),
    /// A fault of this process, or of a node of another version.
    #[error("internal fault: {0}")]
    Internal(&'static str),
}

impl Error {
    /// A getter's failure. All who wait get its text, up to 1,024 bytes; nothing is stored.
    pub fn new(what: impl Display) -> Self {
        Self::Getter(what.to_string())
    }

    /// There is no value, which is remembered as long as the group says.
    pub fn not_found() -> Self {
        Self::NotFound { ttl: None }
    }

    /// There is no value, which is remembered for this time.
    pub fn not_found_for(ttl: Duration) -> Self {
        Self::NotFound { ttl: Some(ttl) }
    }

    /// Whether the getter said that there is no value.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}

/// A getter as a trait object.
pub(crate) trait DynGetter: Send + Sync {
    fn call<'a>(&'a self, key: &'a str) -> Pin<Box<dyn Future<Output = Result<Value, Error>> + Send + 'a>>;
}

impl<G: Getter> DynGetter for G {
    fn call<'a>(&'a self, key: &'a str) -> Pin<Box<dyn Future<Output = Result<Value, Error>> + Send + 'a>> {
        Box::pin(self.get(key))
    }
}

/// A group's getter, with its limits.
#[derive(Clone)]
pub(crate) struct GetterOrigin {
    pub(super) getter: Arc<dyn DynGetter>,
    pub(super) timeout: Duration,
    pub(super) bytes: u64,
}

impl GetterOrigin {
    /// Returns how long a call may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Returns the bytes of the store that its group may take.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Calls the getter. A panic, a hang and a value of more than `most` bytes are errors; the text of an error is
    /// bounded.
    pub(crate) async fn get(&self, key: &str, most: u64) -> Result<Value, Error> {
        // The first call is inside: it may panic before there is a future.
        let call = AssertUnwindSafe(async { self.getter.call(key).await }).catch_unwind();
        match timeout(self.timeout, call).await {
            Err(_) => Err(Error::Timeout),
            Ok(Err(panic)) => Err(Error::Getter(cut(format!("the getter panicked: {}", text_of(&*panic))))),
            Ok(Ok(Err(Error::NotFound { ttl }))) => Err(Error::NotFound { ttl }),
            Ok(Ok(Err(Error::Getter(text)))) => Err(Error::Getter(cut(text))),
            Ok(Ok(Err(other))) => Err(Error::Getter(cut(other.to_string()))),
            Ok(Ok(Ok(value))) if value.bytes.len() as u64 > most => Err(Error::Getter(format!(
                "the value is {} bytes, more than the {most} of the group",
                value.bytes.len()
            ))),
            Ok(Ok(Ok(value))) => Ok(value),
        }
    }
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no text")
}

/// Cuts a text, between two characters.
fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(getter: impl Getter) -> GetterOrigin {
        GetterOrigin { getter: Arc::new(getter), timeout: Duration::from_secs(1), bytes: 0 }
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_a_hang_a_huge_value_and_a_long_text_are_errors() {
        let ask = async |getter: GetterOrigin| getter.get("k", 10).await;
        let panics = origin(|key: String| async move { panic!("no {key}") });
        assert_eq!(ask(panics).await, Err(Error::new("the getter panicked: no k")));
        let panics_at_once = origin(|_: String| -> std::future::Ready<Result<Value, Error>> { panic!("at once") });
        assert_eq!(ask(panics_at_once).await, Err(Error::new("the getter panicked: at once")));
        assert_eq!(ask(origin(|_: String| std::future::pending())).await, Err(Error::Timeout));
        let huge = origin(|_: String| async { Ok(Value::from(vec![0; 11])) });
        assert_eq!(ask(huge).await, Err(Error::new("the value is 11 bytes, more than the 10 of the group")));
        let long = origin(|_: String| async { Err(Error::new("é".repeat(1_000_001))) });
        assert_eq!(ask(long).await, Err(Error::new("é".repeat(512))));
    }
}
