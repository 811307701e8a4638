//! One stream of the host: a request from its head to the end of its response.

use crate::{
    host::Host,
    request::{
        fill::FillCall,
        invalidation,
        observe::{ObservedRequest, ObservedResponse},
        stale_fallback::StaleFallback,
    },
    state::{counters::Event, listener_config::ListenerConfig, worker::Worker},
};
use meshcache_protocol::{Field, Response};

/// The state of a request.
#[derive(Default)]
pub enum StreamState {
    /// It is not one of the cache, and its response is left alone.
    #[default]
    Unnoticed,
    /// It passes to the service.
    Passes {
        /// Its Cache-Status.
        cache_status: Option<String>,
        /// The response that replaces a failure of the service.
        fallback: Option<Box<StaleFallback>>,
    },
    /// It passes to the service, and the host sends the owner a copy of its response. It goes on as one that passes.
    Fills {
        /// Its Cache-Status.
        cache_status: Option<String>,
        /// The call with the copy.
        call: Box<FillCall>,
    },
    /// It passes to the service, and its response is to be observed.
    Observed(Box<ObservedRequest>),
    /// The body of its response is observed.
    Hashed(Box<ObservedResponse>),
    /// It waits for a lookup.
    Waits,
    /// It got a reply, from which Envoy removed these fields.
    Replied(Vec<(&'static str, Vec<u8>)>),
}

impl StreamState {
    /// The state of a request that passes because the host refused something.
    pub fn refused() -> Self {
        Self::Passes { cache_status: None, fallback: None }
    }
}

/// One stream.
pub struct Stream {
    /// The host's number for it.
    pub id: u32,
    /// The state of its request.
    pub state: StreamState,
    /// The header map of a request that may invalidate what is stored.
    pub(crate) unsafe_request: Option<Vec<u8>>,
}

/// The current time.
#[derive(Clone, Copy, Debug)]
pub struct Time {
    /// Milliseconds of a monotonic clock.
    pub now: u64,
    /// Unix milliseconds.
    pub wall: u64,
}

/// The change that the host makes to the head of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponseEdit {
    /// Nothing.
    None,
    /// It drops the response: a reply was given in its place.
    Replaced,
    /// It sets these fields.
    Restore(Vec<(&'static str, Vec<u8>)>),
    /// It removes the service's own meshcache-* headers and adds this Cache-Status.
    Annotate(Option<String>),
}

impl Stream {
    /// A stream whose request has not arrived yet.
    pub fn new(id: u32) -> Self {
        Self { id, state: StreamState::Unnoticed, unsafe_request: None }
    }

    /// Returns whether there is nothing to do with the response.
    pub fn ignores_response(&self) -> bool {
        match &self.state {
            StreamState::Unnoticed => !self.is_unsafe(),
            StreamState::Replied(restore) => restore.is_empty(),
            _ => false,
        }
    }

    /// Returns whether the request may invalidate what is stored.
    pub fn is_unsafe(&self) -> bool {
        self.unsafe_request.is_some()
    }

    /// Takes the call of a request that fills. From then on it is one that passes.
    pub fn take_fill(&mut self) -> Option<Box<FillCall>> {
        match std::mem::take(&mut self.state) {
            StreamState::Fills { cache_status, call } => {
                self.state = StreamState::Passes { cache_status, fallback: None };
                Some(call)
            }
            state => {
                self.state = state;
                None
            }
        }
    }

    /// Takes the head of the response where that needs no worker: of a request that passes, or that got a reply. Returns
    /// `None` where [`Stream::response_head`] has to.
    pub fn response_alone(&mut self) -> Option<ResponseEdit> {
        let edit = match &mut self.state {
            StreamState::Passes { cache_status, fallback: None } if self.unsafe_request.is_none() => {
                ResponseEdit::Annotate(cache_status.take())
            }
            StreamState::Replied(restore) => ResponseEdit::Restore(std::mem::take(restore)),
            _ => return None,
        };
        self.state = StreamState::Unnoticed;
        Some(edit)
    }

    /// Takes the head of the response. `fields` reads its header map, and `time` the clocks. Both cost a call of the
    /// host, so they are called only when they are needed.
    pub fn response_head<'f>(
        &mut self,
        worker: &mut Worker,
        host: &mut dyn Host,
        listener: &ListenerConfig,
        fields: &dyn Fn() -> Option<Vec<Field<'f>>>,
        time: &dyn Fn() -> Time,
    ) -> ResponseEdit {
        match std::mem::take(&mut self.state) {
            StreamState::Unnoticed | StreamState::Waits | StreamState::Hashed(_) => {
                self.invalidate(worker, listener, fields, time);
                ResponseEdit::None
            }
            StreamState::Observed(request) => {
                let (fields, Time { now, wall }) = (fields().unwrap_or_default(), time());
                if let Some(response) = response(&fields)
                    && let Some(observed) = request.response(worker, &response, now, wall)
                {
                    self.state = StreamState::Hashed(Box::new(observed));
                }
                ResponseEdit::None
            }
            StreamState::Replied(restore) => ResponseEdit::Restore(restore),
            StreamState::Fills { cache_status, .. } => ResponseEdit::Annotate(cache_status),
            StreamState::Passes { cache_status, fallback } => {
                if let Some(mut fallback) = fallback {
                    let fields = fields().unwrap_or_default();
                    let status = response(&fields).map_or(0, |response| response.status);
                    if let Some(reply) = fallback.reply(status, worker, time().now) {
                        worker.counters.count_event(Event::StaleIfError);
                        if host.reply(&reply) {
                            return ResponseEdit::Replaced;
                        }
                    }
                }
                self.invalidate(worker, listener, fields, time);
                ResponseEdit::Annotate(cache_status)
            }
        }
    }

    /// Takes a piece of the response's body.
    pub fn response_body(&mut self, worker: &mut Worker, piece: &[u8], is_last: bool, now: u64) {
        if !self.is_hashed() {
            return;
        }
        let StreamState::Hashed(observed) = std::mem::take(&mut self.state) else { return };
        let Some(observed) = observed.piece(piece) else { return };
        if is_last {
            observed.finish(worker, now);
        } else {
            self.state = StreamState::Hashed(Box::new(observed));
        }
    }

    /// Returns whether the body of the response is observed.
    pub fn is_hashed(&self) -> bool {
        matches!(self.state, StreamState::Hashed(_))
    }

    /// Invalidates what the request has changed, if it was unsafe and the service carried it out.
    fn invalidate<'f>(
        &mut self,
        worker: &mut Worker,
        listener: &ListenerConfig,
        fields: &dyn Fn() -> Option<Vec<Field<'f>>>,
        time: &dyn Fn() -> Time,
    ) {
        let Some(request) = self.unsafe_request.take() else { return };
        let fields = fields().unwrap_or_default();
        if let Some(response) = response(&fields) {
            invalidation::examine(worker, listener, &request, &response, time().now);
        }
    }
}

fn response<'a>(fields: &'a [Field<'a>]) -> Option<Response<'a>> {
    let (_, status) = fields.iter().find(|(name, _)| *name == b":status")?;
    Some(Response { status: std::str::from_utf8(status).ok()?.parse().ok()?, fields })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_that_passes_needs_no_worker_unless_its_request_may_have_changed_something() {
        let passes = || StreamState::Passes { cache_status: Some("m; fwd=bypass".into()), fallback: None };
        let mut stream = Stream { state: passes(), ..Stream::new(1) };
        assert_eq!(stream.response_alone(), Some(ResponseEdit::Annotate(Some("m; fwd=bypass".into()))));
        assert!(stream.ignores_response(), "once");
        let mut unsafe_one = Stream { state: passes(), unsafe_request: Some(Vec::new()), ..Stream::new(2) };
        assert_eq!(unsafe_one.response_alone(), None);
        assert_eq!(Stream { state: StreamState::Waits, ..Stream::new(3) }.response_alone(), None);
    }
}
