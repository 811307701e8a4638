//! Envoy's callbacks, and the contexts that they are for.
//!
//! Only those are here that the filter needs: each callback that a module exports costs every request a call into the
//! module. So the crate `proxy-wasm`, which exports all of them, is not used.

use crate::{
    host::{self, Action},
    memory,
    root::Root,
    stream::StreamContext,
    trap,
};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
};

thread_local! {
    /// As many as listeners.
    static ROOTS: RefCell<Vec<Rc<Root>>> = const { RefCell::new(Vec::new()) };
    /// The stream that was created last, and its root. Envoy creates a stream right before it hands over its head.
    static CREATED: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
    /// The streams that have something to do after the heads of their requests. Most have not, and leave nothing here.
    static STREAMS: RefCell<BTreeMap<u32, StreamContext>> = const { RefCell::new(BTreeMap::new()) };
}

fn root(context: u32) -> Option<Rc<Root>> {
    // Not borrowed while it acts: a callback of another context may come meanwhile.
    ROOTS.with_borrow(|roots| roots.iter().find(|root| root.id() == context).cloned())
}

fn with_root(context: u32, act: impl FnOnce(&Root)) {
    if let Some(root) = root(context) {
        act(&root);
    }
}

/// Returns `None` in a stream's callback. Envoy calls none within another; if it did, that one would pass.
fn with_streams<T>(act: impl FnOnce(&mut BTreeMap<u32, StreamContext>) -> T) -> Option<T> {
    STREAMS.with(|streams| streams.try_borrow_mut().ok().map(|mut streams| act(&mut streams)))
}

fn with_stream(context: u32, act: impl FnOnce(&mut StreamContext) -> Action) -> Action {
    let act = |streams: &mut BTreeMap<u32, StreamContext>| {
        let stream = streams.get_mut(&context)?;
        let action = act(stream);
        if stream.is_done() {
            streams.remove(&context);
        }
        Some(action)
    };
    with_streams(act).flatten().unwrap_or(Action::Continue)
}

unsafe extern "C" {
    fn __wasm_call_ctors();
}

// SAFETY of all names below: they are those of the Proxy-Wasm interface, and nothing else in the module has them.

#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    // SAFETY: the host calls this once, before anything else.
    unsafe { __wasm_call_ctors() };
    trap::on_panic();
}

/// The version of the interface.
#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    memory::lend(size)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(context: u32, root: u32) {
    if root == 0 {
        ROOTS.with_borrow_mut(|roots| roots.push(Rc::new(Root::new(context))));
    } else {
        CREATED.set((context, root));
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(context: u32, _: usize) -> u32 {
    sweep(context);
    with_root(context, Root::configure);
    // 0 would fail the whole module, other listeners' filters too.
    1
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(context: u32) {
    if root(context).is_some_and(|root| root.is_sweep_due()) {
        sweep(context);
    }
    with_root(context, Root::tick);
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_http_call_response(context: u32, token: u32, headers: usize, _: usize, _: usize) {
    with_root(context, |root| root.call_returned(token, headers > 0));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(context: u32, _: usize, is_whole: u32) -> Action {
    let (stream, of) = CREATED.get();
    let (Some(root), true) = (root(of), stream == context) else { return Action::Continue };
    let Some(map) = host::header_map(host::Map::Request) else { return Action::Continue };
    if root.passes_by_host(&map) {
        return Action::Continue;
    }
    if is_whole != 0
        && let Some(action) = root.repeats(&map)
    {
        return action;
    }
    let mut stream = StreamContext::new(context, root);
    let action = stream.request_head(&map, is_whole != 0).unwrap_or(Action::Continue);
    if !stream.is_done() {
        with_streams(|streams| streams.insert(context, stream));
    }
    action
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(context: u32, _: usize, is_whole: u32) -> Action {
    with_stream(context, |stream| stream.response_head(is_whole != 0).unwrap_or(Action::Continue))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_body(context: u32, _: usize, is_last: u32) -> Action {
    with_stream(context, |stream| {
        if stream.reads_body() {
            stream.response_body(host::buffer(host::Buffer::ResponseBody).into_vec(), is_last != 0);
        }
        Action::Continue
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_trailers(context: u32, _: usize) -> Action {
    with_stream(context, |stream| {
        stream.response_body(Vec::new(), true);
        Action::Continue
    })
}

/// Lets go of the streams of a root that are over, of those without a root, and of roots that are over. Envoy has a
/// callback for the end of a context, which would cost each request a call: so ticks look for them.
fn sweep(root: u32) {
    ROOTS.with_borrow_mut(|roots| roots.retain(|other| other.id() == root || host::act_for(other.id())));
    let is_anothers = |of: u32| of != root && self::root(of).is_some();
    let is_over = |(context, stream): (&u32, &StreamContext)| {
        (!is_anothers(stream.root()) && !host::act_for(*context)).then_some(*context)
    };
    let over = |streams: &mut BTreeMap<u32, StreamContext>| streams.iter().filter_map(is_over).collect::<Vec<u32>>();
    for context in with_streams(over).unwrap_or_default() {
        if let Some(mut stream) = with_streams(|streams| streams.remove(&context)).flatten() {
            stream.leave();
        }
    }
    host::act_for(root);
}
