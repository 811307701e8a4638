//! The admin port: how it is found, and how it is called.

mod address;
mod call;
#[cfg(feature = "kube")]
mod cluster;
mod connection;
mod flags;
mod lines;
mod tls;

pub use call::Server;
pub use flags::ServerFlags;
pub use lines::Lines;
