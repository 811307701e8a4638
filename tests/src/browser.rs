//! A real Chromium (CHROMIUM_BIN, else chromium-headless-shell), driven by tests/browser/driver.mjs.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::{Value, json};

use crate::{artifact, coordinator::ADMIN_TOKEN};

/// A window's size and colours.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// `light` or `dark`.
    pub scheme: &'static str,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

/// A desktop's window.
pub const DESKTOP: Window = Window { scheme: "light", width: 1200, height: 900 };
/// One with dark colours.
pub const DARK: Window = Window { scheme: "dark", ..DESKTOP };
/// A small phone's.
pub const PHONE: Window = Window { scheme: "light", width: 360, height: 740 };

/// A browser with one window. Dropping it closes it.
pub struct Browser {
    driver: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Browser {
    /// Starts one; nothing where there is none, which is said.
    pub fn start() -> Option<Browser> {
        let chromium = std::env::var("CHROMIUM_BIN").ok().or_else(|| found("chromium-headless-shell"));
        let modules = artifact::file(".tools/browser/node_modules");
        let (Some(chromium), true) = (chromium, modules.join("playwright-core").is_dir()) else {
            eprintln!("there is no Chromium here, or nothing that drives it: scripts/setup browser");
            return None;
        };
        let mut command = Command::new("node");
        command.arg(artifact::file("tests/browser/driver.mjs")).env("NODE_PATH", modules).env("CHROMIUM_BIN", chromium);
        let mut driver = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("node starts");
        let (to, from) = (driver.stdin.take(), BufReader::new(driver.stdout.take().unwrap()));
        Some(Browser { driver, to, from })
    }

    /// Opens a page in a new window, with the administrators' token as password: the status.
    pub fn open(&mut self, url: &str, window: Window) -> Value {
        self.open_as(url, window, ADMIN_TOKEN)
    }

    /// Opens a page with this password.
    pub fn open_as(&mut self, url: &str, window: Window, password: &str) -> Value {
        let Window { scheme, width, height } = window;
        self.ask(json!({"command": "open", "url": url, "scheme": scheme, "width": width, "height": height, "user": "anybody", "password": password}))
    }

    /// The value of a JavaScript expression in the page.
    pub fn value(&mut self, of: &str) -> Value {
        self.ask(json!({"command": "value", "of": of}))
    }

    /// The text of an element.
    pub fn text(&mut self, of: &str) -> String {
        let text = self.value(&format!("document.querySelector({}).innerText", json!(of)));
        text.as_str().unwrap_or_default().replace('\u{a0}', " ")
    }

    /// Waits until an expression is true.
    pub fn until(&mut self, of: &str) {
        self.ask(json!({"command": "until", "of": of}));
    }

    /// Waits until an element's text has this in it.
    pub fn until_says(&mut self, at: &str, text: &str) {
        let (at, text) = (json!(at), json!(text));
        self.until(&format!(
            "(document.querySelector({at})?.innerText ?? '').replaceAll('\\u00a0', ' ').includes({text})"
        ));
    }

    /// Clicks on an element, once it is there.
    pub fn click(&mut self, on: &str) {
        self.ask(json!({"command": "click", "on": on}));
    }

    /// Types into a field in place of what is in it.
    pub fn fill(&mut self, into: &str, text: &str) {
        self.ask(json!({"command": "type", "into": into, "text": text}));
    }

    /// Chooses an option.
    pub fn choose(&mut self, of: &str, value: &str) {
        self.ask(json!({"command": "choose", "of": of, "value": value}));
    }

    /// Presses a key.
    pub fn press(&mut self, key: &str) {
        self.ask(json!({"command": "press", "key": key}));
    }

    /// Cuts the page off from everything, or no longer.
    pub fn offline(&mut self, is: bool) {
        self.ask(json!({"command": "offline", "is": is}));
    }

    /// What axe finds wrong for people with disabilities.
    pub fn axe(&mut self) -> Value {
        self.ask(json!({"command": "axe"}))
    }

    /// Errors and warnings on the console since the page was opened: what its policy refused is among them.
    pub fn problems(&mut self) -> Value {
        self.ask(json!({"command": "problems"}))
    }

    /// Writes a PNG of the window.
    pub fn picture(&mut self, path: &Path) {
        self.ask(json!({"command": "picture", "path": path}));
    }

    fn ask(&mut self, command: Value) -> Value {
        // The origins of a test run on the same threads.
        let answer = tokio::task::block_in_place(|| {
            writeln!(self.to.as_mut().unwrap(), "{command}").unwrap();
            let mut line = String::new();
            self.from.read_line(&mut line).unwrap();
            line
        });
        let mut answer: Value = serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{command}: no answer"));
        assert!(answer["error"].is_null(), "{command}: {}", answer["error"].as_str().unwrap_or_default());
        answer["ok"].take()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends with its input, and closes the browser.
        drop(self.to.take());
        let _ = self.driver.wait();
    }
}

fn found(program: &str) -> Option<String> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())?;
    Some(found.display().to_string())
}
