//! Envoy's functions as safe ones: a thin wrapper around `abi`.

use crate::{
    abi::{self, Attribute, Body, Buffer, Functions, Header, Map, OK, Object},
    listener::Listener,
};
use meshcache_protocol::Field;
use meshcache_proxy::host::{CallError, Level};
use smallvec::SmallVec;
use std::{cell::Cell, ptr::null_mut, sync::OnceLock};

/// The fields that a list has room for without an allocation.
const FIELDS: usize = 32;

static FUNCTIONS: OnceLock<Functions> = OnceLock::new();

/// Looks Envoy's functions up. The error is the name of one that it lacks.
pub(crate) fn load() -> Result<(), &'static str> {
    if FUNCTIONS.get().is_none() {
        let _ = FUNCTIONS.set(Functions::find()?);
    }
    Ok(())
}

/// Envoy's functions, once the module is loaded. In unit tests there are none.
fn functions() -> Option<&'static Functions> {
    FUNCTIONS.get()
}

/// Returns the number of worker threads. For the main thread.
pub(crate) fn worker_threads() -> usize {
    // SAFETY: the function takes nothing.
    functions().map_or(1, |envoy| unsafe { (envoy.concurrency)() } as usize).max(1)
}

/// Writes a line to Envoy's log. Any thread may.
pub(crate) fn log(level: Level, line: &str) {
    const WARN: u32 = 3;
    const CRITICAL: u32 = 5;
    let level = if level == Level::Warning { WARN } else { CRITICAL };
    if let Some(envoy) = functions() {
        // SAFETY: the line is valid during the call.
        unsafe { (envoy.log)(level, Buffer::new(line.as_bytes())) };
    }
}

/// A list of fields for Envoy.
#[derive(Default)]
pub(crate) struct Fields<'a> {
    list: SmallVec<[Header; FIELDS]>,
    borrowed: std::marker::PhantomData<&'a [u8]>,
}

impl<'a> Fields<'a> {
    pub(crate) fn push(&mut self, name: &'a [u8], value: &'a [u8]) {
        self.list.push(Header::new(name, value));
    }
}

impl<'a> Extend<Field<'a>> for Fields<'a> {
    fn extend<T: IntoIterator<Item = Field<'a>>>(&mut self, fields: T) {
        fields.into_iter().for_each(|(name, value)| self.push(name, value));
    }
}

/// The fields of a header map of Envoy, in place.
pub(crate) struct MapFields<'a> {
    list: SmallVec<[Header; FIELDS]>,
    borrowed: std::marker::PhantomData<&'a Filter>,
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
            is_there.then_some(MapFields { list, borrowed: std::marker::PhantomData })
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
        self.call(|envoy, filter| {
            let mut name = Buffer::NONE;
            // SAFETY: the filter is alive, and so is the name right after the call.
            unsafe { (envoy.cluster_name)(filter, &mut name).then(|| name.bytes().to_vec()) }
        })
        .filter(|name| !name.is_empty())
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

fn outcome(result: u32) -> Result<(), CallError> {
    match result {
        OK => Ok(()),
        abi::NO_CLUSTER => Err(CallError::NoCluster),
        _ => Err(CallError::Refused),
    }
}

fn buffers(texts: &[&str]) -> SmallVec<[Buffer; 4]> {
    texts.iter().map(|text| Buffer::new(text.as_bytes())).collect()
}

/// Wakes a stream on its worker, or a configuration on the main thread. Any thread may use it.
pub(crate) struct Scheduler {
    object: Object,
    of_config: bool,
}

// SAFETY: Envoy's schedulers are made to be used by any thread.
unsafe impl Send for Scheduler {}

impl Scheduler {
    /// Has the hook called. It only adds to a queue: nothing is called before it returns.
    pub(crate) fn commit(&self, event: u64) {
        let Some(envoy) = functions() else { return };
        let commit = if self.of_config { envoy.config_scheduler_commit } else { envoy.scheduler_commit };
        // SAFETY: the scheduler is alive until it is dropped.
        unsafe { commit(self.object, event) };
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        let Some(envoy) = functions() else { return };
        let delete = if self.of_config { envoy.config_scheduler_delete } else { envoy.scheduler_delete };
        // SAFETY: it is deleted once.
        unsafe { delete(self.object) };
    }
}

