//! Answers of the scripted origin, and when they come.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use hyper::body::{Frame, SizeHint};
use tokio::sync::watch;

/// An answer: a 200 without body and headers until told otherwise.
#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    headers: Vec<(HeaderName, HeaderValue)>,
    delay: Duration,
    gate: Option<Gate>,
    chunk: Bytes,
    chunks: usize,
    pause: Duration,
    rest: Option<Gate>,
    announced: bool,
    cut: bool,
    gone: bool,
    trailers: HeaderMap,
}

impl Reply {
    /// A 200 with this body and its length announced.
    pub fn ok(body: impl Into<Bytes>) -> Reply {
        let reply = Reply::status(200);
        Reply { chunk: body.into(), chunks: 1, ..reply }
    }

    /// A 200 that may be stored for `seconds`.
    pub fn fresh(seconds: u64, body: impl Into<Bytes>) -> Reply {
        Reply::ok(body).header("cache-control", format!("max-age={seconds}"))
    }

    /// Any status, without body.
    pub fn status(status: u16) -> Reply {
        Reply {
            status,
            headers: vec![],
            delay: Duration::ZERO,
            gate: None,
            chunk: Bytes::new(),
            chunks: 0,
            pause: Duration::ZERO,
            rest: None,
            announced: true,
            cut: false,
            gone: false,
            trailers: HeaderMap::new(),
        }
    }

    /// Sets the status.
    pub fn with_status(self, status: u16) -> Reply {
        Reply { status, ..self }
    }

    /// One more header line; the value may be any bytes that HTTP allows.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Reply {
        self.headers.push((name.parse().unwrap(), HeaderValue::from_bytes(value.as_ref()).unwrap()));
        self
    }

    /// Waits before it answers.
    pub fn delay(self, delay: Duration) -> Reply {
        Reply { delay, ..self }
    }

    /// Waits until the gate is open before it answers.
    pub fn behind(self, gate: &Gate) -> Reply {
        Reply { gate: Some(gate.clone()), ..self }
    }

    /// Sends the body `times` over: large answers that cost no memory here.
    pub fn repeated(self, times: usize) -> Reply {
        Reply { chunks: times, ..self }
    }

    /// Waits before each time.
    pub fn slowly(self, pause: Duration) -> Reply {
        Reply { pause, ..self }
    }

    /// Sends its head and the first of its chunks at once, and the rest when the gate is open.
    pub fn rest_behind(self, gate: &Gate) -> Reply {
        Reply { rest: Some(gate.clone()), ..self }
    }

    /// Does not announce its length.
    pub fn unannounced(self) -> Reply {
        Reply { announced: false, ..self }
    }

    /// Announces its whole length, sends all but the last byte, then cuts the connection.
    pub fn cut(self) -> Reply {
        Reply { cut: true, ..self }
    }

    /// Closes the connection instead of answering.
    pub fn gone() -> Reply {
        Reply { gone: true, ..Reply::status(500) }
    }

    /// One more trailer field after the body, which is then sent in chunks.
    pub fn trailer(mut self, name: &str, value: &str) -> Reply {
        self.announced = false;
        self.trailers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        self
    }

    /// `guard` is released when the answer has been sent, or will never be.
    pub(super) async fn send<G: Send + Unpin + 'static>(self, guard: G) -> io::Result<Response<Body>> {
        tokio::time::sleep(self.delay).await;
        if let Some(gate) = &self.gate {
            gate.passed().await;
        }
        if self.gone {
            return Err(io::Error::other("scripted to be gone"));
        }
        let mut response = Response::builder().status(self.status);
        for (name, value) in &self.headers {
            response = response.header(name, value);
        }
        let length = self.announced.then_some((self.chunk.len() * self.chunks) as u64);
        let trailers = Some(self.trailers).filter(|trailers| !trailers.is_empty());
        let body = Body {
            chunk: self.chunk,
            left: self.chunks,
            pause: self.pause,
            sleep: None,
            rest: self.rest.map(|gate| (self.chunks, Box::pin(async move { gate.passed().await }) as Passed)),
            length,
            cut: self.cut,
            flushed: false,
            trailers,
            _guard: Box::new(guard),
        };
        Ok(response.body(body).unwrap())
    }
}

/// Holds answers back until it is opened; clones share one gate.
#[derive(Clone, Debug)]
pub struct Gate(watch::Sender<bool>);

impl Gate {
    /// A gate that is shut.
    pub fn shut() -> Gate {
        Gate(watch::Sender::new(false))
    }

    /// Opens it for good.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    async fn passed(&self) {
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

type Passed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A body of equal chunks.
pub(super) struct Body {
    chunk: Bytes,
    left: usize,
    /// What the chunks after the first one wait for, and how many chunks there are.
    rest: Option<(usize, Passed)>,
    length: Option<u64>,
    cut: bool,
    pause: Duration,
    sleep: Option<Pin<Box<tokio::time::Sleep>>>,
    flushed: bool,
    trailers: Option<HeaderMap>,
    _guard: Box<dyn std::any::Any + Send>,
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if !this.pause.is_zero() && this.left > 0 {
            let pause = this.pause;
            let sleep = this.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
            std::task::ready!(sleep.as_mut().poll(context));
            this.sleep = None;
        }
        if let Some((_, passed)) = this.rest.as_mut().filter(|(all, _)| this.left < *all) {
            std::task::ready!(passed.as_mut().poll(context));
            this.rest = None;
        }
        if this.left == 0 && this.cut && !this.flushed {
            // hyper forgets what it has not sent yet when a body fails: a turn without news lets it send that first.
            this.flushed = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(match (this.left, this.cut) {
            (0, true) => Some(Err(io::Error::other("scripted to be cut"))),
            (0, false) => this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))),
            (1, true) => {
                this.left = 0;
                Some(Ok(Frame::data(this.chunk.slice(..this.chunk.len().saturating_sub(1)))))
            }
            _ => {
                this.left -= 1;
                Some(Ok(Frame::data(this.chunk.clone())))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0 && !self.cut && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
