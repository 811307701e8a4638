//! The hooks that Envoy calls. A panic in one is caught: the request goes on without the filter.

use crate::{
    abi::{self, Buffer, CONTINUE, Header, Object},
    envoy::{self, Filter, Kept},
    listener::Listener,
    panics::{self, guard},
    stream::StreamContext,
};
use meshcache_protocol::Field;
use std::{
    ffi::{c_char, c_void},
    ptr::null,
    rc::Rc,
};

/// An object of ours that Envoy hands back.
type Own = *const c_void;

/// Runs a hook of a stream. Returns `fallback` if it panics.
///
/// # Safety
/// It must be a stream that `on_http_filter_new` has made and `on_http_filter_destroy` has not freed.
unsafe fn hook<T>(stream: Own, fallback: T, act: impl FnOnce(&StreamContext) -> T) -> T {
    let stream = stream.cast::<StreamContext>();
    // SAFETY: by the caller's promise. It is kept for as long as the hook runs: Envoy may end the stream meanwhile.
    let stream = unsafe {
        Rc::increment_strong_count(stream);
        Rc::from_raw(stream)
    };
    guard(|| act(&stream)).unwrap_or_else(|| {
        guard(|| stream.give_up());
        fallback
    })
}

/// The fields of a list that Envoy owns.
///
/// # Safety
/// It must be valid until the hook returns.
unsafe fn fields<'a>(headers: *const Header, size: usize) -> impl Iterator<Item = Field<'a>> + Clone {
    // SAFETY: by the caller's promise.
    unsafe { abi::slice(headers, size).iter().map(|header| header.field()) }
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_program_init() -> *const c_char {
    match guard(envoy::load) {
        Some(Ok(())) => {
            panics::log_panics();
            abi::version().as_ptr()
        }
        Some(Err(missing)) => {
            eprintln!("meshcache: this Envoy has no {missing}; the module is for Envoy 1.38 and later");
            null()
        }
        None => null(),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_new(config: Object, _: Buffer, json: Buffer) -> Own {
    // SAFETY: Envoy keeps its configuration for longer than ours, and the text until the hook returns.
    let new = guard(|| unsafe { Listener::new(envoy::Config::new(config), json.bytes()) });
    new.map_or(null(), |listener| Box::into_raw(Box::new(listener)).cast())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_destroy(listener: Own) {
    // SAFETY: `config_new` made it, and Envoy destroys it once, after all its streams.
    guard(|| drop(unsafe { Box::from_raw(listener.cast_mut().cast::<Listener>()) }));
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_scheduled(_: Object, listener: Own, event: u64) {
    // SAFETY: `config_new` made it, and it has not been destroyed.
    guard(|| unsafe { &*listener.cast::<Listener>() }.scheduled(event));
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_http_callout_done(
    _: Object,
    listener: Own,
    id: u64,
    result: u32,
    headers: *const Header,
    size: usize,
    chunks: *const Buffer,
    count: usize,
) {
    guard(|| {
        // SAFETY: Envoy keeps both lists until the hook returns.
        let response = (result == abi::OK && size > 0).then(|| unsafe {
            let body = abi::slice(chunks, count).iter().flat_map(|chunk| chunk.bytes()).copied().collect();
            (fields(headers, size).collect(), body)
        });
        // SAFETY: as above.
        unsafe { &*listener.cast::<Listener>() }.call_returned(id, response);
    });
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_new(listener: Own, filter: Object) -> Own {
    // SAFETY: `destroy` ends the use of the filter, and the configuration outlives its streams.
    let stream = unsafe { StreamContext::new(Filter::new(filter), Kept::new(listener.cast())) };
    Rc::into_raw(Rc::new(stream)).cast()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_destroy(stream: Own) {
    // SAFETY: `new` made it, and Envoy destroys it once.
    let stream = unsafe { Rc::from_raw(stream.cast::<StreamContext>()) };
    guard(|| stream.end());
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_request_headers(_: Object, stream: Own, whole: bool) -> u32 {
    // SAFETY: Envoy hands back a stream that is alive; so in all hooks below.
    unsafe { hook(stream, CONTINUE, |stream| stream.request_head(whole)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_request_body(_: Object, _: Own, _: bool) -> u32 {
    CONTINUE
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_request_trailers(_: Object, _: Own) -> u32 {
    CONTINUE
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_response_headers(_: Object, stream: Own, whole: bool) -> u32 {
    // SAFETY: see above.
    unsafe { hook(stream, CONTINUE, |stream| stream.response_head(whole)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_response_body(_: Object, stream: Own, last: bool) -> u32 {
    // SAFETY: see above.
    unsafe { hook(stream, CONTINUE, |stream| stream.response_body(last)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_response_trailers(_: Object, stream: Own) -> u32 {
    // SAFETY: see above.
    unsafe { hook(stream, CONTINUE, |stream| stream.response_trailers()) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_stream_complete(_: Object, _: Own) {}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_scheduled(_: Object, stream: Own, _: u64) {
    // SAFETY: see above.
    unsafe { hook(stream, (), |stream| stream.woken()) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_http_callout_done() {}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_headers(
    _: Object,
    stream: Own,
    id: u64,
    headers: *const Header,
    size: usize,
    is_last: bool,
) {
    // SAFETY: see above; Envoy keeps the list until the hook returns.
    unsafe { hook(stream, (), |stream| stream.call_head(id, fields(headers, size), is_last)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_data(
    _: Object,
    stream: Own,
    id: u64,
    chunks: *const Buffer,
    count: usize,
    _: bool,
) {
    // SAFETY: see above; Envoy keeps the chunks until the hook returns.
    unsafe {
        hook(stream, (), |stream| {
            abi::slice(chunks, count).iter().for_each(|chunk| stream.call_data(id, chunk.bytes()));
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_trailers(
    _: Object,
    _: Own,
    _: u64,
    _: *const Header,
    _: usize,
) {
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_complete(_: Object, stream: Own, id: u64) {
    // SAFETY: see above.
    unsafe { hook(stream, (), |stream| stream.call_over(id, true)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_reset(_: Object, stream: Own, id: u64, _: u32) {
    // SAFETY: see above.
    unsafe { hook(stream, (), |stream| stream.call_over(id, false)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark(
    _: Object,
    _: Own,
) {
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark(
    _: Object,
    _: Own,
) {
}
