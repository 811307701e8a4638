//! A request that fills: a copy of its response goes to the owner as it passes.

use super::StreamContext;
use crate::{
    abi::{Body, Map},
    call::STARTING,
    envoy::Fields,
    process::Process,
};
use meshcache_protocol::Field;
use meshcache_proxy::request::fill::{self, FillCall};
use std::{cell::Cell, rc::Rc};

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

    /// Copies the head of the response.
    pub(super) fn fill_head(&self, is_whole: bool) {
        if self.filling.borrow().is_none() {
            return;
        }
        match self.filter.fields(Map::Response).and_then(|fields| fill::head(fields.iter())) {
            Some(head) => self.send_copy(&head, false),
            // The owner takes this for no response, and gives the load to the next.
            None => self.send_copy(b"", true),
        }
        if is_whole {
            self.fill_end();
        }
    }

    /// Copies a piece of the response's body.
    pub(super) fn fill_body(&self, is_last: bool) {
        if self.filling.borrow().is_none() {
            return;
        }
        let mut pieces = Vec::new();
        self.filter.each_chunk(Body::ReceivedResponse, |chunk| pieces.extend_from_slice(&fill::piece(chunk)));
        if !pieces.is_empty() {
            self.send_copy(&pieces, false);
        }
        if is_last {
            self.fill_end();
        }
    }

    /// Says that the response was whole.
    pub(super) fn fill_end(&self) {
        self.send_copy(&fill::END, true);
    }

    /// Takes the end of the call. False: it is another's.
    pub(super) fn fill_is_over(&self, id: u64) -> bool {
        let is_it = self.filling.borrow().as_ref().is_some_and(|filling| filling.get() == id);
        if is_it {
            self.filling.take();
        }
        is_it
    }

    fn send_copy(&self, bytes: &[u8], is_last: bool) {
        let Some(id) = self.filling.borrow().as_ref().map(|id| id.get()) else { return };
        // The owner wants no more of it where the call is over.
        if is_last || !self.filter.send_call_data(id, bytes, false) {
            self.filling.take();
        }
        if is_last {
            self.filter.send_call_data(id, bytes, true);
        }
    }
}
