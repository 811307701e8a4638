//! The least that a Wasm filter can do: with a configuration it replies with that, without one it lets the request pass.

#![cfg(target_family = "wasm")]
// The crate is the yardstick's module and nothing else: the macro's exports are its interface.
#![allow(missing_docs)]

use std::rc::Rc;

use meshcache_protocol::key::Hash;
use meshcache_protocol::ring::{Peer, Ring};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};

/// Lookups that are timed together: the host's clock is coarse.
const LOOKUPS: u32 = 20_000;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root::default()));
}}

#[derive(Default)]
struct Root {
    body: Option<Rc<[u8]>>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        self.body = self.get_plugin_configuration().filter(|_| size > 0).map(Rc::from);
        // `rings: 3 30 300` asks for the time of a lookup in rings of so many peers, in the log.
        let text = self.body.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
        for peers in text.strip_prefix("rings:").unwrap_or_default().split_whitespace() {
            self.time_lookups(peers.parse().unwrap_or_default());
        }
        true
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        let body = self.body.clone();
        Some(Box::new(Stream { body }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

impl Root {
    fn time_lookups(&self, peers: u32) {
        let peer = |i| Peer { name: format!("peer-{i}"), data: String::new(), peer: String::new() };
        let ring = Ring::new((0..peers).map(peer).collect());
        let begun = self.get_current_time();
        for key in 0..LOOKUPS {
            std::hint::black_box(ring.owner_and_next(Hash::of(&key.to_le_bytes())));
        }
        let took = self.get_current_time().duration_since(begun).unwrap_or_default();
        let each = took.as_nanos() / u128::from(LOOKUPS);
        proxy_wasm::hostcalls::log(LogLevel::Info, &format!("ring of {peers}: {each} ns a lookup")).unwrap_or_default();
    }
}

struct Stream {
    body: Option<Rc<[u8]>>,
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let Some(body) = &self.body else { return Action::Continue };
        // A reply that depends on nothing would be no cache: it reads what it would look up.
        if self.get_http_request_header_bytes(":path").is_none() {
            return Action::Continue;
        }
        self.send_http_response(200, vec![("content-type", "text/plain")], Some(body));
        Action::Pause
    }
}
