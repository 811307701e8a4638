//! A configuration in Envoy.

use super::{Fields, Scheduler, buffers, functions, outcome};
use crate::abi::{Buffer, OK, Object};
use meshcache_proxy::host::CallError;
use std::cell::Cell;

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
