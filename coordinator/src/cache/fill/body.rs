//! The body of a response that a proxy copies, after its head.

use crate::http::body::{Body, Cut};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::sync::oneshot;

/// Why a body is not the one that its head announced.
const CUT: Cut = Cut("incomplete-body");

/// What follows the head. It is cut where it has more or less than its head announced.
pub(super) struct FilledBody {
    /// What came with the head.
    pub(super) first: Bytes,
    pub(super) rest: Body,
    /// How much is to come, if the head said.
    pub(super) left: Option<u64>,
    /// Told when all of it has come; dropped before that if it is not kept.
    pub(super) end: Option<oneshot::Sender<()>>,
}

impl http_body::Body for FilledBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        let data = loop {
            if !this.first.is_empty() {
                break std::mem::take(&mut this.first);
            }
            match ready!(Pin::new(&mut this.rest).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => break data,
                    // Trailers are nobody's (RFC 9111 section 3.1).
                    _ => {}
                },
                Some(Err(_)) => return Poll::Ready(Some(Err(CUT))),
                None if this.left.is_some_and(|left| left > 0) => return Poll::Ready(Some(Err(CUT))),
                None => {
                    if let Some(end) = this.end.take() {
                        let _ = end.send(());
                    }
                    return Poll::Ready(None);
                }
            }
        };
        if let Some(left) = &mut this.left {
            match left.checked_sub(data.len() as u64) {
                Some(less) => *left = less,
                None => return Poll::Ready(Some(Err(CUT))),
            }
        }
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
