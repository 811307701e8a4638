//! An answer that is lines of JSON.

use crate::failed::NoAnswer;
use bytes::BytesMut;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

/// The longest line, bytes.
const MAX_LINE: usize = 1 << 20;

/// The lines that are still to come.
pub struct Lines {
    body: Incoming,
    /// What has come of the next lines.
    read: BytesMut,
    /// What stands before an error.
    of: String,
}

impl Lines {
    pub(super) fn new(body: Incoming, of: String) -> Self {
        Self { body, read: BytesMut::new(), of }
    }

    /// Waits for the next line. `None`: the server has ended the answer. A call that is dropped loses nothing.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, NoAnswer> {
        let failed = |why: &dyn std::fmt::Display| NoAnswer::new(format!("{}: {why}", self.of));
        loop {
            if let Some(end) = self.read.iter().position(|b| *b == b'\n') {
                let line = self.read.split_to(end.saturating_add(1));
                if line.trim_ascii().is_empty() {
                    continue;
                }
                return serde_json::from_slice(&line).map(Some).map_err(|error| failed(&error));
            }
            if self.read.len() > MAX_LINE {
                return Err(failed(&"a line is too long"));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(failed(&error)),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.read.extend_from_slice(data);
                    }
                }
            }
        }
    }
}
