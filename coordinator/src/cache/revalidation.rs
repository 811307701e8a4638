//! Revalidation: which stored responses a load asks the origin to confirm, and what a 304 makes of them (RFC 9111
//! section 4.3).

use crate::{
    cache::{insertion::LoadTarget, response::Names},
    jitter::random,
    origin::with_headers,
    store::{Entry, Parts, with_fields},
};
use http::{header::VIA, response};
use meshcache_protocol::{
    Field, Response,
    freshness::{self, NotStored, Selecting, Times, Vary},
};
use std::sync::Arc;

/// The stored responses that a 304 may be about (RFC 9111 section 4.3.1).
#[derive(Default)]
pub(crate) enum Candidates {
    /// None: the request is unconditional.
    #[default]
    None,
    /// The response that would be used if it were fresh.
    Own(Arc<Entry>),
    /// Responses to requests with other selecting fields, each with its strong entity tag: one of them may be the
    /// response to this request, too.
    Others(Vec<(Arc<Entry>, Vec<u8>)>),
}

impl Candidates {
    /// Selects the stale response if it has a validator. If there is no stale response, it selects `others`.
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

    /// Returns the conditional fields of the request.
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

    /// Whether the request is unconditional.
    pub(crate) fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Returns the response that a 304 confirms.
    pub(crate) fn confirmed(&self, head: &response::Parts) -> Option<&Arc<Entry>> {
        with_headers(&head.headers, |fields| {
            let new = Response { status: head.status.as_u16(), fields };
            match self {
                Self::None => None,
                Self::Own(entry) => with_fields(entry, |stored| freshness::confirms(&stored, &new)).then_some(entry),
                // A weak or missing tag may mean another form of the same, which this client may not accept.
                Self::Others(tagged) => {
                    let said = freshness::strong_tag(&new)?;
                    tagged.iter().find(|(_, tag)| *tag == said).map(|(entry, _)| entry)
                }
            }
        })
    }
}

/// A response head that updates a stored response.
pub(crate) struct OriginHead<'a> {
    pub(crate) head: &'a response::Parts,
    pub(crate) times: Times,
    /// When it arrived, by the store's clock.
    pub(crate) at: u64,
}

/// Returns a stored response with the fields of a 304 or of the response to a HEAD, as if it had just arrived so (RFC
/// 9111 section 3.2).
pub(crate) fn freshen(
    names: &Names,
    target: &LoadTarget<'_>,
    old: &Entry,
    brought: &OriginHead<'_>,
) -> Result<Entry, NotStored> {
    let OriginHead { head: new, times, at } = *brought;
    let LoadTarget { served, request, verified, load, .. } = target;
    let fields = with_headers(&new.headers, |new| with_fields(old, |stored| freshness::freshened(stored.fields, new)));
    let views: Vec<Field<'_>> = fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
    let response = Response { status: old.stored.status, fields: &views };
    let stored = freshness::store(&served.group, request, *verified, &response, times, random())?;
    let selecting = Selecting::in_group(&served.group, &Vary::of(&response), request);
    let fields = freshness::storable(&served.group, &response, times.responded);
    // The stored Via already ends with our member.
    let fields = if new.headers.contains_key(VIA) { names.with_via(fields, new.version) } else { fields };
    let tags = served.group.config().tags.header.to_ascii_lowercase();
    Ok(Entry::new(Parts {
        status: old.status,
        fields,
        tags: &tags,
        body: old.body.clone(),
        selecting,
        stored,
        arrived: at,
        position: load.position().clone(),
    }))
}
