//! Large files in slices (`limits.slices`).
//!
//! 1. A file is asked for as ever, by its own key. Its owner's load asks the origin for the first slice (`load`,
//!    [`loading`]). What is smaller, or cannot be had in slices, comes whole and is stored as ever.
//! 2. The first slice stands for its file: it has the head, the length, and the strong entity tag that is the version.
//!    It is stored beside the file's key; [`first`] finds it.
//! 3. [`answer`] puts a file together for whoever asks for it, from the slices that the request needs ([`file`],
//!    [`stream`]). Each later slice has a key of its own, with the version in it, and so an owner, a flight and a load
//!    with `If-Match` of its own. What is put together is of one version, or it is cut.
//! 4. Where the origin has another version, the first slice goes, here and at its owner.

mod answer;
mod file;
mod first;
mod loading;
mod stream;

pub(crate) use answer::{answer, join};
pub(crate) use first::{first, reuse};
pub(crate) use loading::{Taken, take};
