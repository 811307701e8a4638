//! The Wasm filter. Without a configuration it lets every request through. `ring` times ring lookups. `ask` asks the
//! cluster `owner` and hands on the body that comes. Any other configuration is the body of its answer to all requests.

use std::{rc::Rc, time::Duration};

use proxy_wasm::{
    traits::{Context, HttpContext, RootContext},
    types::{Action, ContextType},
};

use crate::lookup;

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Bare { role: Role::Pass }));
}}

#[derive(Clone)]
enum Role {
    Pass,
    Reply(Rc<[u8]>),
    Ask,
}

struct Bare {
    role: Role,
}

impl Context for Bare {}

impl RootContext for Bare {
    fn on_configure(&mut self, _: usize) -> bool {
        match self.get_plugin_configuration().as_deref() {
            None | Some([]) => {}
            Some(b"ring") => self.set_tick_period(Duration::from_millis(100)),
            Some(b"ask") => self.role = Role::Ask,
            Some(body) => self.role = Role::Reply(Rc::from(body)),
        }
        true
    }

    fn on_tick(&mut self) {
        lookup::time_all();
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Request { role: self.role.clone() }))
    }
}

struct Request {
    role: Role,
}

impl Request {
    fn reply(&self, status: u32, body: Option<&[u8]>) -> Action {
        self.send_http_response(status, vec![("content-type", "text/plain")], body);
        Action::Pause
    }

    fn header(&self, name: &str) -> Option<String> {
        String::from_utf8(self.get_http_request_header_bytes(name)?).ok()
    }
}

impl Context for Request {
    fn on_http_call_response(&mut self, _: u32, _: usize, size: usize, _: usize) {
        let body = self.get_http_call_response_body(0, size);
        self.reply(200, body.as_deref());
    }
}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        // An answer that depends on nothing would be no cache's: the path is read in any case.
        let path = || self.header(":path");
        match &self.role {
            Role::Pass => Action::Continue,
            Role::Reply(body) => self.reply(if path().is_some() { 200 } else { 400 }, Some(body)),
            Role::Ask => {
                let (path, authority) = (path().unwrap_or_default(), self.header(":authority").unwrap_or_default());
                let head =
                    vec![(":method", "GET"), (":scheme", "http"), (":authority", &*authority), (":path", &*path)];
                match self.dispatch_http_call("owner", head, None, vec![], Duration::from_secs(1)) {
                    Ok(_) => Action::Pause,
                    Err(_) => self.reply(503, None),
                }
            }
        }
    }
}
