//! Messages: heads, bodies and small responses. Ports and connections are in `server`.

pub mod body;
pub(crate) mod byte_budget;
pub(crate) mod capture;
pub(crate) mod connection_fields;
pub(crate) mod content;
pub mod get;
pub(crate) mod growing;
pub(crate) mod head;
pub(crate) mod interim;
pub(crate) mod names;
pub(crate) mod reply;
pub(crate) mod request_body;
