//! HTTP caching: which responses may be stored, how long they are fresh, and which requests they may answer.
//!
//! RFC 9111 for a shared cache, with the group's rules. A decision is a value with its reason; `now` is an argument.
//! Wall-clock times (Unix milliseconds) are for Date, Expires and Last-Modified only; the time that a response has been
//! stored (`resident`) comes from a monotonic clock. `docs/http.md` has each rule with its test.
//!
//! For a response from the origin: [`store`], then [`storable`] and [`Selecting::of`]. For a 304: [`confirms`], then
//! [`freshened`], whose result is treated as a response from the origin. For a request: [`Selecting::matches`],
//! [`reuse`], then [`part`].

mod accept;
mod age;
mod continuation;
mod control;
mod date;
mod directive;
mod failure;
mod fields;
mod hit_for_pass;
mod invalidate;
mod lifetime;
mod precondition;
mod range;
mod request_directives;
mod reuse;
mod sharing;
mod store;
mod stored;
mod targeted;
#[cfg(test)]
mod test_case;
mod validator;
mod vary;

pub use crate::status::is_provoked;
pub use age::Times;
pub use continuation::{Continuation, NotContinued, accepts_ranges};
pub use failure::{is_shared_failure, retry_after};
pub use fields::{conditions, confirms, freshened, not_modified, partial, same_representation, storable, strong_tag};
pub use hit_for_pass::HitForPass;
pub use invalidate::{invalidates, is_unsafe, possible_key_fields};
pub use lifetime::LifetimeRule;
pub use precondition::{covers, part};
pub use range::{ContentRange, Part};
pub use reuse::{Reuse, reuse, reuse_on_error};
pub use sharing::{LoadStart, NotCollapsed, is_answered_by_whole, joins, names_user, shares, token_names_user};
pub use store::{NotStored, share, store};
pub use stored::Stored;
pub use vary::{Selecting, Vary};
