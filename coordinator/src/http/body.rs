//! A response's or a request's body: whole and shared with the store, or streamed.

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

/// The body of a message. A whole body is never copied: it is the store's own bytes.
pub enum Body {
    /// The whole body, or what is left of it.
    Full(Bytes),
    /// A body that streams from an origin, a peer or a client.
    Stream(Pin<Box<dyn http_body::Body<Data = Bytes, Error = Cut> + Send>>),
}

/// The error of a body that ended early. The client's connection is cut, so that it cannot take a part for the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut(pub &'static str);

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the body ended early: {}", self.0)
    }
}

impl std::error::Error for Cut {}

impl Body {
    /// Returns a body without bytes.
    pub const fn empty() -> Self {
        Self::Full(Bytes::new())
    }

    /// Returns a body that streams.
    pub fn stream(body: impl http_body::Body<Data = Bytes, Error = Cut> + Send + Unpin + 'static) -> Self {
        Self::Stream(Box::pin(Flushed { body, cut: None }))
    }
}

/// A body that breaks off one poll later: a server drops what it has not sent by then, and the head may be among that.
struct Flushed<B> {
    body: B,
    cut: Option<Cut>,
}

impl<B: http_body::Body<Data = Bytes, Error = Cut> + Unpin> http_body::Body for Flushed<B> {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        if let Some(cut) = this.cut.take() {
            return Poll::Ready(Some(Err(cut)));
        }
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Err(cut))) => {
                this.cut = Some(cut);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            polled => polled,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.cut.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Full(bytes)
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::Full(text.into())
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Full(bytes.into())
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self::Full(Bytes::from_static(text.as_bytes()))
    }
}

/// The body of a client's request. Most requests have none, and can then be sent a second time.
impl From<Incoming> for Body {
    fn from(body: Incoming) -> Self {
        if http_body::Body::is_end_stream(&body) {
            Self::empty()
        } else {
            Self::stream(body.map_err(|_| Cut("the client left")))
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(bytes) => write!(f, "Full({} bytes)", bytes.len()),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// A body that holds a guard, such as a permit, until it is dropped.
pub(crate) struct GuardedBody<B, T> {
    pub(crate) body: B,
    pub(crate) _guard: T,
}

impl<B: http_body::Body<Data = Bytes, Error = Cut> + Unpin, T: Unpin> http_body::Body for GuardedBody<B, T> {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match self.get_mut() {
            Self::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Stream(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.is_empty(),
            Self::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(body) => body.size_hint(),
        }
    }
}
