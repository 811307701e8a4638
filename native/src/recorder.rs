//! The driver's host: it records what is to be done, since the driver runs under a lock.

use crate::{
    envoy::{self, Filter, MapFields},
    reply::{OwnedReply, Parts},
    wake::{OutgoingCall, Slot, Task},
};
use meshcache_protocol::Field;
use meshcache_proxy::{
    driver::Driver,
    host::{CallError, Carrier, Host, Level},
    http::{Headers, header_map},
    request::reply::Reply,
    state::{
        group_counts::{self, GroupCounts},
        shared_data::{InProcessData, SharedData},
    },
    stream::StreamState,
};
use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// What the driver wants done.
#[derive(Default)]
pub(crate) struct Tasks {
    /// By streams that wait.
    pub(crate) of_streams: Vec<(Arc<Slot>, Task)>,
    /// By the main thread: callouts that belong to no stream.
    pub(crate) calls: Vec<OutgoingCall>,
    /// Counters, by their index among `state::counters::metric_names`, and what is added.
    pub(crate) counts: BTreeMap<usize, u64>,
    /// Requests by group and outcome.
    pub(crate) groups: GroupCounts,
    /// Gauges, by their index among `state::counters::GAUGES`, and their values.
    pub(crate) gauges: BTreeMap<usize, u64>,
    pub(crate) log: Vec<(Level, String)>,
    /// The reply to the stream whose request is being decided.
    pub(crate) reply: Option<OwnedReply>,
}

impl Tasks {
    /// Takes counters and gauges over from others, which came later.
    pub(crate) fn take_metrics(&mut self, later: &mut Self) {
        std::mem::take(&mut later.counts).into_iter().for_each(|(at, n)| add(&mut self.counts, at, n));
        self.gauges.append(&mut later.gauges);
        group_counts::merge(&mut self.groups, &std::mem::take(&mut later.groups));
    }
}

/// The streams that wait, and the data that a worker would share with others.
#[derive(Default)]
pub(crate) struct HostState {
    pub(crate) slots: HashMap<u32, Arc<Slot>>,
    shared: InProcessData,
    token: u32,
}

/// The host in one call of the driver.
pub(crate) struct Recorder<'a> {
    pub(crate) state: &'a mut HostState,
    pub(crate) tasks: &'a mut Tasks,
    selected: Option<Arc<Slot>>,
    /// The streams that wait no longer, with their replies.
    settled: Vec<(Arc<Slot>, Option<OwnedReply>)>,
}

impl<'a> Recorder<'a> {
    pub(crate) fn new(state: &'a mut HostState, tasks: &'a mut Tasks) -> Self {
        Self { state, tasks, selected: None, settled: Vec::new() }
    }

    /// Hands the streams that wait no longer their new states.
    pub(crate) fn settle(self, driver: &mut Driver) {
        for (slot, mut reply) in self.settled {
            self.state.slots.remove(&slot.stream);
            let state = driver.take_settled(slot.stream).unwrap_or_default();
            if let (Some(reply), StreamState::Replied(restore)) = (&mut reply, &state) {
                reply.restore(restore);
            }
            self.tasks.of_streams.push((slot, Task::Settle(state, reply)));
        }
    }
}

impl Host for Recorder<'_> {
    fn call(
        &mut self,
        carrier: Carrier,
        headers: &Headers<'_>,
        body: Option<&[u8]>,
        timeout: u64,
    ) -> Result<u32, CallError> {
        let slot = match carrier {
            Carrier::Worker => None,
            Carrier::Stream(stream) => Some(self.state.slots.get(&stream).cloned().ok_or(CallError::Refused)?),
        };
        self.state.token = self.state.token.wrapping_add(1);
        let token = self.state.token;
        let map = encode(headers);
        let call = OutgoingCall { token, map, body: body.unwrap_or_default().to_vec(), timeout };
        match slot {
            Some(slot) => self.tasks.of_streams.push((slot, Task::Call(call))),
            None => self.tasks.calls.push(call),
        }
        Ok(token)
    }

    fn select(&mut self, stream: u32) -> bool {
        self.selected = self.state.slots.get(&stream).cloned();
        self.selected.is_some()
    }

    fn reply(&mut self, reply: &Reply<'_>) -> bool {
        let reply = OwnedReply::of(reply);
        match self.selected.take() {
            Some(slot) => self.settled.push((slot, Some(reply))),
            None => self.tasks.reply = Some(reply),
        }
        true
    }

    fn resume(&mut self) {
        self.settled.extend(self.selected.take().map(|slot| (slot, None)));
    }

    fn shared_data(&mut self) -> &mut dyn SharedData {
        &mut self.state.shared
    }

    fn add_to_counter(&mut self, counter: usize, n: u64) {
        add(&mut self.tasks.counts, counter, n);
    }

    fn add_to_groups(&mut self, counts: &GroupCounts) {
        group_counts::merge(&mut self.tasks.groups, counts);
    }

    fn set_gauge(&mut self, gauge: usize, value: u64) {
        self.tasks.gauges.insert(gauge, value);
    }

    fn log(&mut self, level: Level, line: &str) {
        self.tasks.log.push((level, line.to_owned()));
    }
}

/// The host of a request that is being decided: what is given at once is given without a lock.
pub(crate) struct DirectHost<'a> {
    pub(crate) filter: &'a Filter,
    pub(crate) to_head: bool,
    /// Set before the reply is sent.
    pub(crate) replies: &'a Cell<bool>,
    /// The head of a request that may come again. Envoy may drop it when the reply is sent.
    pub(crate) may_repeat: Option<&'a MapFields<'a>>,
    /// Its header map, once the reply is sent.
    pub(crate) map: Option<Vec<u8>>,
    pub(crate) none: InProcessData,
}

impl Host for DirectHost<'_> {
    fn call(&mut self, _: Carrier, _: &Headers<'_>, _: Option<&[u8]>, _: u64) -> Result<u32, CallError> {
        Err(CallError::Refused)
    }

    fn select(&mut self, _: u32) -> bool {
        false
    }

    fn reply(&mut self, reply: &Reply<'_>) -> bool {
        self.map = self.may_repeat.map(|fields| header_map::encode(fields.iter()));
        self.replies.set(true);
        Parts::of(reply).send(self.filter, self.to_head);
        true
    }

    fn resume(&mut self) {}

    fn shared_data(&mut self) -> &mut dyn SharedData {
        &mut self.none
    }

    fn add_to_counter(&mut self, _: usize, _: u64) {}

    fn set_gauge(&mut self, _: usize, _: u64) {}

    fn log(&mut self, level: Level, line: &str) {
        envoy::log(level, line);
    }
}

fn add(counts: &mut BTreeMap<usize, u64>, counter: usize, n: u64) {
    let count = counts.entry(counter).or_default();
    *count = count.saturating_add(n);
}

/// The header map of a callout.
pub(crate) fn encode(headers: &Headers<'_>) -> Vec<u8> {
    header_map::encode(headers.iter().map(|(name, value)| field(name, value)))
}

/// A field of a callout. Envoy wants the authority under the name of HTTP/1.
fn field<'a>(name: &'a str, value: &'a str) -> Field<'a> {
    (if name == ":authority" { b"host" } else { name.as_bytes() }, value.as_bytes())
}
