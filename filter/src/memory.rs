//! The memory that Envoy writes its results into: two buffers, which are used again and stay warm.

use std::{
    alloc::{Layout, alloc, dealloc, handle_alloc_error},
    cell::Cell,
    ops::Deref,
    ptr::NonNull,
};

/// The size of the buffers that are used again. Most header maps fit.
const REUSED: usize = 4 << 10;

thread_local! {
    /// One for a header map, one for what is asked for while that is read.
    static SPARE: [Cell<Option<NonNull<u8>>>; 2] = const { [const { Cell::new(None) }; 2] };
}

/// The bytes that a call of the host returned.
#[derive(Default)]
pub(crate) struct HostBytes {
    /// `None`: there are none.
    data: Option<NonNull<u8>>,
    size: usize,
}

fn layout(size: usize) -> Layout {
    // A host that has this much memory asks for a size within the bounds of a layout.
    Layout::from_size_align(size.max(REUSED), 1).unwrap_or(Layout::new::<[u8; REUSED]>())
}

/// Lends memory to the host, which returns it at once with what it writes.
pub(crate) fn lend(size: usize) -> *mut u8 {
    if size <= REUSED
        && let Some(spare) = SPARE.with(|spare| spare.iter().find_map(Cell::take))
    {
        return spare.as_ptr();
    }
    // SAFETY: the size of the layout is not 0.
    let data = unsafe { alloc(layout(size)) };
    if data.is_null() {
        handle_alloc_error(layout(size));
    }
    data
}

impl HostBytes {
    /// Takes memory back that was lent, with this many bytes in it.
    ///
    /// # Safety
    /// `data` is null, or of [`lend`] for `size`, and nobody else has it.
    pub(crate) unsafe fn take(data: *mut u8, size: usize) -> Self {
        NonNull::new(data).map_or_else(Self::default, |data| Self { data: Some(data), size })
    }

    /// Returns the bytes, without a copy where they are many.
    pub(crate) fn into_vec(mut self) -> Vec<u8> {
        match self.data.take_if(|_| self.size > REUSED) {
            // SAFETY: above `REUSED`, `lend` makes a layout of exactly this size.
            Some(data) => unsafe { Vec::from_raw_parts(data.as_ptr(), self.size, self.size) },
            None => self.to_vec(),
        }
    }
}

impl Deref for HostBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the host wrote this many bytes there.
        self.data.map_or(&[], |data| unsafe { std::slice::from_raw_parts(data.as_ptr(), self.size) })
    }
}

impl Drop for HostBytes {
    fn drop(&mut self) {
        let Some(data) = self.data else { return };
        let is_kept = self.size <= REUSED
            && SPARE.with(|spare| {
                let free = spare.iter().find(|spare| spare.get().is_none());
                free.inspect(|spare| spare.set(Some(data))).is_some()
            });
        if !is_kept {
            // SAFETY: `lend` made it with this layout.
            unsafe { dealloc(data.as_ptr(), layout(self.size)) };
        }
    }
}
