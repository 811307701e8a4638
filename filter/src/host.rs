//! Envoy's functions. Each failure is a value.

use crate::memory::HostBytes;
use meshcache_proxy::{
    host::{CallError, Level},
    http::{Headers, header_map},
    request::reply::Reply,
    state::shared_data::SharedData,
};
use std::{ptr::null_mut, time::Duration};

/// A header map.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Map {
    Request = 0,
    Response = 2,
    CallResponse = 6,
}

/// A buffer.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Buffer {
    ResponseBody = 1,
    CallBody = 4,
    Configuration = 7,
}

/// A kind of metric.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Kind {
    Counter = 0,
    Gauge = 1,
}

/// What Envoy does after a callback.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Action {
    Continue = 0,
    Pause = 1,
}

mod raw {
    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        pub(super) fn proxy_log(level: u32, data: *const u8, size: usize) -> u32;
        pub(super) fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
        pub(super) fn proxy_get_buffer_bytes(
            buffer: u32,
            start: usize,
            most: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub(super) fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
        pub(super) fn proxy_add_header_map_value(
            map: u32,
            name: *const u8,
            name_size: usize,
            value: *const u8,
            value_size: usize,
        ) -> u32;
        pub(super) fn proxy_replace_header_map_value(
            map: u32,
            name: *const u8,
            name_size: usize,
            value: *const u8,
            value_size: usize,
        ) -> u32;
        pub(super) fn proxy_remove_header_map_value(map: u32, name: *const u8, name_size: usize) -> u32;
        pub(super) fn proxy_get_property(
            path: *const u8,
            path_size: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub(super) fn proxy_get_shared_data(
            name: *const u8,
            name_size: usize,
            data: *mut *mut u8,
            size: *mut usize,
            number: *mut u32,
        ) -> u32;
        pub(super) fn proxy_set_shared_data(
            name: *const u8,
            name_size: usize,
            data: *const u8,
            size: usize,
            number: u32,
        ) -> u32;
        #[allow(clippy::too_many_arguments)]
        pub(super) fn proxy_http_call(
            cluster: *const u8,
            cluster_size: usize,
            headers: *const u8,
            headers_size: usize,
            body: *const u8,
            body_size: usize,
            trailers: *const u8,
            trailers_size: usize,
            timeout: u32,
            token: *mut u32,
        ) -> u32;
        pub(super) fn proxy_continue_stream(stream: u32) -> u32;
        pub(super) fn proxy_set_effective_context(context: u32) -> u32;
        #[allow(clippy::too_many_arguments)]
        pub(super) fn proxy_send_local_response(
            status: u32,
            details: *const u8,
            details_size: usize,
            body: *const u8,
            body_size: usize,
            headers: *const u8,
            headers_size: usize,
            grpc_status: i32,
        ) -> u32;
        pub(super) fn proxy_define_metric(kind: u32, name: *const u8, size: usize, id: *mut u32) -> u32;
        pub(super) fn proxy_increment_metric(id: u32, by: i64) -> u32;
        pub(super) fn proxy_record_metric(id: u32, value: u64) -> u32;
    }

    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        pub(super) fn clock_time_get(clock: u32, precision: u64, time: *mut u64) -> u32;
    }
}

const OK: u32 = 0;
const BAD_ARGUMENT: u32 = 2;
const REALTIME: u32 = 0;
const MONOTONIC: u32 = 1;
/// The `%RESPONSE_CODE_DETAILS%` of our replies in access logs.
const DETAILS: &[u8] = b"meshcache";

/// Writes a line to Envoy's log.
pub(crate) fn log(level: Level, line: &str) {
    let level = match level {
        Level::Warning => 3,
        Level::Critical => 5,
    };
    unsafe { raw::proxy_log(level, line.as_ptr(), line.len()) };
}

/// Returns nanoseconds of a monotonic clock that all workers share.
pub(crate) fn nanoseconds() -> u64 {
    let mut time = 0;
    // A clock that fails stands still: nothing becomes fresher, and the feed stops.
    unsafe { raw::clock_time_get(MONOTONIC, 1, &mut time) };
    time
}

/// Returns milliseconds of that clock.
pub(crate) fn now() -> u64 {
    nanoseconds() / 1_000_000
}

/// Returns Unix milliseconds.
pub(crate) fn wall() -> u64 {
    let mut time = 0;
    unsafe { raw::clock_time_get(REALTIME, 1, &mut time) };
    time / 1_000_000
}

/// Requests ticks.
pub(crate) fn set_tick_period(period: Duration) {
    unsafe { raw::proxy_set_tick_period_milliseconds(u32::try_from(period.as_millis()).unwrap_or(u32::MAX)) };
}

/// Returns a whole buffer. Empty if there is none.
pub(crate) fn buffer(buffer: Buffer) -> HostBytes {
    taken(|data, size| unsafe { raw::proxy_get_buffer_bytes(buffer as u32, 0, usize::MAX >> 1, data, size) })
        .unwrap_or_default()
}

/// Returns a whole header map, for `HeaderMap::parse`.
pub(crate) fn header_map(map: Map) -> Option<HostBytes> {
    taken(|data, size| unsafe { raw::proxy_get_header_map_pairs(map as u32, data, size) })
}

