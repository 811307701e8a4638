//! Envoy's interface for dynamic modules, as far as the filter uses it: `source/extensions/dynamic_modules/abi/abi.h` of
//! Envoy 1.38, which later ones keep.
//!
//! Each function is looked up by its name when the module is loaded. So the module says what is missing in an Envoy that
//! is too old, and the crate's tests link without one.

use std::{
    ffi::{CStr, c_char, c_void},
    mem::transmute,
    ptr::{NonNull, null, null_mut},
};

/// Returns the version of the interface, as this Envoy has it: it would warn of another one.
pub(crate) fn version() -> &'static CStr {
    if is_since_1_40() { c"v0.2.0" } else { c"v0.1.0" }
}

/// An object of Envoy's, or one of ours in Envoy's hands.
pub(crate) type Object = *mut c_void;

/// Bytes that belong to the other side. They are valid until the hook returns.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buffer {
    data: *const u8,
    len: usize,
}

impl Buffer {
    /// Nothing. Envoy takes it as no value at all.
    pub(crate) const NONE: Self = Self { data: null(), len: 0 };

    pub(crate) const fn new(bytes: &[u8]) -> Self {
        Self { data: bytes.as_ptr(), len: bytes.len() }
    }

    /// The bytes.
    ///
    /// # Safety
    /// They must be valid for as long as the caller uses them.
    pub(crate) unsafe fn bytes<'a>(self) -> &'a [u8] {
        // SAFETY: by the caller's promise.
        unsafe { slice(self.data, self.len) }
    }
}

/// A field of a header map.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    name: Buffer,
    value: Buffer,
}

impl Header {
    pub(crate) const NONE: Self = Self { name: Buffer::NONE, value: Buffer::NONE };

    pub(crate) const fn new(name: &[u8], value: &[u8]) -> Self {
        Self { name: Buffer::new(name), value: Buffer::new(value) }
    }

    /// Name and value.
    ///
    /// # Safety
    /// They must be valid for as long as the caller uses them.
    pub(crate) unsafe fn field<'a>(self) -> (&'a [u8], &'a [u8]) {
        // SAFETY: by the caller's promise.
        unsafe { (self.name.bytes(), self.value.bytes()) }
    }
}

/// A list that the other side owns.
///
/// # Safety
/// It must be valid for as long as the caller uses it.
pub(crate) unsafe fn slice<'a, T>(data: *const T, len: usize) -> &'a [T] {
    if data.is_null() || len == 0 {
        return &[];
    }
    // SAFETY: by the caller's promise; and it is not null.
    unsafe { std::slice::from_raw_parts(data, len) }
}

/// A header map.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum Map {
    Request = 0,
    Response = 2,
}

/// A body.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Body {
    ReceivedResponse = 2,
}

/// An attribute of a request or of its connection.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Attribute {
    DestinationAddress = 26,
    DestinationPort = 27,
    UriSanPeerCertificate = 37,
    /// Since 1.40. Older ones do not know it, and 1.38 logs an error when it is asked for.
    ListenerDirection = 59,
    RouteName = 61,
}

/// Envoy's metadata of the stream, which its filters write.
pub(crate) const DYNAMIC_METADATA: u32 = 0;
/// A hook's result: the request or response goes on.
pub(crate) const CONTINUE: u32 = 0;
/// A hook's result: it stops here.
pub(crate) const STOP: u32 = 1;
/// The result of a call that succeeded.
pub(crate) const OK: u32 = 0;
/// The result of a callout to a cluster that is not there.
pub(crate) const NO_CLUSTER: u32 = 2;
/// The reason of a reset of ours.
pub(crate) const LOCAL_RESET: u32 = 0;

unsafe extern "C" {
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

/// Looks a function up among all that is loaded.
fn find(symbol: &CStr) -> Option<NonNull<c_void>> {
    // SAFETY: the name ends with a zero, and null stands for all that is loaded.
    NonNull::new(unsafe { dlsym(null_mut(), symbol.as_ptr()) })
}

/// Returns whether Envoy is 1.40 or later: it has a function that came with it.
pub(crate) fn is_since_1_40() -> bool {
    find(c"envoy_dynamic_module_callback_log_v2").is_some()
}

macro_rules! functions {
    (since 1.38 { $($name:ident = $symbol:literal($($argument:ident: $kind:ty),*) $(-> $result:ty)?;)* }
     since 1.39 { $($newer:ident = $newer_symbol:literal($($newer_argument:ident: $newer_kind:ty),*) $(-> $newer_result:ty)?;)* }) => {
        /// Envoy's functions. An `Option` is newer than 1.38.
        pub(crate) struct Functions {
            $(pub(crate) $name: unsafe extern "C" fn($($argument: $kind),*) $(-> $result)?,)*
            $(pub(crate) $newer: Option<unsafe extern "C" fn($($newer_argument: $newer_kind),*) $(-> $newer_result)?>,)*
        }

        impl Functions {
            /// Looks all functions up. The error is the name of one that is missing.
            pub(crate) fn find() -> Result<Self, &'static str> {
                type Found = NonNull<c_void>;
                Ok(Self {
                    $($name: match find($symbol) {
                        // SAFETY: Envoy's header declares the function of this name with this type.
                        Some(found) => unsafe { transmute::<Found, unsafe extern "C" fn($($kind),*) $(-> $result)?>(found) },
                        None => return Err($symbol.to_str().unwrap_or_default()),
                    },)*
                    // SAFETY: as above.
                    $($newer: find($newer_symbol).map(|found| unsafe {
                        transmute::<Found, unsafe extern "C" fn($($newer_kind),*) $(-> $newer_result)?>(found)
                    }),)*
                })
            }
        }
    };
}

