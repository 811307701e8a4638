//! The least that a filter can do in either host: floors under the cost of the real one.

// The crate is a module and nothing else: its exports are its interface.
#![allow(missing_docs)]

#[cfg(target_family = "wasm")]
mod lookup;
// A test program has no Envoy to be linked with.
#[cfg(not(any(target_family = "wasm", test)))]
mod native;
#[cfg(target_family = "wasm")]
mod wasm;