/// Adds a field to a header map.
pub(crate) fn add_header(map: Map, name: &str, value: &[u8]) {
    unsafe { raw::proxy_add_header_map_value(map as u32, name.as_ptr(), name.len(), value.as_ptr(), value.len()) };
}

/// Sets a field of a header map.
pub(crate) fn set_header(map: Map, name: &str, value: &[u8]) {
    unsafe { raw::proxy_replace_header_map_value(map as u32, name.as_ptr(), name.len(), value.as_ptr(), value.len()) };
}

/// Removes all fields of a name from a header map.
pub(crate) fn remove_header(map: Map, name: &[u8]) {
    unsafe { raw::proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) };
}

/// Returns a property. `path` has a zero byte between its parts.
pub(crate) fn property(path: &str) -> Option<HostBytes> {
    taken(|data, size| unsafe { raw::proxy_get_property(path.as_ptr(), path.len(), data, size) })
}

/// Returns a property that is text and not empty.
pub(crate) fn text_property(path: &str) -> Option<String> {
    property(path).and_then(|value| String::from_utf8(value.into_vec()).ok()).filter(|value| !value.is_empty())
}

/// Selects the context that the next calls are about. Returns whether it exists.
pub(crate) fn act_for(context: u32) -> bool {
    unsafe { raw::proxy_set_effective_context(context) == OK }
}

/// Sends a request to a cluster, for the selected context. Returns the token under which its result comes back.
pub(crate) fn call(cluster: &str, headers: &Headers<'_>, body: &[u8], timeout: u64) -> Result<u32, CallError> {
    const NO_TRAILERS: [u8; 4] = [0; 4];
    let headers = header_map::encode(headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
    let mut token = 0;
    let status = unsafe {
        raw::proxy_http_call(
            cluster.as_ptr(),
            cluster.len(),
            headers.as_ptr(),
            headers.len(),
            body.as_ptr(),
            body.len(),
            NO_TRAILERS.as_ptr(),
            NO_TRAILERS.len(),
            u32::try_from(timeout).unwrap_or(u32::MAX),
            &mut token,
        )
    };
    match status {
        OK => Ok(token),
        BAD_ARGUMENT => Err(CallError::NoCluster),
        _ => Err(CallError::Refused),
    }
}

/// Lets the request of the selected context go on.
pub(crate) fn resume() {
    const REQUEST: u32 = 0;
    unsafe { raw::proxy_continue_stream(REQUEST) };
}

/// Replies to the request of the selected context. Returns whether that succeeded.
pub(crate) fn reply(reply: &Reply<'_>) -> bool {
    const NO_GRPC: i32 = -1;
    let status = unsafe {
        raw::proxy_send_local_response(
            u32::from(reply.status),
            DETAILS.as_ptr(),
            DETAILS.len(),
            reply.body.as_ptr(),
            reply.body.len(),
            reply.map.as_ptr(),
            reply.map.len(),
            NO_GRPC,
        )
    };
    status == OK
}

/// Replies to the request of the selected context with 503. Allocates nothing.
pub(crate) fn refuse() {
    const NO_GRPC: i32 = -1;
    let none: &[u8] = &[];
    unsafe {
        raw::proxy_send_local_response(
            503,
            DETAILS.as_ptr(),
            DETAILS.len(),
            none.as_ptr(),
            0,
            none.as_ptr(),
            0,
            NO_GRPC,
        )
    };
}

/// Defines a metric. Returns its number.
pub(crate) fn metric(kind: Kind, name: &str) -> Option<u32> {
    let mut id = 0;
    let status = unsafe { raw::proxy_define_metric(kind as u32, name.as_ptr(), name.len(), &mut id) };
    (status == OK).then_some(id)
}

/// Adds to a counter.
pub(crate) fn count(metric: u32, by: i64) {
    unsafe { raw::proxy_increment_metric(metric, by) };
}

/// Sets a gauge.
pub(crate) fn set_gauge(gauge: u32, value: u64) {
    unsafe { raw::proxy_record_metric(gauge, value) };
}

/// The data that all workers of the proxy share.
pub(crate) struct EnvoySharedData;

impl SharedData for EnvoySharedData {
    fn get(&self, name: &str) -> Option<(Vec<u8>, u32)> {
        let mut number = 0;
        let value = taken(|data, size| unsafe {
            raw::proxy_get_shared_data(name.as_ptr(), name.len(), data, size, &mut number)
        })?;
        Some((value.into_vec(), number))
    }

    fn set(&mut self, name: &str, value: &[u8], number: u32) -> bool {
        unsafe { raw::proxy_set_shared_data(name.as_ptr(), name.len(), value.as_ptr(), value.len(), number) == OK }
    }
}

/// Takes over the memory that a call returns.
fn taken(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Option<HostBytes> {
    let (mut data, mut size) = (null_mut(), 0);
    // SAFETY: the host writes its results into memory that `lend` made for their size, and passes it on.
    (call(&mut data, &mut size) == OK).then(|| unsafe { HostBytes::take(data, size) })
}
