//! What becomes of callouts: results, heads whose bodies are on their way, and callouts that are lost.

use super::{CallResponse, Driver};
use crate::{
    feed::Moment,
    host::{CallError, Host, Level},
    http::{
        Headers,
        peer_response::{PeerFailure, PeerHead, PeerResponse},
    },
    request::{
        callout,
        response::{Lookups, StreamedHead},
        sample,
    },
    state::pending::PendingCall,
};

impl Driver {
    /// Takes the result of a callout. `None`: there is no response, or a larger one than the host buffers. A call of
    /// [`Driver::flush`] has to follow. `wall`: Unix milliseconds.
    pub fn call_returned(
        &mut self,
        host: &mut dyn Host,
        token: u32,
        response: Option<CallResponse<'_>>,
        at: Moment,
        wall: u64,
    ) {
        if self.feed_token == Some(token) {
            self.feed_token = None;
            let is_ok = |response: &CallResponse<'_>| response.fields.contains(&(b":status", b"200"));
            let body = response.filter(is_ok).map(|response| response.body);
            let (line, next) = self.feed.receive(&mut self.worker, host.shared_data(), body.as_deref(), at);
            if let Some(line) = line {
                host.log(Level::Warning, &line);
            }
            self.send_feed(host, next, at);
        } else if let Some(lookup) = self.worker.samples.take_call(token) {
            sample::compare(&mut self.worker, &lookup, read(response, false), at.now, wall);
        } else if let Some(call) = self.worker.lookups.take_call(token) {
            let to_head = self.worker.lookups.get(call.lookup).is_some_and(|lookup| lookup.request.to_head);
            self.receive(&call, read(response, to_head), at.now);
        }
    }

    /// Takes a coordinator's response to a lookup, in a host that reads it piece by piece. A call of [`Driver::flush`] has
    /// to follow.
    pub fn lookup_returned(&mut self, token: u32, response: Result<PeerResponse, PeerFailure>, now: u64) {
        if let Some(call) = self.worker.lookups.take_call(token) {
            self.receive(&call, response, now);
        }
    }

    /// Takes the head of a coordinator's response to a lookup, whose body is on its way. The stream that carries the
    /// callout replies with it at once. `None`: it does not wait for this response, or it has to come whole.
    pub fn begin_stream(&mut self, token: u32, head: &PeerHead, now: u64) -> Option<StreamedHead> {
        Lookups { worker: &mut self.worker, now }.begin_stream(token, head)
    }

    /// Returns the headers of a lookup of the whole response at the key's next peer, for a leader that lost the peer in the
    /// middle of it. Before the end is taken. `None`: there is no other peer.
    pub fn go_on(&mut self, token: u32, now: u64) -> Option<Headers<'_>> {
        let id = Lookups { worker: &mut self.worker, now }.go_on(token)?;
        let lookup = self.worker.lookups.get(id)?;
        let since_change = self.worker.invalidations.since_change(lookup.request.key.hash(), lookup.sent);
        callout::compose(lookup, self.worker.snapshot()?, self.worker.purge_ack(), since_change)
    }

    /// Takes the end of such a response, where no copy was kept. A call of [`Driver::flush`] has to follow.
    pub fn end_stream(&mut self, token: u32, is_whole: bool, now: u64) {
        if let Some(call) = self.worker.lookups.take_call(token) {
            let step = Lookups { worker: &mut self.worker, now }.end_stream(&call, is_whole);
            self.carry_out(step);
        }
    }

    /// Takes a callout back that the host could not send after all. A call of [`Driver::flush`] has to follow.
    pub fn call_refused(&mut self, host: &mut dyn Host, token: u32, error: CallError, at: Moment) {
        if self.feed_token == Some(token) {
            self.feed_token = None;
            self.fail_feed(host, error, at);
        } else if self.worker.samples.take_call(token).is_none() {
            self.lookup_returned(token, Err(PeerFailure::Peer), at.now);
        }
    }

    /// Takes a callout that ended with the stream that carried it. The next of the requests that wait looks up in its
    /// place. A call of [`Driver::flush`] has to follow.
    pub fn lose_call(&mut self, token: u32, now: u64) {
        if let Some(call) = self.worker.lookups.take_call(token)
            && let Some(callout) = (Lookups { worker: &mut self.worker, now }).succeed(call.lookup)
        {
            self.outbox.push(callout);
        }
    }

    fn receive(&mut self, call: &PendingCall, response: Result<PeerResponse, PeerFailure>, now: u64) {
        let step = Lookups { worker: &mut self.worker, now }.receive(call, response);
        self.carry_out(step);
    }

    /// Fails the call of a lookup that could not be sent, or whose result never came.
    pub(super) fn fail_call(&mut self, id: u32, now: u64) {
        if let Some(call) = self.worker.lookups.get(id).map(|lookup| PendingCall::new(id, lookup)) {
            self.receive(&call, Err(PeerFailure::Peer), now);
        }
    }
}

fn read(response: Option<CallResponse<'_>>, to_head: bool) -> Result<PeerResponse, PeerFailure> {
    match response {
        Some(CallResponse { fields, body }) => PeerResponse::of(fields.into_iter(), body, to_head),
        None => Err(PeerFailure::Stream),
    }
}
