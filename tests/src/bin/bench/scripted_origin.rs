//! An origin that answers by a script, over connections that it keeps, and counts the loads of each path.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};

/// How each request is answered.
pub(crate) trait Script: Send + Sync + 'static {
    /// Answers one request. An error is a client that went away.
    fn answer(&self, stream: &mut TcpStream, path: &str, head: &str) -> impl Future<Output = io::Result<()>> + Send;
}

/// The origin. Dropping it ends its accepting.
pub(crate) struct ScriptedOrigin {
    /// Its address.
    pub(crate) addr: SocketAddr,
    loads: Arc<Mutex<HashMap<String, usize>>>,
    accepting: AbortHandle,
}

impl ScriptedOrigin {
    /// Starts it.
    pub(crate) async fn start(script: impl Script) -> ScriptedOrigin {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, loads) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(HashMap::new())));
        let (counted, script) = (loads.clone(), Arc::new(script));
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, script.clone(), counted.clone()));
            }
        });
        ScriptedOrigin { addr, loads, accepting: accepting.abort_handle() }
    }

    /// `http://ADDRESS`, for configurations.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Requests for a path so far.
    pub(crate) fn loads(&self, path: &str) -> usize {
        self.loads.lock().unwrap().get(path).copied().unwrap_or(0)
    }
}

impl Drop for ScriptedOrigin {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    script: Arc<impl Script>,
    loads: Arc<Mutex<HashMap<String, usize>>>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut head = Vec::new();
    loop {
        while !head.windows(4).any(|four| four == b"\r\n\r\n") {
            if stream.read_buf(&mut head).await? == 0 {
                return Ok(());
            }
        }
        let text = String::from_utf8_lossy(&head).into_owned();
        head.clear();
        let path = text.split(' ').nth(1).unwrap_or_default();
        *loads.lock().unwrap().entry(path.to_owned()).or_default() += 1;
        script.answer(&mut stream, path, &text).await?;
    }
}
