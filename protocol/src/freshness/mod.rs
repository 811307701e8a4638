//! Freshness: what may be stored, how long it is good, and what a request may be answered with.
//!
//! RFC 9111 for a shared cache, with the group's rules. A decision is a value with its reason; `now` is an argument.
//! Times on the wall (Unix milliseconds) serve only for Date, Expires and Last-Modified; how long something has been
//! stored (`resident`) comes from a clock that never jumps.

mod fields;
mod precondition;
mod reuse;
mod share;
mod status;
mod store;
mod vary;

pub use fields::{conditions, freshened, not_modified, storable};
pub use precondition::{Part, part};
pub use reuse::{Reuse, reuse, reuse_on_error};
pub use share::{Alone, joins};
pub use status::cache_status;
pub use store::{NotStored, Stored, Times, Why, store};
pub use vary::{Selecting, Vary};
