//! URLs and paths of a purge, as in keys.

use crate::{Group, Groups, Request, groups::GroupMatch, key::authority, request::normal_form::normalize};
use std::borrow::Cow;

/// An absolute URL with its parts as in keys.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Url {
    pub(super) path: String,
    pub(super) query: String,
    pub(super) authority: String,
    pub(super) scheme: &'static str,
    /// `None`: no group names it. Keys of it are from before the groups changed.
    pub(super) group: Option<String>,
}

impl Url {
    pub(super) fn read(url: &str, groups: &Groups) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let (host, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let target = if target.starts_with('/') { Cow::Borrowed(target) } else { Cow::Owned(format!("/{target}")) };
        let request = Request::read(b"GET", scheme.as_bytes(), host.as_bytes(), target.as_bytes(), &[]).ok()?;
        let query = request.normal_query();
        let (group, authority, query) = match groups.find(&request, None) {
            GroupMatch::Group(group) => {
                (Some(group.name().to_owned()), authority(group, &request), group.query(query.as_deref()))
            }
            _ => (None, Cow::Borrowed(request.authority), query.as_deref().map(Cow::Borrowed)),
        };
        let (path, query, authority) =
            (request.normal_path().into_owned(), with_mark(query).into_owned(), authority.into_owned());
        Some(Self { path, query, authority, scheme: request.scheme_name(), group })
    }
}

/// A path of a purge with the part of its query that is in keys of a group.
pub(super) fn in_keys<'p>(path: &'p str, group: Option<&Group>) -> (Cow<'p, str>, Cow<'p, str>) {
    let Some((path, query)) = path.split_once('?') else { return (normalize(path), Cow::Borrowed("")) };
    let query = normalize(query);
    let kept = group.map_or(Some(Cow::Borrowed(&*query)), |group| group.query(Some(&query)));
    (normalize(path), Cow::Owned(with_mark(kept).into_owned()))
}

/// A query with its `?`, as in keys.
fn with_mark(query: Option<Cow<'_, str>>) -> Cow<'_, str> {
    query.map_or(Cow::Borrowed(""), |query| Cow::Owned(format!("?{query}")))
}
