//! The tables of a shard: each group has one for each type of entry.

/// Locks, each with all tables: enough that cores seldom meet at one.
pub(super) const SHARDS: usize = 16;

/// The types of entries, groupcache's two caches. Their labels are metric labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheType {
    /// Loaded here, or taken from a coordinator that had loaded it.
    #[default]
    Main,
    /// A copy of what another coordinator owns.
    Hot,
}

impl CacheType {
    /// Both types.
    pub const ALL: [Self; 2] = [Self::Main, Self::Hot];

    /// Returns the metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Hot => "hot",
        }
    }
}

/// The place of a table in its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TableId(u32);

impl TableId {
    /// Returns the table of a quota and a type.
    pub(super) const fn of(quota: u32, cache_type: CacheType) -> Self {
        let hot = match cache_type {
            CacheType::Main => 0,
            CacheType::Hot => 1,
        };
        Self(quota.saturating_mul(2).saturating_add(hot))
    }

    /// Returns all tables in the order of their places.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..).map(Self)
    }

    /// Returns its place.
    pub(super) const fn index(self) -> usize {
        self.0 as usize
    }

    /// Returns the id of its quota.
    pub(super) const fn quota(self) -> u32 {
        self.0 / 2
    }

    /// Returns the type of its entries.
    pub(super) const fn cache_type(self) -> CacheType {
        if self.0.is_multiple_of(2) { CacheType::Main } else { CacheType::Hot }
    }
}

/// A set of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tables {
    /// Those of this quota; of all quotas.
    pub(super) quota: Option<u32>,
    /// Those of this type; of both.
    pub(super) cache_type: Option<CacheType>,
}

impl Tables {
    /// Returns whether a table is among them.
    pub(super) fn has(self, table: TableId) -> bool {
        self.quota.is_none_or(|quota| quota == table.quota())
            && self.cache_type.is_none_or(|cache_type| cache_type == table.cache_type())
    }
}
