//! A stream in Envoy.

use super::{FIELDS, Fields, Scheduler, buffers, functions, outcome};
use crate::abi::{self, Attribute, Body, Buffer, Functions, Header, Map, Object};
use meshcache_protocol::Field;
use meshcache_proxy::host::CallError;
use smallvec::SmallVec;
use std::{cell::Cell, marker::PhantomData, ptr::null_mut};

/// The fields of a header map of Envoy, in place.
pub(crate) struct MapFields<'a> {
    list: SmallVec<[Header; FIELDS]>,
    borrowed: PhantomData<&'a Filter>,
}

impl MapFields<'_> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = Field<'_>> + Clone {
        // SAFETY: Envoy keeps the fields until the hook returns or they are changed. The list borrows the filter, whose
        // hook runs; a field is changed only when the list is no longer used.
        self.list.iter().map(|header| unsafe { header.field() })
    }
}

/// A stream in Envoy. It is used only by the thread of its worker, in hooks; after its end it does nothing.
pub(crate) struct Filter {
    object: Cell<Object>,
}

impl Filter {
    /// The stream of this object.
    ///
    /// # Safety
    /// It must be Envoy's filter object, and [`Filter::end`] must be called before Envoy frees it.
    pub(crate) unsafe fn new(object: Object) -> Self {
        Self { object: Cell::new(object) }
    }

    /// Forgets the object: Envoy destroys it.
    pub(crate) fn end(&self) {
        self.object.set(null_mut());
    }

    pub(crate) fn is_over(&self) -> bool {
        self.object.get().is_null()
    }

    /// Calls Envoy, unless the stream is over.
    fn call<T: Default>(&self, act: impl FnOnce(&'static Functions, Object) -> T) -> T {
        match functions() {
            Some(envoy) if !self.is_over() => act(envoy, self.object.get()),
            _ => T::default(),
        }
    }

    /// Reads a header map.
    pub(crate) fn fields(&self, map: Map) -> Option<MapFields<'_>> {
        self.call(|envoy, filter| {
            let mut list = SmallVec::new();
            // SAFETY: the filter is alive.
            let size = unsafe { (envoy.headers_size)(filter, map as u32) };
            list.resize(size, Header::NONE);
            // SAFETY: the list has room for as many fields as the map has, and nothing changes it in between.
            let is_there = unsafe { (envoy.headers)(filter, map as u32, list.as_mut_ptr()) };
            is_there.then_some(MapFields { list, borrowed: PhantomData })
        })
    }

    /// Sets a field; `None` removes it.
    pub(crate) fn set_field(&self, map: Map, name: &[u8], value: Option<&[u8]>) {
        let value = value.map_or(Buffer::NONE, Buffer::new);
        // SAFETY: the filter is alive, and the bytes are valid during the call.
        self.call(|envoy, filter| unsafe { (envoy.set_header)(filter, map as u32, Buffer::new(name), value) });
    }

    pub(crate) fn add_field(&self, map: Map, name: &[u8], value: &[u8]) {
        // SAFETY: as above.
        self.call(|envoy, filter| unsafe {
            (envoy.add_header)(filter, map as u32, Buffer::new(name), Buffer::new(value))
        });
    }

    /// Sends the head of a reply. The stream may be over when this returns.
    pub(crate) fn send_head(&self, fields: &Fields<'_>, is_last: bool) {
        let Fields { list, .. } = fields;
        // SAFETY: as above.
        self.call(|envoy, filter| unsafe { (envoy.send_headers)(filter, list.as_ptr(), list.len(), is_last) });
    }

    /// Sends a piece of a reply's body. The stream may be over when this returns.
    pub(crate) fn send_data(&self, data: &[u8], is_last: bool) {
        // SAFETY: as above.
        self.call(|envoy, filter| unsafe { (envoy.send_data)(filter, Buffer::new(data), is_last) });
    }

    /// Replies in place of the service, whose response has begun to arrive.
    pub(crate) fn replace_response(&self, status: u16, fields: &Fields<'_>, body: &[u8]) {
        let Fields { list, .. } = fields;
        let details = Buffer::new(b"meshcache");
        // SAFETY: as above.
        self.call(|envoy, filter| unsafe {
            (envoy.send_response)(filter, status.into(), list.as_ptr(), list.len(), Buffer::new(body), details)
        });
    }

    /// Lets the request go on.
    pub(crate) fn resume(&self) {
        // SAFETY: the filter is alive.
        self.call(|envoy, filter| unsafe { (envoy.continue_decoding)(filter) });
    }