/// A configuration in Envoy. Only the main thread uses it.
pub(crate) struct Config {
    object: Object,
}

// SAFETY: the object is handed to Envoy only in hooks of the main thread.
unsafe impl Send for Config {}
// SAFETY: as above.
unsafe impl Sync for Config {}

impl Config {
    /// The configuration of this object.
    ///
    /// # Safety
    /// It must be Envoy's configuration object, and must outlive this one.
    pub(crate) unsafe fn new(object: Object) -> Self {
        Self { object }
    }

    pub(crate) fn scheduler(&self) -> Option<Scheduler> {
        // SAFETY: the configuration is alive.
        let object = unsafe { (functions()?.config_scheduler_new)(self.object) };
        (!object.is_null()).then_some(Scheduler { object, of_config: true })
    }

    /// Sends a callout. Its hook may run before this returns: then `id` is set already.
    pub(crate) fn call(
        &self,
        id: &Cell<u64>,
        cluster: &str,
        fields: &Fields<'_>,
        body: &[u8],
        timeout: u64,
    ) -> Result<(), CallError> {
        let (Fields { list, .. }, cluster) = (fields, Buffer::new(cluster.as_bytes()));
        let envoy = functions().ok_or(CallError::Refused)?;
        // SAFETY: the configuration is alive; the number's place outlives the call.
        outcome(unsafe {
            let (headers, size) = (list.as_ptr(), list.len());
            (envoy.config_call)(self.object, id.as_ptr(), cluster, headers, size, Buffer::new(body), timeout)
        })
    }

    pub(crate) fn counter(&self, name: &str, labels: &[&str]) -> Option<usize> {
        let (mut id, labels) = (0, buffers(labels));
        let name = Buffer::new(name.as_bytes());
        // SAFETY: the configuration is alive, and it is being made: then metrics may be defined.
        let result =
            unsafe { (functions()?.define_counter)(self.object, name, labels.as_ptr(), labels.len(), &mut id) };
        (result == OK).then_some(id)
    }

    pub(crate) fn gauge(&self, name: &str) -> Option<usize> {
        let mut id = 0;
        let name = Buffer::new(name.as_bytes());
        // SAFETY: as above.
        let result = unsafe { (functions()?.define_gauge)(self.object, name, std::ptr::null(), 0, &mut id) };
        (result == OK).then_some(id)
    }

    /// Returns whether metrics can be recorded here: in 1.38 they can in a stream only.
    pub(crate) fn records(&self) -> bool {
        functions().is_some_and(|envoy| envoy.config_add_to_counter.is_some() && envoy.config_set_gauge.is_some())
    }

    pub(crate) fn add(&self, metric: usize, labels: &[&str], by: u64) {
        let labels = buffers(labels);
        let Some(add) = functions().and_then(|envoy| envoy.config_add_to_counter) else { return };
        // SAFETY: the configuration is alive, and the labels are valid during the call.
        unsafe { add(self.object, metric, labels.as_ptr(), labels.len(), by) };
    }

    pub(crate) fn set(&self, metric: usize, value: u64) {
        let Some(set) = functions().and_then(|envoy| envoy.config_set_gauge) else { return };
        // SAFETY: as above.
        unsafe { set(self.object, metric, std::ptr::null(), 0, value) };
    }
}

/// A stream's configuration. Envoy keeps it for longer than the stream, so no count of its users is needed, which all
/// workers would change.
pub(crate) struct ListenerRef(*const Listener);

impl ListenerRef {
    /// A reference to this configuration.
    ///
    /// # Safety
    /// It must outlive the reference.
    pub(crate) unsafe fn new(listener: *const Listener) -> Self {
        Self(listener)
    }
}

impl std::ops::Deref for ListenerRef {
    type Target = Listener;

    fn deref(&self) -> &Listener {
        // SAFETY: by the promise of `new`.
        unsafe { &*self.0 }
    }
}
