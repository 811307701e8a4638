//! The native module. Without a configuration it lets every request through. A configuration is the body of its reply to
//! all requests, of which it reads nothing.

use std::{
    ffi::{c_char, c_void},
    slice,
};

type Object = *mut c_void;

/// Bytes of either side.
#[repr(C)]
#[derive(Clone, Copy)]
struct Buffer {
    data: *const u8,
    len: usize,
}

#[repr(C)]
struct Header(Buffer, Buffer);

unsafe extern "C" {
    fn envoy_dynamic_module_callback_http_send_response_headers(
        filter: Object,
        headers: *const Header,
        size: usize,
        is_last: bool,
    );
    fn envoy_dynamic_module_callback_http_send_response_data(filter: Object, data: Buffer, is_last: bool);
}

/// One configuration.
struct Reply {
    length: String,
    body: Vec<u8>,
}

/// The fields of a hot response, as the real filter gives it.
const FIELDS: [(&str, &str); 9] = [
    ("date", "Sun, 29 Nov 2026 20:35:32 GMT"),
    ("content-type", "text/plain"),
    ("last-modified", "Sun, 29 Nov 2026 20:35:32 GMT"),
    ("accept-ranges", "bytes"),
    ("etag", "\"6b0c9281-400\""),
    ("cache-control", "max-age=86400"),
    ("via", "1.1 meshcache"),
    ("age", "110"),
    ("cache-status", "meshcache; hit; ttl=86289; detail=proxy"),
];

const CONTINUE: u32 = 0;
const STOP: u32 = 1;

fn buffer(bytes: &[u8]) -> Buffer {
    Buffer { data: bytes.as_ptr(), len: bytes.len() }
}

fn header(name: &str, value: &str) -> Header {
    Header(buffer(name.as_bytes()), buffer(value.as_bytes()))
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_program_init() -> *const c_char {
    c"v0.2.0".as_ptr()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_new(_: Object, _: Buffer, body: Buffer) -> Object {
    // SAFETY: Envoy keeps the text until the hook returns.
    let body = if body.len == 0 { Vec::new() } else { unsafe { slice::from_raw_parts(body.data, body.len) }.to_vec() };
    Box::into_raw(Box::new(Reply { length: body.len().to_string(), body })).cast()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_destroy(config: Object) {
    // SAFETY: `config_new` made it, and Envoy destroys it once.
    drop(unsafe { Box::from_raw(config.cast::<Reply>()) });
}

/// A stream is its configuration.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_new(config: Object, _: Object) -> Object {
    config
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_request_headers(
    filter: Object,
    config: Object,
    _: bool,
) -> u32 {
    // SAFETY: `config_new` made it, and Envoy keeps it for longer than its streams.
    let Reply { length, body } = unsafe { &*config.cast::<Reply>() };
    if body.is_empty() {
        return CONTINUE;
    }
    let head = [header(":status", "200"), header("content-length", length)];
    let fields = FIELDS.map(|(name, value)| header(name, value));
    let headers: Vec<Header> = head.into_iter().chain(fields).collect();
    // SAFETY: the filter is alive, and so are the bytes during the calls.
    unsafe {
        envoy_dynamic_module_callback_http_send_response_headers(filter, headers.as_ptr(), headers.len(), false);
        envoy_dynamic_module_callback_http_send_response_data(filter, buffer(body), true);
    }
    STOP
}

/// Hooks that let all go on.
macro_rules! hooks {
    ($($name:ident)*) => {
        $(#[unsafe(no_mangle)]
        extern "C" fn $name() -> u32 {
            CONTINUE
        })*
    };
}

hooks! {
    envoy_dynamic_module_on_http_filter_config_scheduled
    envoy_dynamic_module_on_http_filter_config_http_callout_done
    envoy_dynamic_module_on_http_filter_destroy
    envoy_dynamic_module_on_http_filter_request_body
    envoy_dynamic_module_on_http_filter_request_trailers
    envoy_dynamic_module_on_http_filter_response_headers
    envoy_dynamic_module_on_http_filter_response_body
    envoy_dynamic_module_on_http_filter_response_trailers
    envoy_dynamic_module_on_http_filter_stream_complete
    envoy_dynamic_module_on_http_filter_scheduled
    envoy_dynamic_module_on_http_filter_http_callout_done
    envoy_dynamic_module_on_http_filter_http_stream_headers
    envoy_dynamic_module_on_http_filter_http_stream_data
    envoy_dynamic_module_on_http_filter_http_stream_trailers
    envoy_dynamic_module_on_http_filter_http_stream_complete
    envoy_dynamic_module_on_http_filter_http_stream_reset
    envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark
    envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark
}
