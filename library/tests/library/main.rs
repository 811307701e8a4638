//! The library as a program uses it: nodes on loopback, with real sockets between them.
// A test that fails says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod building;
mod changing;
mod codecs;
mod cut_off;
mod loading;
mod mesh;
mod peers;
