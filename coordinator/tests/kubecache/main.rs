//! `meshcache-coordinator kubecache`: the program from kubecache's environment, before a real origin.
//! docs/kubecache.md says what it is to do.
// A test that fails says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// Both have the ports and the stopwatch of all tests.
#![allow(clippy::duplicate_mod)]

mod caching;
mod listening;
mod peers;
#[path = "../plane/mod.rs"]
mod plane;
mod pod;
#[path = "../support/mod.rs"]
mod support;
mod variables;
