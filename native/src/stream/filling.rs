//! A request that fills: a copy of its response goes to the owner as it passes.

use super::StreamContext;
use crate::{
    abi::{Body, Map},
    call::STARTING,
    clock,
    envoy::Fields,
    process::Process,
};
use meshcache_protocol::Field;
use meshcache_proxy::request::fill::{self, FillCall};
use std::{cell::Cell, rc::Rc};

/// How long the end of a response waits for the owner, milliseconds.
const MOST_WAIT: u64 = 100;

impl StreamContext {
    /// Starts the call before the request goes on: where this proxy dies, the owner sees the call break off.
    pub(super) fn begin_fill(&self, process: &Process, call: &FillCall) {
        self.filter.add_field(Map::Request, b"cdn-loop", call.installation.as_bytes());
        let mut fields = Fields::default();
        fields.extend(call.fields.iter().map(|(name, value)| -> Field<'_> {
            // Envoy wants the authority under the name of HTTP/1.
            (if *name == ":authority" { b"host" } else { name.as_bytes() }, value.as_bytes())
        }));
        let id = Rc::new(Cell::new(STARTING));
        *self.filling.borrow_mut() = Some(id.clone());
        if self.filter.start_call(&id, &process.cluster, &fields, true).is_err() {
            self.filling.take();
        }
    }

    /// Copies the head of the response. Returns whether the end of the response has to wait.
    pub(super) fn fill_head(&self, is_whole: bool) -> bool {
        if self.filling.borrow().is_none() {
            return false;
        }
        match self.filter.fields(Map::Response).and_then(|fields| fill::head(fields.iter())) {
            Some(head) => self.send_copy(&head),
            // The owner takes what ends here for no response, and gives the load to the next.
            None => {
                if let Some(id) = self.filling.take() {
                    self.filter.send_call_data(id.get(), b"", true);
                }
            }
        }
        is_whole && self.fill_end()
    }

    /// Copies a piece of the response's body. Returns whether the end of the response has to wait.
    pub(super) fn fill_body(&self, is_last: bool) -> bool {
        if self.filling.borrow().is_none() {
            return false;
        }
        let mut pieces = Vec::new();
        self.filter.each_chunk(Body::ReceivedResponse, |chunk| pieces.extend_from_slice(&fill::piece(chunk)));
        if !pieces.is_empty() {
            self.send_copy(&pieces);
        }
        is_last && self.fill_end()
    }

    /// Says that the response was whole. With its stream Envoy ends the call, and proxies on the way then drop what they
    /// have not passed on: so the end of the response waits until the owner has all of the copy. Returns whether it has
    /// to.
    pub(super) fn fill_end(&self) -> bool {
        let Some(id) = self.filling.borrow().as_ref().map(|id| id.get()) else { return false };
        let is_sent = self.filter.send_call_data(id, &fill::END, true);
        let (true, Some(process), Some(slot)) = (is_sent, self.listener.process, self.slot.get()) else { return false };
        if self.filling.borrow().is_none() {
            return false;
        }
        self.holds_end.set(true);
        // An owner that is silent does not keep the client waiting.
        slot.note_head(clock::now().saturating_add(MOST_WAIT));
        process.look_after(slot);
        true
    }

    /// Lets the end of the response go on.
    pub(super) fn release_end(&self) {
        if self.holds_end.replace(false) {
            if let (Some(process), Some(slot)) = (self.listener.process, self.slot.get()) {
                process.look_away(slot);
            }
            self.filter.resume_response();
        }
    }

    /// Takes the end of the call. False: it is another's.
    pub(super) fn fill_is_over(&self, id: u64) -> bool {
        let is_it = self.filling.borrow().as_ref().is_some_and(|filling| filling.get() == id);
        if is_it {
            self.filling.take();
            self.release_end();
        }
        is_it
    }

    fn send_copy(&self, bytes: &[u8]) {
        let Some(id) = self.filling.borrow().as_ref().map(|id| id.get()) else { return };
        // The owner wants no more of it where the call is over.
        if !self.filter.send_call_data(id, bytes, false) {
            self.filling.take();
        }
    }
}
