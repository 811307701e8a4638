//! A body that stands beside its entry's block.

use crate::store::{alloc_size::size_class, exact_bytes::size_of_vec, head::ARC};
use bytes::Bytes;
use std::{ops::Deref, sync::Arc};

/// Up to here a body is copied for the store: that saves the counter and the length that `Bytes` has for itself.
const MAX_COPIED: usize = 4096;

/// A body. 16 bytes.
#[derive(Debug)]
pub(super) enum Apart {
    /// A copy of exact size.
    Exact(Box<[u8]>),
    /// The body as it came.
    AsItCame(Box<Bytes>),
}

impl Apart {
    /// Keeps a body as it came.
    pub(super) fn new(body: Bytes) -> Arc<Self> {
        Arc::new(Self::AsItCame(Box::new(body)))
    }

    /// Returns the body in as little memory as it can be.
    pub(super) fn packed(self: &Arc<Self>) -> Arc<Self> {
        match &**self {
            Self::AsItCame(body) if body.len() <= MAX_COPIED => Arc::new(Self::Exact((**body).as_ref().into())),
            _ => self.clone(),
        }
    }

    /// Returns the bytes that the packed body of this length takes in memory.
    pub(super) const fn packed_size(len: usize) -> u64 {
        let own = size_class(size_of::<Self>() + ARC);
        own + if len <= MAX_COPIED { size_class(len) } else { size_of_vec(len) + size_of::<Bytes>() as u64 }
    }

    /// Returns the bytes that it takes in memory.
    pub(super) fn bytes(&self) -> u64 {
        let own = size_class(size_of::<Self>() + ARC);
        own + match self {
            Self::Exact(body) => size_class(body.len()),
            Self::AsItCame(body) => size_of_vec(body.len()) + size_of::<Bytes>() as u64,
        }
    }

    /// Returns a handle to the body.
    pub(super) fn handle(self: &Arc<Self>) -> Bytes {
        match &**self {
            Self::Exact(_) => Bytes::from_owner(Handle(self.clone())),
            Self::AsItCame(body) => (**body).clone(),
        }
    }
}

impl Deref for Apart {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Exact(body) => body,
            Self::AsItCame(body) => body,
        }
    }
}

/// The owner of a handle's bytes.
struct Handle(Arc<Apart>);

impl AsRef<[u8]> for Handle {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_the_same_however_it_is_kept() {
        for len in [0, 1, 1024, MAX_COPIED, MAX_COPIED + 1] {
            let body = Bytes::from(vec![7; len]);
            let packed = Apart::new(body.clone()).packed();
            let handle = packed.handle();
            assert_eq!((&**packed, packed.bytes()), (&*body, Apart::packed_size(len)), "{len}");
            drop(packed);
            assert_eq!(handle, body, "a response that is on its way outlives its entry");
        }
        assert_eq!(size_of::<Apart>(), 16);
    }
}
