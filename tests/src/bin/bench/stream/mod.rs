//! Stream: answers that take their time, that are large, or that many take at once.

mod before;
mod crowd;
mod drain;
mod first_byte;
mod over_limit;
mod paced_origin;
mod throughput;

use crate::report::Report;

/// The parts of `stream`: each can be named alone.
pub(crate) const PARTS: [&str; 5] = ["first-byte", "crowd", "throughput", "over-limit", "before"];

/// One part.
pub(crate) async fn run(part: &str, report: &Report) {
    match part {
        "first-byte" => first_byte::run(report).await,
        "crowd" => crowd::run(report).await,
        "throughput" => throughput::run(report).await,
        "over-limit" => over_limit::run(report).await,
        _ => before::run(report).await,
    }
}
