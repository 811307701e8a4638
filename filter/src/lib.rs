//! meshcache: filter.
