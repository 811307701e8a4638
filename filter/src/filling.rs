//! A request that fills: a copy of its response goes to the owner when it is whole. Else the load is given back.

use crate::{host, root::Root};
use meshcache_proxy::{
    http::header_map::HeaderMap,
    request::{fill::FillCall, fill_copy::FillCopy},
};

/// A copy that grows.
pub(crate) struct Filling {
    stream: u32,
    call: Box<FillCall>,
    copy: FillCopy,
}

impl Filling {
    /// Begins with the head of the response. `None`: it cannot be copied.
    pub(crate) fn begin(root: &Root, stream: u32, call: Box<FillCall>, map: Option<&[u8]>) -> Option<Self> {
        let copy = map.and_then(|map| {
            let room = root.configured()?.worker.try_borrow().ok()?.envoy.copies.clone();
            FillCopy::begin(HeaderMap::parse(map)?, &room, host::now())
        });
        if copy.is_none() {
            root.fill(stream, &call, None);
        }
        Some(Self { stream, call, copy: copy? })
    }

    /// Takes a piece of the body. `None`: the copy is whole, or too large.
    pub(crate) fn body(mut self, root: &Root, piece: Vec<u8>, is_last: bool) -> Option<Self> {
        let fits = self.copy.piece(piece, host::now());
        if fits && !is_last {
            return Some(self);
        }
        root.fill(self.stream, &self.call, Some(self.copy).filter(|_| fits));
        None
    }

    /// Gives up: the response breaks off, or its client has left.
    pub(crate) fn give_back(self, root: &Root) {
        root.fill(self.stream, &self.call, None);
    }
}
