//! A group: values of one kind, by key, each made by the group's getter.

use crate::codec::Codec;
use bytes::Bytes;
use meshcache_coordinator::embedded::{self, Error, Stats, Value};
use std::sync::Arc;

/// A group of a node. Clones are the same group.
#[derive(Clone)]
pub struct Group(pub(crate) Arc<embedded::Group>);

/// What a removal has removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Removed {
    /// Values, on all nodes.
    pub entries: u64,
    /// Nodes that did not answer. They have stopped giving what they store, and learn of the removal before they begin
    /// again.
    pub unreached: Vec<String>,
}

impl Group {
    /// Its name.
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// Gets the value of a key: from this node's store, from the key's owner, or from the getter. Whoever asks for the
    /// same key meanwhile gets the same. A fresh value in this node's store is given without a yield to the runtime.
    ///
    /// # Errors
    /// The getter's, or [`Error::Timeout`] and [`Error::Overload`]. The next call starts anew.
    #[inline]
    pub async fn get(&self, key: &str) -> Result<Bytes, Error> {
        self.0.get(key).await
    }

    /// Gets a value and reads it.
    ///
    /// # Errors
    /// Those of [`Group::get`], and [`Error::Codec`].
    pub async fn get_as<T: Codec>(&self, key: &str) -> Result<T, Error> {
        T::decode(self.get(key).await?)
    }

    /// Returns the fresh value that this node has, or the key's owner. The getter is not asked.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it is known that there is none.
    pub async fn peek(&self, key: &str) -> Result<Option<Bytes>, Error> {
        self.0.peek(key).await
    }

    /// Stores a value at its owner, in place of all others: after this returns, each node gets it.
    ///
    /// # Errors
    /// [`Error::NotStored`]: the value is too large, or the owner refuses it. What there was is gone.
    pub async fn set(&self, key: &str, value: impl Into<Value>) -> Result<(), Error> {
        self.0.set(key, value.into()).await
    }

    /// Removes a key from all nodes. A load that is under way is given to those who wait, and not stored.
    ///
    /// # Errors
    /// [`Error::Key`].
    pub async fn remove(&self, key: &str) -> Result<Removed, Error> {
        self.remove_many(&[key]).await
    }

    /// Removes several keys from all nodes, at once.
    ///
    /// # Errors
    /// [`Error::Key`].
    pub async fn remove_many(&self, keys: &[&str]) -> Result<Removed, Error> {
        self.0.remove(keys).await.map(Removed::from)
    }

    /// Removes all values with one of these tags from all nodes.
    pub async fn remove_tags(&self, tags: &[&str]) -> Removed {
        self.0.remove_tags(tags).await.into()
    }

    /// Removes all values of the group from all nodes.
    pub async fn clear(&self) -> Removed {
        self.0.clear().await.into()
    }

    /// What the group has counted on this node.
    pub fn stats(&self) -> Stats {
        self.0.stats()
    }
}

impl From<embedded::PurgeReport> for Removed {
    fn from(report: embedded::PurgeReport) -> Self {
        Self { entries: report.entries, unreached: report.unreached }
    }
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group").field("name", &self.name()).finish_non_exhaustive()
    }
}
