//! Bodies that grow, and the heads of answers that have them.

use crate::simulation::net::Event;
use meshcache_protocol::{
    Field, Request, Response,
    freshness::{ContentRange, Part, part},
};
use std::{cell::RefCell, rc::Rc};

/// A body as it grows.
#[derive(Default)]
pub(super) struct Growing {
    /// As its head says. None: the head is not here yet.
    pub(super) version: Option<u64>,
    /// The version that each part is of.
    pub(super) parts: Vec<u64>,
    pub(super) end: Option<End>,
    /// What waits for the head.
    pub(super) waiting: Vec<Event>,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum End {
    Whole,
    Cut,
}

pub(super) type Body = Rc<RefCell<Growing>>;

/// A body that somebody reads, at the service or at a start of a node, and the offset of the next part.
pub(super) struct Source {
    pub(super) body: Body,
    pub(super) node: Option<(usize, u64)>,
    pub(super) at: usize,
}

/// What a reader sees of its source.
pub(super) enum Seen {
    Part(u64),
    End,
    Nothing,
    Lost,
}

pub(super) type Fields = Vec<(&'static str, Vec<u8>)>;

/// A head, and where its body is.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) fields: Fields,
    pub(super) source: Source,
}

/// The number of parts of a version.
pub(super) fn length(version: u64) -> u64 {
    12 + version % 3
}

pub(super) fn with_fields<T>(fields: &Fields, see: impl FnOnce(&[Field<'_>]) -> T) -> T {
    see(&fields.iter().map(|(name, value)| (name.as_bytes(), value.as_slice())).collect::<Vec<_>>())
}

impl Answer {
    /// Answers a request of these fields. The tags of every fourth key are weak.
    pub(super) fn of(key: usize, body: &Body, node: Option<(usize, u64)>, asked: &Fields) -> Option<Self> {
        let version = body.borrow().version?;
        let weak = if key.is_multiple_of(4) { "W/" } else { "" };
        let mut fields: Fields = vec![("etag", format!("{weak}\"{version}\"").into_bytes())];
        let (path, length) = (format!("/{key}"), length(version));
        let part = with_fields(asked, |asked| {
            let request = Request::read(b"GET", b"http", b"h", path.as_bytes(), asked).unwrap();
            with_fields(&fields, |fields| part(&request, &Response { status: 200, fields }, length))
        });
        let (status, at) = match part {
            Part::Range(first, last) => {
                fields.push(("content-range", ContentRange { first, last, length }.to_string().into_bytes()));
                (206, first)
            }
            Part::Unsatisfiable => (416, 0),
            _ => (200, 0),
        };
        Some(Self { status, fields, source: Source { body: body.clone(), node, at: at as usize } })
    }

    pub(super) fn response<T>(&self, see: impl FnOnce(&Response<'_>) -> T) -> T {
        with_fields(&self.fields, |fields| see(&Response { status: self.status, fields }))
    }
}