functions! {
    since 1.38 {
        concurrency = c"envoy_dynamic_module_callback_get_concurrency"() -> u32;
        log = c"envoy_dynamic_module_callback_log"(level: u32, line: Buffer);
        headers_size = c"envoy_dynamic_module_callback_http_get_headers_size"(filter: Object, map: u32) -> usize;
        headers = c"envoy_dynamic_module_callback_http_get_headers"(filter: Object, map: u32, to: *mut Header) -> bool;
        set_header = c"envoy_dynamic_module_callback_http_set_header"(filter: Object, map: u32, name: Buffer, value: Buffer) -> bool;
        add_header = c"envoy_dynamic_module_callback_http_add_header"(filter: Object, map: u32, name: Buffer, value: Buffer) -> bool;
        send_response = c"envoy_dynamic_module_callback_http_send_response"(filter: Object, status: u32, headers: *const Header, size: usize, body: Buffer, details: Buffer);
        send_headers = c"envoy_dynamic_module_callback_http_send_response_headers"(filter: Object, headers: *const Header, size: usize, is_last: bool);
        send_data = c"envoy_dynamic_module_callback_http_send_response_data"(filter: Object, data: Buffer, is_last: bool);
        start_call = c"envoy_dynamic_module_callback_http_filter_start_http_stream"(filter: Object, id: *mut u64, cluster: Buffer, headers: *const Header, size: usize, body: Buffer, is_last: bool, timeout: u64) -> u32;
        send_call_data = c"envoy_dynamic_module_callback_http_stream_send_data"(filter: Object, id: u64, data: Buffer, is_last: bool) -> bool;
        reset_stream = c"envoy_dynamic_module_callback_http_filter_reset_stream"(filter: Object, reason: u32, details: Buffer);
        continue_encoding = c"envoy_dynamic_module_callback_http_filter_continue_encoding"(filter: Object);
        continue_decoding = c"envoy_dynamic_module_callback_http_filter_continue_decoding"(filter: Object);
        body_chunks_size = c"envoy_dynamic_module_callback_http_get_body_chunks_size"(filter: Object, body: u32) -> usize;
        body_chunks = c"envoy_dynamic_module_callback_http_get_body_chunks"(filter: Object, body: u32, to: *mut Buffer) -> bool;
        attribute_string = c"envoy_dynamic_module_callback_http_filter_get_attribute_string"(filter: Object, attribute: u32, to: *mut Buffer) -> bool;
        attribute_int = c"envoy_dynamic_module_callback_http_filter_get_attribute_int"(filter: Object, attribute: u32, to: *mut u64) -> bool;
        cluster_name = c"envoy_dynamic_module_callback_http_get_cluster_name"(filter: Object, to: *mut Buffer) -> bool;
        metadata_keys = c"envoy_dynamic_module_callback_http_get_metadata_keys_count"(filter: Object, source: u32, namespace: Buffer) -> usize;
        scheduler_new = c"envoy_dynamic_module_callback_http_filter_scheduler_new"(filter: Object) -> Object;
        scheduler_commit = c"envoy_dynamic_module_callback_http_filter_scheduler_commit"(scheduler: Object, event: u64);
        scheduler_delete = c"envoy_dynamic_module_callback_http_filter_scheduler_delete"(scheduler: Object);
        config_scheduler_new = c"envoy_dynamic_module_callback_http_filter_config_scheduler_new"(config: Object) -> Object;
        config_scheduler_commit = c"envoy_dynamic_module_callback_http_filter_config_scheduler_commit"(scheduler: Object, event: u64);
        config_scheduler_delete = c"envoy_dynamic_module_callback_http_filter_config_scheduler_delete"(scheduler: Object);
        config_call = c"envoy_dynamic_module_callback_http_filter_config_http_callout"(config: Object, id: *mut u64, cluster: Buffer, headers: *const Header, size: usize, body: Buffer, timeout: u64) -> u32;
        define_counter = c"envoy_dynamic_module_callback_http_filter_config_define_counter"(config: Object, name: Buffer, labels: *const Buffer, size: usize, id: *mut usize) -> u32;
        define_gauge = c"envoy_dynamic_module_callback_http_filter_config_define_gauge"(config: Object, name: Buffer, labels: *const Buffer, size: usize, id: *mut usize) -> u32;
        add_to_counter = c"envoy_dynamic_module_callback_http_filter_increment_counter"(filter: Object, id: usize, values: *const Buffer, size: usize, by: u64) -> u32;
        set_gauge = c"envoy_dynamic_module_callback_http_filter_set_gauge"(filter: Object, id: usize, values: *const Buffer, size: usize, value: u64) -> u32;
    }
    since 1.39 {
        config_add_to_counter = c"envoy_dynamic_module_callback_http_filter_config_increment_counter"(config: Object, id: usize, values: *const Buffer, size: usize, by: u64) -> u32;
        config_set_gauge = c"envoy_dynamic_module_callback_http_filter_config_set_gauge"(config: Object, id: usize, values: *const Buffer, size: usize, value: u64) -> u32;
    }
}
