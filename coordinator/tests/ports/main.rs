//! What each port answers, and to whom.
// A test that fails says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod admin;
mod data;
mod mesh;
mod peer;
mod status;
#[path = "../support/mod.rs"]
mod support;

const ADMIN: &[(&str, &str)] = &[("authorization", "Bearer admin-token")];
const PEER: &[(&str, &str)] = &[("authorization", "Bearer peer-token")];
