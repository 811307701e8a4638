//! meshcache: coordinator.
