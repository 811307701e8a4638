//! Certificates: read, checked, and what connections accept by them. No files and no sockets.

mod certificate;
mod client;
mod lifetime;
mod own;
mod peer;
mod pem;
mod port;
#[cfg(test)]
pub(crate) mod tests;

pub use certificate::{Certificate, TlsSession};
pub use client::{client, system_roots, trusting};
pub use lifetime::Lifetime;
pub use peer::PeerTls;
pub use pem::{File, certificates};
pub use port::PortTls;