    /// Cuts the client off.
    pub(crate) fn reset(&self) {
        // SAFETY: as above.
        self.call(|envoy, filter| unsafe { (envoy.reset_stream)(filter, abi::LOCAL_RESET, Buffer::new(b"meshcache")) });
    }

    /// Starts a callout without a body. Its hooks may run before this returns: then `id` is set already.
    pub(crate) fn start_call(
        &self,
        id: &Cell<u64>,
        cluster: &str,
        fields: &Fields<'_>,
        timeout: u64,
    ) -> Result<(), CallError> {
        let Fields { list, .. } = fields;
        let cluster = Buffer::new(cluster.as_bytes());
        self.call(|envoy, filter| {
            // SAFETY: the filter is alive; the number's place outlives the call, and is a cell, so that hooks may read
            // it meanwhile.
            let result = unsafe {
                (envoy.start_call)(filter, id.as_ptr(), cluster, list.as_ptr(), list.len(), Buffer::NONE, true, timeout)
            };
            Some(outcome(result))
        })
        .unwrap_or(Err(CallError::Refused))
    }

    /// Gives each chunk of the body that the running hook is about.
    pub(crate) fn each_chunk(&self, body: Body, mut take: impl FnMut(&[u8])) {
        self.call(|envoy, filter| {
            // SAFETY: the filter is alive.
            let size = unsafe { (envoy.body_chunks_size)(filter, body as u32) };
            let mut list: SmallVec<[Buffer; 16]> = SmallVec::from_elem(Buffer::NONE, size);
            // SAFETY: the list has room for all chunks.
            if unsafe { (envoy.body_chunks)(filter, body as u32, list.as_mut_ptr()) } {
                // SAFETY: Envoy keeps the chunks until the hook returns.
                list.iter().for_each(|chunk| take(unsafe { chunk.bytes() }));
            }
        });
    }

    /// Returns a text about the request. Copied, since Envoy keeps it only until something is changed.
    pub(crate) fn text(&self, attribute: Attribute) -> Option<Vec<u8>> {
        self.call(|envoy, filter| {
            let mut text = Buffer::NONE;
            // SAFETY: the filter is alive, and so is the text right after the call.
            unsafe { (envoy.attribute_string)(filter, attribute as u32, &mut text).then(|| text.bytes().to_vec()) }
        })
        .filter(|text| !text.is_empty())
    }

    pub(crate) fn number(&self, attribute: Attribute) -> Option<u64> {
        self.call(|envoy, filter| {
            let mut number = 0;
            // SAFETY: the filter is alive.
            unsafe { (envoy.attribute_int)(filter, attribute as u32, &mut number) }.then_some(number)
        })
    }

    /// Returns the cluster of the request's route.
    pub(crate) fn cluster(&self) -> Option<Vec<u8>> {
        self.read_cluster(<[u8]>::to_vec)
    }

    /// Returns whether the request's route has a cluster.
    pub(crate) fn has_cluster(&self) -> bool {
        self.read_cluster(|_| ()).is_some()
    }

    fn read_cluster<T>(&self, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
        self.call(|envoy, filter| {
            let mut name = Buffer::NONE;
            // SAFETY: the filter is alive, and so is the name right after the call.
            let name = unsafe { (envoy.cluster_name)(filter, &mut name).then(|| name.bytes()) };
            name.filter(|name| !name.is_empty()).map(read)
        })
    }

    /// Returns whether a filter has left metadata of this name.
    pub(crate) fn has_metadata(&self, name: &str) -> bool {
        // SAFETY: the filter is alive, and the name is valid during the call.
        self.call(|envoy, filter| unsafe {
            (envoy.metadata_keys)(filter, abi::DYNAMIC_METADATA, Buffer::new(name.as_bytes())) > 0
        })
    }

    /// Makes a scheduler, by which any thread wakes the stream.
    pub(crate) fn scheduler(&self) -> Option<Scheduler> {
        // SAFETY: the filter is alive.
        self.call(|envoy, filter| Some(unsafe { (envoy.scheduler_new)(filter) }))
            .filter(|object| !object.is_null())
            .map(|object| Scheduler { object, of_config: false })
    }

    pub(crate) fn add(&self, metric: usize, labels: &[&str], by: u64) {
        let labels = buffers(labels);
        // SAFETY: the filter is alive, and the labels are valid during the call.
        self.call(|envoy, filter| unsafe { (envoy.add_to_counter)(filter, metric, labels.as_ptr(), labels.len(), by) });
    }

    pub(crate) fn set(&self, metric: usize, value: u64) {
        // SAFETY: the filter is alive.
        self.call(|envoy, filter| unsafe { (envoy.set_gauge)(filter, metric, std::ptr::null(), 0, value) });
    }
}
