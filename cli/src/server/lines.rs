//! An answer that is lines of JSON.

use crate::failed::NoAnswer;
use bytes::BytesMut;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::time::timeout;

/// The longest line, bytes.
const MAX_LINE: usize = 1 << 20;
/// How long nothing may come: a server sends an empty line every 10 s.
const SILENCE: Duration = Duration::from_secs(30);

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
            match timeout(SILENCE, self.body.frame()).await {
                Err(_) => return Err(failed(&format!("no heartbeat in {} s", SILENCE.as_secs()))),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Err(failed(&error)),
                Ok(Some(Ok(frame))) => {
                    if let Some(data) = frame.data_ref() {
                        self.read.extend_from_slice(data);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::Request;
    use http_body_util::Full;
    use hyper::client::conn::http1::handshake;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test(start_paused = true)]
    async fn a_server_that_falls_silent_is_not_waited_for() {
        let (client, mut server) = duplex(1024);
        let (mut sender, connection) = handshake(TokioIo::new(client)).await.unwrap();
        tokio::spawn(connection);
        tokio::spawn(async move {
            server.read_u8().await.unwrap();
            server.write_all(b"HTTP/1.1 200 OK\r\n\r\n\n1\n").await.unwrap();
            // Neither says more nor goes.
            std::future::pending::<()>().await;
        });
        let response = sender.send_request(Request::new(Full::<Bytes>::default())).await.unwrap();
        let mut lines = Lines::new(response.into_body(), "h:1/tail".to_owned());
        assert_eq!(lines.next::<u64>().await, Ok(Some(1)));
        assert_eq!(lines.next::<u64>().await.unwrap_err().to_string(), "h:1/tail: no heartbeat in 30 s");
    }
}
