//! Revalidation: which stored responses a load asks the origin to confirm, and what a 304 makes of them (RFC 9111
//! section 4.3).

use crate::{
    cache::{
        insertion::{LoadTarget, with_extent},
        response::Names,
    },
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
                    let new_tag = freshness::strong_tag(&new)?;
                    tagged.iter().find(|(_, tag)| *tag == new_tag).map(|(entry, _)| entry)
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
    origin_head: &OriginHead<'_>,
) -> Result<Entry, NotStored> {
    let OriginHead { head: new, times, at } = *origin_head;
    let LoadTarget { served, request, verified, load, .. } = target;
    let fields = with_headers(&new.headers, |new| with_fields(old, |stored| freshness::freshened(stored.fields, new)));
    let views: Vec<Field<'_>> = fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
    let response = Response { status: old.stored.status, fields: &views };
    let stored = freshness::store(&served.group, request, *verified, &response, times, random())?;
    let selecting = Selecting::in_group(&served.group, &Vary::in_group(&served.group, &response), request);
    let fields = freshness::storable(&served.group, &response, times.responded);
    // The stored Via already ends with our member.
    let fields = if new.headers.contains_key(VIA) { names.with_via(fields, new.version) } else { fields };
    let fields = with_extent(fields, old.slice_extent());
    let tags = served.group.config().tags.header.to_ascii_lowercase();
    Ok(Entry::new(Parts {
        status: old.status,
        fields,
        tags: &tags,
        body: old.body(),
        selecting,
        stored,
        arrived: at,
        position: load.position().clone(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::response::tests::entry;

    fn with_validator(mut entry: Entry) -> Arc<Entry> {
        entry.stored.validator = true;
        Arc::new(entry)
    }

    fn not_modified(fields: &[(&'static str, &'static str)]) -> response::Parts {
        let head = http::Response::builder().status(304);
        fields.iter().fold(head, |head, (name, value)| head.header(*name, *value)).body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_stale_response_with_a_validator_is_validated() {
        let stale = with_validator(entry(&[("etag", "\"1\"")], b"abc"));
        let candidates = Candidates::of(Some(&stale), Vec::new);
        assert_eq!(candidates.conditions(), [("if-none-match", b"\"1\"".to_vec())]);
        assert!(candidates.confirmed(&not_modified(&[("etag", "\"1\"")])).is_some());
        assert!(candidates.confirmed(&not_modified(&[("etag", "\"2\"")])).is_none(), "it is about another response");
        let without = Arc::new(entry(&[], b"abc"));
        assert!(
            Candidates::of(Some(&without), || vec![stale.clone()]).is_none(),
            "there is nothing to validate it with"
        );
    }

    #[test]
    fn without_a_response_to_the_request_those_to_others_are_validated_by_their_strong_tags() {
        let [one, two, weak] = ["\"1\"", "\"2\"", "W/\"3\""].map(|tag| with_validator(entry(&[("etag", tag)], b"abc")));
        let candidates = Candidates::of(None, || vec![one, two.clone(), weak]);
        assert_eq!(candidates.conditions(), [("if-none-match", b"\"1\", \"2\"".to_vec())]);
        let confirmed = candidates.confirmed(&not_modified(&[("etag", "\"2\"")])).unwrap();
        assert!(Arc::ptr_eq(confirmed, &two));
        for other in ["\"9\"", "W/\"2\""] {
            assert!(candidates.confirmed(&not_modified(&[("etag", other)])).is_none(), "{other}");
        }
        assert!(candidates.confirmed(&not_modified(&[])).is_none(), "it does not say which");
        assert!(Candidates::of(None, Vec::new).is_none());
    }
}
