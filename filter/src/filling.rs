//! A request that fills: a copy of its response goes to the owner when it is whole. What is not gives the load back.

use crate::{host, root::Configured, stream::StreamContext};
use meshcache_proxy::{
    http::header_map::HeaderMap,
    request::{fill::FillCall, fill_copy::FillCopy},
    stream::StreamState,
};

impl StreamContext {
    /// Begins the copy with the head of the response, if the request fills.
    pub(crate) fn copy_head<'m>(&mut self, read_map: &impl Fn() -> Option<&'m [u8]>, is_whole: bool) {
        let Some(call) = self.take_call() else { return };
        self.filling = self.begin_copy(read_map()).map(|copy| (call.clone(), copy));
        if self.filling.is_none() {
            self.send_copy(&call, &[]);
        } else if is_whole {
            self.copy_body(Vec::new(), true);
        }
    }

    /// Copies a piece of the body.
    pub(crate) fn copy_body(&mut self, piece: Vec<u8>, is_last: bool) {
        let Some((call, mut copy)) = self.filling.take() else { return };
        match (copy.piece(piece, host::now()), is_last) {
            (true, false) => self.filling = Some((call, copy)),
            (true, true) => self.send_copy(&call, &copy.end()),
            (false, _) => self.send_copy(&call, &[]),
        }
    }

    /// Gives back a load whose response is not whole.
    pub(crate) fn give_back(&mut self) {
        let call = self.filling.take().map(|(call, _)| call).or_else(|| self.take_call());
        if let Some(call) = call {
            self.send_copy(&call, &[]);
        }
    }

    /// Takes the call of a request that fills and has no response yet. From then on it is one that passes.
    fn take_call(&mut self) -> Option<Box<FillCall>> {
        match std::mem::take(&mut self.stream.state) {
            StreamState::Fills { cache_status, call } => {
                self.stream.state = StreamState::Passes { cache_status, fallback: None };
                Some(call)
            }
            state => {
                self.stream.state = state;
                None
            }
        }
    }

    fn begin_copy(&self, map: Option<&[u8]>) -> Option<FillCopy> {
        let Configured { worker, .. } = self.root.configured()?;
        FillCopy::begin(HeaderMap::parse(map?)?, &worker.try_borrow().ok()?.envoy.copies, host::now())
    }

    fn send_copy(&self, call: &FillCall, copy: &[u8]) {
        self.root.fill(call, copy);
        host::act_for(self.stream.id);
    }
}
