//! A body that grows while many read it, each at its own pace from the first byte on. It is in memory once.

mod filling;
mod growing_body;
mod reader;
mod room;
mod state;
#[cfg(test)]
mod tests;
mod wait;

pub(crate) use filling::{Filled, Filling, Overflow, UNREAD};
pub(crate) use growing_body::{GrowingBody, Resume};
pub(crate) use room::Patience;
