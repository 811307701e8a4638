//! What a load asks the origin to confirm: the stale response to the request, else the responses to others (RFC 9111
//! section 4.3.1).

use crate::{
    origin::with_headers,
    store::{Entry, with_fields},
};
use http::response;
use meshcache_protocol::{Response, freshness};
use std::sync::Arc;

/// Stored responses that a 304 may be about.
#[derive(Default)]
pub(crate) enum Candidates {
    /// None: the origin is asked for all of it.
    #[default]
    None,
    /// The one that would be given if it were fresh.
    Own(Arc<Entry>),
    /// Those for requests with other selecting fields, each with its strong entity tag: one of them may be this
    /// request's, too.
    Others(Vec<(Arc<Entry>, Vec<u8>)>),
}

impl Candidates {
    /// The stale response to a request, if it has a validator; where there is no response to it, `others`.
    pub(crate) fn of(stale: Option<&Arc<Entry>>, others: impl FnOnce() -> Vec<Arc<Entry>>) -> Self {
        match stale {
            Some(entry) if entry.stored.validator => Self::Own(entry.clone()),
            Some(_) => Self::None,
            None => {
                let tagged = |entry: Arc<Entry>| {
                    Some((entry.clone(), with_fields(&entry, |stored| freshness::strong_tag(&stored))?))
                };
                let tagged: Vec<_> = others().into_iter().filter(|entry| !entry.is_part()).filter_map(tagged).collect();
                if tagged.is_empty() { Self::None } else { Self::Others(tagged) }
            }
        }
    }

    /// The conditions that ask for them.
    pub(crate) fn conditions(&self) -> Vec<(&'static str, Vec<u8>)> {
        match self {
            Self::None => Vec::new(),
            Self::Own(entry) => with_fields(entry, |stored| freshness::conditions(&stored)),
            Self::Others(tagged) => vec![(
                "if-none-match",
                tagged.iter().map(|(_, tag)| tag.as_slice()).collect::<Vec<_>>().join(&b", "[..]),
            )],
        }
    }

    /// Whether nothing is asked for.
    pub(crate) fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// The one that a 304 is about.
    pub(crate) fn confirmed(&self, head: &response::Parts) -> Option<&Arc<Entry>> {
        with_headers(&head.headers, |fields| {
            let new = Response { status: head.status.as_u16(), fields };
            match self {
                Self::None => None,
                Self::Own(entry) => with_fields(entry, |stored| freshness::confirms(&stored, &new)).then_some(entry),
                // What is weak, or not said, may be the same for some purpose, but not in the very form that this
                // client takes.
                Self::Others(tagged) => {
                    let said = freshness::strong_tag(&new)?;
                    tagged.iter().find(|(_, tag)| *tag == said).map(|(entry, _)| entry)
                }
            }
        })
    }
}
