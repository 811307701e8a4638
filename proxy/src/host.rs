//! The seam to the host.

use crate::{
    http::Headers,
    request::{fill::FillCall, reply::Reply},
    state::{group_counts::GroupCounts, shared_data::SharedData},
};

/// The functions of a host that the driver of a worker uses. Time comes with each call of the driver.
pub trait Host {
    /// Sends a callout to a coordinator, with a timeout in milliseconds. Returns the token under which its result comes
    /// back.
    fn call(
        &mut self,
        carrier: Carrier,
        headers: &Headers<'_>,
        body: Option<&[u8]>,
        timeout: u64,
    ) -> Result<u32, CallError>;
    /// Selects the stream that `reply` and `resume` act on. Returns whether it is still there. In a stream's own
    /// callback that stream is selected already.
    fn select(&mut self, stream: u32) -> bool;
    /// Replies to the selected stream. Returns whether that succeeded.
    fn reply(&mut self, reply: &Reply<'_>) -> bool;
    /// Notes that the selected stream fills. It is resumed right after.
    fn fills(&mut self, _: &FillCall) {}
    /// Lets the selected stream, which waited, go on. It takes its new state from `Driver::take_settled`.
    fn resume(&mut self);
    /// The data that the workers of this proxy share.
    fn shared_data(&mut self) -> &mut dyn SharedData;
    /// Adds to a counter, by its index among the names in `state::counters::metric_names`.
    fn add_to_counter(&mut self, counter: usize, n: u64);
    /// Adds the requests of each group by outcome, where the host's metrics have labels.
    fn add_to_groups(&mut self, _: &GroupCounts) {}
    /// Sets a gauge, by its index among `state::counters::GAUGES`.
    fn set_gauge(&mut self, gauge: usize, value: u64);
    /// Writes a line to the host's log.
    fn log(&mut self, level: Level, line: &str);
}

/// What a callout belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// The worker.
    Worker,
    /// This stream, where the host's callouts end with the stream that sent them: then [`Driver::lose_call`] has to
    /// follow.
    ///
    /// [`Driver::lose_call`]: crate::driver::Driver::lose_call
    Stream(u32),
}

/// The reason why a callout could not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The host has no such cluster.
    NoCluster,
    /// Any other reason.
    Refused,
}

/// The level of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Something is not as it should be.
    Warning,
    /// The filter does not work.
    Critical,
}
