//! An Envoy for the native module: the functions that the module looks up, and the hooks that it has.
//!
//! Long: a list of functions with no decision in it is read in one place.
//!
//! What the module says is held against what Envoy takes: a reply has one status and no odd bytes, comes once and in
//! order, and no stream is used after its end. Where Envoy runs hooks inside of calls, so does this one.

use std::{
    ffi::{CStr, c_char, c_void},
    ptr::{from_ref, null},
    slice::from_raw_parts,
    sync::{
        Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
};

type Bytes = Vec<u8>;
pub type Fields = Vec<(Bytes, Bytes)>;
type Object = *mut c_void;
type Own = *const c_void;

#[repr(C)]
#[derive(Clone, Copy)]
struct Buffer {
    data: *const u8,
    len: usize,
}

impl Buffer {
    /// Nothing comes as no pointer at all.
    fn of(bytes: &[u8]) -> Self {
        Self { data: if bytes.is_empty() { null() } else { bytes.as_ptr() }, len: bytes.len() }
    }

    unsafe fn bytes<'a>(self) -> &'a [u8] {
        if self.data.is_null() { &[] } else { unsafe { from_raw_parts(self.data, self.len) } }
    }
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Header {
    name: Buffer,
    value: Buffer,
}

fn lent(fields: &Fields) -> Vec<Header> {
    fields.iter().map(|(name, value)| Header { name: Buffer::of(name), value: Buffer::of(value) }).collect()
}

unsafe fn read(headers: *const Header, size: usize) -> Fields {
    let all = if size == 0 { &[] } else { unsafe { from_raw_parts(headers, size) } };
    all.iter().map(|header| unsafe { (header.name.bytes().to_vec(), header.value.bytes().to_vec()) }).collect()
}

/// Envoy ends, or sends nonsense, where fields have other bytes.
fn check(fields: &Fields) {
    for (name, value) in fields {
        let is_name = |b: &u8| (0x21..0x7f).contains(b) && !b.is_ascii_uppercase();
        assert!(!name.is_empty() && name.iter().all(is_name), "{}", name.escape_ascii());
        assert!(!value.iter().any(|b| matches!(b, 0 | b'\r' | b'\n')), "{}", value.escape_ascii());
    }
}

fn count(fields: &Fields, name: &[u8]) -> usize {
    fields.iter().filter(|(own, _)| own == name).count()
}

/// How far a reply is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reply {
    None,
    Begun,
    Whole,
}

/// A request.
pub struct Filter {
    own: Own,
    /// Its head, and the service's.
    pub heads: [Fields; 2],
    /// The piece of the service's body that is there.
    body: Bytes,
    reply: Reply,
    is_paused: bool,
    is_reset: bool,
    /// The callouts in flight.
    calls: Vec<u64>,
    /// The result of each callout that it starts.
    refuses: u32,
    events: u64,
}

/// The configuration. `events` counts those that its hook has not been called for.
struct Config {
    own: AtomicUsize,
    calls: Mutex<Vec<u64>>,
    events: AtomicU64,
}

static CONFIG: Config = Config { own: AtomicUsize::new(0), calls: Mutex::new(Vec::new()), events: AtomicU64::new(0) };
static NUMBERS: AtomicU64 = AtomicU64::new(1);

fn number() -> u64 {
    NUMBERS.fetch_add(1, SeqCst)
}

/// Loads the module and configures it, once.
pub fn load(json: &str) {
    keep();
    if CONFIG.own.load(SeqCst) > 0 {
        return;
    }
    let version = unsafe { envoy_dynamic_module_on_program_init() };
    assert!(!version.is_null(), "the module asks for a function that is not here: see above");
    assert!(unsafe { CStr::from_ptr(version) }.to_bytes().starts_with(b"v"));
    let object = from_ref(&CONFIG).cast_mut().cast();
    let (name, json) = (Buffer::of(b"meshcache"), Buffer::of(json.as_bytes()));
    let own = unsafe { envoy_dynamic_module_on_http_filter_config_new(object, name, json) };
    assert!(!own.is_null());
    CONFIG.own.store(own as usize, SeqCst);
}

/// Runs what is due on the main thread, and answers what the configuration asks with this text.
pub fn main_thread(answer: &str) {
    let (own, object) = (CONFIG.own.load(SeqCst) as Own, from_ref(&CONFIG).cast_mut().cast());
    for _ in 0..CONFIG.events.swap(0, SeqCst).min(4) {
        for event in 0..2 {
            unsafe { envoy_dynamic_module_on_http_filter_config_scheduled(object, own, event) };
        }
    }
    let calls = std::mem::take(&mut *CONFIG.calls.lock().unwrap());
    for id in calls {
        let head = vec![(b":status".to_vec(), b"200".to_vec())];
        let (head, (first, second)) = (lent(&head), answer.split_at(answer.len() / 2));
        let chunks = [Buffer::of(first.as_bytes()), Buffer::of(second.as_bytes())];
        unsafe {
            envoy_dynamic_module_on_http_filter_config_http_callout_done(
                object, own, id, 0, head.as_ptr(), head.len(), chunks.as_ptr(), chunks.len(),
            );
        }
    }
}

/// A request that lives until it is dropped.
pub struct Request(*mut Filter);

impl Request {
    /// Sends a request through the filter.
    pub fn new(head: Fields, is_whole: bool, refuses: u32) -> Self {
        let filter = Filter {
            own: null(),
            heads: [head, Vec::new()],
            body: Vec::new(),
            reply: Reply::None,
            is_paused: true,
            is_reset: false,
            calls: Vec::new(),
            refuses,
            events: 0,
        };
        let request = Self(Box::into_raw(Box::new(filter)));
        let own = unsafe { envoy_dynamic_module_on_http_filter_new(CONFIG.own.load(SeqCst) as Own, request.0.cast()) };
        assert!(!own.is_null());
        request.state().own = own;
        let result = unsafe { envoy_dynamic_module_on_http_filter_request_headers(request.0.cast(), own, is_whole) };
        match result {
            0 => {
                assert!(request.state().reply == Reply::None, "it goes on although there is a reply");
                request.state().is_paused = false;
            }
            1 => {}
            other => panic!("{other} is no result of this hook"),
        }
        request
    }

    #[allow(clippy::mut_from_ref)]
    fn state(&self) -> &mut Filter {
        unsafe { &mut *self.0 }
    }

    /// Whether it waits for the filter.
    pub fn waits(&self) -> bool {
        let state = self.state();
        state.is_paused && state.reply != Reply::Whole && !state.is_reset
    }

    /// Whether the client has the whole of a reply.
    pub fn is_answered(&self) -> bool {
        self.state().reply == Reply::Whole
    }

    /// The callouts in flight.
    pub fn calls(&self) -> Vec<u64> {
        self.state().calls.clone()
    }

    /// Runs what is due on its worker.
    pub fn wake(&self) {
        for _ in 0..std::mem::take(&mut self.state().events) {
            unsafe { envoy_dynamic_module_on_http_filter_scheduled(self.0.cast(), self.state().own, 0) };
        }
    }

    fn has(&self, call: u64) -> bool {
        self.state().calls.contains(&call)
    }

    pub fn call_head(&self, call: u64, head: &Fields, is_last: bool) {
        let (list, own) = (lent(head), self.state().own);
        if self.has(call) {
            unsafe {
                envoy_dynamic_module_on_http_filter_http_stream_headers(
                    self.0.cast(), own, call, list.as_ptr(), list.len(), is_last,
                );
            }
        }
    }

    pub fn call_data(&self, call: u64, pieces: &[&[u8]], is_last: bool) {
        let list: Vec<Buffer> = pieces.iter().map(|piece| Buffer::of(piece)).collect();
        if self.has(call) {
            unsafe {
                envoy_dynamic_module_on_http_filter_http_stream_data(
                    self.0.cast(), self.state().own, call, list.as_ptr(), list.len(), is_last,
                );
            }
        }
    }

    /// Ends a callout.
    pub fn call_over(&self, call: u64, is_complete: bool) {
        if !self.has(call) {
            return;
        }
        let state = self.state();
        state.calls.retain(|own| *own != call);
        let own = state.own;
        unsafe {
            if is_complete {
                envoy_dynamic_module_on_http_filter_http_stream_complete(self.0.cast(), own, call);
            } else {
                envoy_dynamic_module_on_http_filter_http_stream_reset(self.0.cast(), own, call, 5);
            }
        }
    }

    /// The service's response to a request that went on.
    pub fn response(&self, head: Fields, pieces: &[&[u8]]) {
        let state = self.state();
        if state.is_paused || state.reply != Reply::None || !state.heads[1].is_empty() {
            return;
        }
        state.heads[1] = head;
        let own = state.own;
        unsafe {
            envoy_dynamic_module_on_http_filter_response_headers(self.0.cast(), own, pieces.is_empty());
            for (at, piece) in pieces.iter().enumerate() {
                if self.state().reply != Reply::None {
                    return;
                }
                self.state().body = piece.to_vec();
                envoy_dynamic_module_on_http_filter_response_body(self.0.cast(), own, at + 1 == pieces.len());
            }
        }
    }
}

impl Drop for Request {
    /// The client goes, or all is done: Envoy ends the callouts without a word.
    fn drop(&mut self) {
        unsafe {
            envoy_dynamic_module_on_http_filter_stream_complete(self.0.cast(), self.state().own);
            envoy_dynamic_module_on_http_filter_destroy(self.state().own);
            drop(Box::from_raw(self.0));
        }
    }
}

unsafe fn filter<'a>(object: Object) -> &'a mut Filter {
    unsafe { &mut *object.cast::<Filter>() }
}

macro_rules! functions {
    ($($name:ident($($argument:ident: $kind:ty),*) $(-> $result:ty)? $body:block)*) => {
        $(#[unsafe(no_mangle)]
        #[allow(unused_unsafe)]
        unsafe extern "C" fn $name($($argument: $kind),*) $(-> $result)? { unsafe { $body } })*

        /// The module finds them by their names: nothing else keeps the linker from dropping them.
        fn keep() {
            std::hint::black_box([$($name as *const () as usize),*]);
        }
    };
}

functions! {
    envoy_dynamic_module_callback_log(_level: u32, line: Buffer) {
        let line = String::from_utf8_lossy(line.bytes());
        if line.contains("panicked") {
            eprintln!("{line}");
            std::process::abort();
        }
    }
    envoy_dynamic_module_callback_get_concurrency() -> u32 { 4 }
    envoy_dynamic_module_callback_http_get_headers_size(object: Object, map: u32) -> usize {
        filter(object).heads[map as usize / 2].len()
    }
    envoy_dynamic_module_callback_http_get_headers(object: Object, map: u32, to: *mut Header) -> bool {
        let list = lent(&filter(object).heads[map as usize / 2]);
        std::ptr::copy_nonoverlapping(list.as_ptr(), to, list.len());
        true
    }
    envoy_dynamic_module_callback_http_set_header(object: Object, map: u32, name: Buffer, value: Buffer) -> bool {
        let (name, fields) = (name.bytes().to_vec(), &mut filter(object).heads[map as usize / 2]);
        fields.retain(|(own, _)| *own != name);
        if !value.data.is_null() {
            fields.push((name, value.bytes().to_vec()));
        }
        true
    }
    envoy_dynamic_module_callback_http_add_header(object: Object, map: u32, name: Buffer, value: Buffer) -> bool {
        let field = (name.bytes().to_vec(), value.bytes().to_vec());
        check(&vec![field.clone()]);
        filter(object).heads[map as usize / 2].push(field);
        true
    }
    envoy_dynamic_module_callback_http_send_response(object: Object, status: u32, headers: *const Header, size: usize, _body: Buffer, _details: Buffer) {
        let filter = filter(object);
        assert!((200..600).contains(&status) && filter.reply == Reply::None && !filter.is_reset);
        check(&read(headers, size));
        filter.reply = Reply::Whole;
    }
    envoy_dynamic_module_callback_http_send_response_headers(object: Object, headers: *const Header, size: usize, is_last: bool) {
        let (filter, head) = (filter(object), read(headers, size));
        assert!(filter.reply == Reply::None && filter.is_paused && !filter.is_reset, "{:?}", filter.reply);
        assert!(count(&head, b":status") == 1 && count(&head, b"content-length") <= 1, "{head:?}");
        assert!(head.iter().all(|(name, _)| name == b":status" || !name.starts_with(b":")), "{head:?}");
        check(&head.into_iter().filter(|(name, _)| name != b":status").collect());
        filter.reply = if is_last { Reply::Whole } else { Reply::Begun };
    }
    envoy_dynamic_module_callback_http_send_response_data(object: Object, _data: Buffer, is_last: bool) {
        let filter = filter(object);
        assert!(filter.reply == Reply::Begun && !filter.is_reset, "{:?}", filter.reply);
        filter.reply = if is_last { Reply::Whole } else { Reply::Begun };
    }
    envoy_dynamic_module_callback_http_send_response_trailers(object: Object, _headers: *const Header, _size: usize) {
        let filter = filter(object);
        assert!(filter.reply == Reply::Begun && !filter.is_reset, "{:?}", filter.reply);
        filter.reply = Reply::Whole;
    }
    envoy_dynamic_module_callback_http_filter_start_http_stream(object: Object, id: *mut u64, _cluster: Buffer, headers: *const Header, size: usize, _body: Buffer, is_last: bool, _timeout: u64) -> u32 {
        let (filter, head) = (filter(object), read(headers, size));
        let pseudo = [&b":method"[..], b":path"].map(|name| count(&head, name));
        // What has a body is a copy of a response.
        assert!(is_last != (head.iter().any(|(name, value)| name == b":method" && value == b"PUT")) && pseudo == [1, 1] && count(&head, b":authority") + count(&head, b"host") == 1, "{head:?}");
        check(&head.into_iter().filter(|(name, _)| !name.starts_with(b":")).collect());
        if filter.refuses > 0 {
            return filter.refuses;
        }
        *id = number();
        filter.calls.push(*id);
        0
    }
    envoy_dynamic_module_callback_http_stream_send_data(object: Object, id: u64, _data: Buffer, _is_last: bool) -> bool {
        filter(object).calls.contains(&id)
    }
    envoy_dynamic_module_callback_http_filter_reset_http_stream(object: Object, id: u64) {
        let filter = filter(object);
        if filter.calls.contains(&id) {
            filter.calls.retain(|own| *own != id);
            let own = filter.own;
            envoy_dynamic_module_on_http_filter_http_stream_reset(object, own, id, 2);
        }
    }
    envoy_dynamic_module_callback_http_filter_reset_stream(object: Object, _reason: u32, _details: Buffer) {
        filter(object).is_reset = true;
    }
    envoy_dynamic_module_callback_http_filter_continue_encoding(_object: Object) {}
    envoy_dynamic_module_callback_http_filter_continue_decoding(object: Object) {
        let filter = filter(object);
        assert!(filter.is_paused && filter.reply == Reply::None, "it goes on twice, or after {:?}", filter.reply);
        filter.is_paused = false;
    }
    envoy_dynamic_module_callback_http_get_body_chunks_size(object: Object, _body: u32) -> usize {
        usize::from(!filter(object).body.is_empty())
    }
    envoy_dynamic_module_callback_http_get_body_chunks(object: Object, _body: u32, to: *mut Buffer) -> bool {
        let body = &filter(object).body;
        if !body.is_empty() {
            *to = Buffer::of(body);
        }
        true
    }
    envoy_dynamic_module_callback_http_filter_get_attribute_string(_object: Object, _attribute: u32, _to: *mut Buffer) -> bool { false }
    envoy_dynamic_module_callback_http_filter_get_attribute_int(_object: Object, _attribute: u32, to: *mut u64) -> bool {
        *to = 2;
        true
    }
    envoy_dynamic_module_callback_http_filter_get_attribute_bool(_object: Object, _attribute: u32, _to: *mut bool) -> bool { false }
    envoy_dynamic_module_callback_http_get_cluster_name(_object: Object, to: *mut Buffer) -> bool {
        *to = Buffer::of(b"service");
        true
    }
    envoy_dynamic_module_callback_http_get_metadata_keys_count(_object: Object, _source: u32, _namespace: Buffer) -> usize { 0 }
    envoy_dynamic_module_callback_http_filter_scheduler_new(object: Object) -> Object { object }
    envoy_dynamic_module_callback_http_filter_scheduler_commit(object: Object, _event: u64) { filter(object).events += 1; }
    envoy_dynamic_module_callback_http_filter_scheduler_delete(_object: Object) {}
    envoy_dynamic_module_callback_http_filter_config_scheduler_new(object: Object) -> Object { object }
    envoy_dynamic_module_callback_http_filter_config_scheduler_commit(_object: Object, _event: u64) {
        CONFIG.events.fetch_add(1, SeqCst);
    }
    envoy_dynamic_module_callback_http_filter_config_scheduler_delete(_object: Object) {}
    envoy_dynamic_module_callback_http_filter_config_http_callout(_object: Object, id: *mut u64, _cluster: Buffer, headers: *const Header, size: usize, _body: Buffer, _timeout: u64) -> u32 {
        check(&read(headers, size).into_iter().filter(|(name, _)| !name.starts_with(b":")).collect());
        *id = number();
        CONFIG.calls.lock().unwrap().push(*id);
        0
    }
    envoy_dynamic_module_callback_http_filter_config_define_counter(_object: Object, _name: Buffer, _labels: *const Buffer, _size: usize, id: *mut usize) -> u32 {
        *id = number() as usize;
        0
    }
    envoy_dynamic_module_callback_http_filter_config_define_gauge(_object: Object, _name: Buffer, _labels: *const Buffer, _size: usize, id: *mut usize) -> u32 {
        *id = number() as usize;
        0
    }
    envoy_dynamic_module_callback_http_filter_increment_counter(_object: Object, _id: usize, _values: *const Buffer, _size: usize, _by: u64) -> u32 { 0 }
    envoy_dynamic_module_callback_http_filter_set_gauge(_object: Object, _id: usize, _values: *const Buffer, _size: usize, _value: u64) -> u32 { 0 }
    envoy_dynamic_module_callback_http_filter_config_increment_counter(_object: Object, _id: usize, _values: *const Buffer, _size: usize, _by: u64) -> u32 { 0 }
    envoy_dynamic_module_callback_http_filter_config_set_gauge(_object: Object, _id: usize, _values: *const Buffer, _size: usize, _value: u64) -> u32 { 0 }
}

#[rustfmt::skip]
unsafe extern "C" {
    fn envoy_dynamic_module_on_program_init() -> *const c_char;
    fn envoy_dynamic_module_on_http_filter_config_new(config: Object, name: Buffer, json: Buffer) -> Own;
    fn envoy_dynamic_module_on_http_filter_config_scheduled(config: Object, own: Own, event: u64);
    fn envoy_dynamic_module_on_http_filter_config_http_callout_done(config: Object, own: Own, id: u64, result: u32, headers: *const Header, size: usize, chunks: *const Buffer, count: usize);
    fn envoy_dynamic_module_on_http_filter_new(own: Own, filter: Object) -> Own;
    fn envoy_dynamic_module_on_http_filter_destroy(own: Own);
    fn envoy_dynamic_module_on_http_filter_request_headers(filter: Object, own: Own, is_whole: bool) -> u32;
    fn envoy_dynamic_module_on_http_filter_response_headers(filter: Object, own: Own, is_whole: bool) -> u32;
    fn envoy_dynamic_module_on_http_filter_response_body(filter: Object, own: Own, is_last: bool) -> u32;
    fn envoy_dynamic_module_on_http_filter_stream_complete(filter: Object, own: Own);
    fn envoy_dynamic_module_on_http_filter_scheduled(filter: Object, own: Own, event: u64);
    fn envoy_dynamic_module_on_http_filter_http_stream_headers(filter: Object, own: Own, id: u64, headers: *const Header, size: usize, is_last: bool);
    fn envoy_dynamic_module_on_http_filter_http_stream_data(filter: Object, own: Own, id: u64, chunks: *const Buffer, count: usize, is_last: bool);
    fn envoy_dynamic_module_on_http_filter_http_stream_complete(filter: Object, own: Own, id: u64);
    fn envoy_dynamic_module_on_http_filter_http_stream_reset(filter: Object, own: Own, id: u64, reason: u32);
}
