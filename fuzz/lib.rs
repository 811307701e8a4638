//! Shared by the targets: the group of `--origin`, a time, a request.

use meshcache_protocol::{
    Field, Group, Request, Response,
    freshness::{NotStored, Stored, Times, store},
};
use std::sync::LazyLock;

/// The group that `--origin` makes.
pub static LETTER: LazyLock<Group> = LazyLock::new(|| {
    Group::for_tests(r#"{"freshness": {"heuristic": true, "requestDirectives": "obey", "errors": "rfc9111", "targets": ["MeshCache-Control", "CDN-Cache-Control"]}}"#)
});

/// Sun, 06 Nov 1994 08:49:37 GMT.
pub const NOW: u64 = 784_111_777_000;

/// A GET with these fields.
pub fn get<'a>(fields: &'a [Field<'a>]) -> Request<'a> {
    Request::read(b"GET", b"http", b"h", b"/", fields).unwrap()
}

/// Whether a 200 with these fields is stored, and how.
pub fn stored(fields: &[Field<'_>]) -> Result<Stored, NotStored> {
    store(&LETTER, &get(&[]), false, &Response { status: 200, fields }, Times { requested: NOW, responded: NOW }, 0)
}

/// Whether bytes can be a field's value: HTTP libraries reject others.
pub fn is_value(bytes: &[u8]) -> bool {
    bytes.iter().all(|b| *b == b'\t' || (*b >= 0x20 && *b != 0x7f))
}
