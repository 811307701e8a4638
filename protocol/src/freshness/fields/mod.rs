//! Header fields of stored responses: which are stored, updated by a validation, and sent in a 304 or 206.

use super::{age::Times, date, targeted, validator};
use crate::{
    forwarding::{is_hop_by_hop, is_named_in_response, strips_from_response},
    groups::Group,
    request::{Field, Response, values},
    wire::PREFIX,
};

/// Returns the fields of a response that are stored: without hop-by-hop fields and those that Connection names, without
/// those that `no-cache="..."` and `private="..."` name, without Set-Cookie where the group stores such responses,
/// without Age and meshcache-* (except the group's targets, which later decisions need), and with a Date (RFC 9110
/// section 6.6.1) where there is no valid one (`responded`: Unix milliseconds).
pub fn storable(group: &Group, response: &Response<'_>, responded: u64) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (control, _) = targeted::control(group, response);
    let arrived = Times { requested: responded, responded }.arrived();
    let dated = response.values("date").any(|value| date::parse(value, arrived).is_some());
    let target = |name: &[u8]| {
        group.config().freshness.targets.iter().any(|target| target.as_bytes().eq_ignore_ascii_case(name))
    };
    let cookie = |name: &[u8]| group.strips_set_cookie() && (name == b"set-cookie" || name == b"set-cookie2");
    let kept = |name: &[u8]| {
        !strips_from_response(group, response.values("connection"), name)
            && !control.excludes(name)
            && !cookie(name)
            && (!name.starts_with(PREFIX.as_bytes()) || target(name))
            && name != b"age"
            && (dated || name != b"date")
    };
    let mut fields: Vec<_> =
        response.fields.iter().filter(|(name, _)| kept(name)).map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
    if !dated {
        fields.push((b"date".to_vec(), date::format(arrived).into_bytes()));
    }
    fields
}

/// Returns the fields of a stored response updated by a 304 or the HEAD of the same representation (RFC 9111 section
/// 3.2): each new field replaces the stored ones of its name, except Content-Length, Content-Range and hop-by-hop
/// fields.
///
/// `new`: as received, with Age. The result is for [`super::store`] and then [`storable`], as a response from the
/// origin.
pub fn freshened(stored: &[Field<'_>], new: &[Field<'_>]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let is_of_connection = |name: &[u8]| is_hop_by_hop(name) || is_named_in_response(values(new, "connection"), name);
    let taken = |name: &[u8]| !is_of_connection(name) && name != b"content-length" && name != b"content-range";
    // Without a new Date, the time of arrival counts: the stored Date would make the response older.
    let replaced =
        |name: &[u8]| (taken(name) && new.iter().any(|(n, _)| *n == name)) || name == b"date" || name == b"age";
    let old = stored.iter().filter(|(name, _)| !replaced(name));
    let new = new.iter().filter(|(name, _)| taken(name));
    old.chain(new).map(|(n, v)| (n.to_vec(), v.to_vec())).collect()
}

/// Whether a 304 confirms the stored response whose validators its request had (RFC 9111 section 4.3.4): the validators
/// of both have to match. Else nothing is updated, and the load is repeated without conditions.
pub fn confirms(stored: &Response<'_>, not_modified: &Response<'_>) -> bool {
    let now = validator::near(not_modified);
    let dates = (validator::modified(stored, validator::near(stored)), validator::modified(not_modified, now));
    let same_date = dates.1.is_some() && dates.0 == dates.1;
    match (validator::tag(stored), validator::tag(not_modified)) {
        (Some(had), Some(has)) if has.is_strong() => had.matches_strongly(has),
        (Some(had), Some(has)) => had.matches(has) || same_date,
        (None, Some(_)) => same_date,
        (_, None) => dates.1.is_none() || same_date,
    }
}

/// Whether the 200 to a HEAD is of the stored representation with a body of `length` bytes and updates it. Else the
/// stored response is stale (RFC 9111 section 4.3.5).
pub fn same_representation(stored: &Response<'_>, length: u64, head: &Response<'_>) -> bool {
    let agrees = |name: &str| head.values(name).all(|value| stored.values(name).any(|had| had == value));
    let long =
        |value: &[u8]| std::str::from_utf8(value).ok().and_then(|text| text.trim().parse::<u64>().ok()) == Some(length);
    agrees("etag") && agrees("last-modified") && head.values("content-length").all(long)
}

/// Returns the conditions that validate a stored response: If-None-Match and If-Modified-Since, as far as it has their
/// validators (RFC 9111 section 4.3.1).
pub fn conditions(stored: &Response<'_>) -> Vec<(&'static str, Vec<u8>)> {
    let tag = validator::raw_tag(stored).map(|tag| ("if-none-match", tag.to_vec()));
    let date =
        validator::raw_modified(stored, validator::near(stored)).map(|date| ("if-modified-since", date.to_vec()));
    tag.into_iter().chain(date).collect()
}

/// Returns the response's entity tag as received, if it is strong and quoted: it identifies a variant, also in a list.
pub fn strong_tag(response: &Response<'_>) -> Option<Vec<u8>> {
    let tag = validator::raw_tag(response)?.trim_ascii();
    tag.starts_with(b"\"").then(|| tag.to_vec())
}

/// Whether a field of a stored response is sent in a 304: all except the representation's metadata, which the client
/// has (RFC 9110 section 15.4.5). Last-Modified is sent, since it may be the client's validator.
pub fn not_modified(name: &[u8]) -> bool {
    !matches!(
        name,
        b"content-encoding"
            | b"content-language"
            | b"content-length"
            | b"content-md5"
            | b"content-range"
            | b"content-type"
            | b"content-digest"
            | b"repr-digest"
            | b"digest"
    )
}

/// Whether a field of a stored response is sent in a 206: all except those that describe the whole content.
pub fn partial(name: &[u8]) -> bool {
    !matches!(name, b"content-length" | b"content-range" | b"content-md5" | b"content-digest")
}

#[cfg(test)]
mod tests;
