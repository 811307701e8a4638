//! What this coordinator knows of purges: the log, the lease under which the store may answer, and catching up.

pub(crate) mod catch_up;
pub(crate) mod lease;
pub(crate) mod marks;
pub mod messages;
pub(crate) mod purge_log;
pub(crate) mod state;
