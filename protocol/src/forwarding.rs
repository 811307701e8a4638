//! Which header fields are forwarded, keyed and stored: not those of one connection (RFC 9110 section 7.6.1) and not
//! meshcache's own.

pub use crate::request::{HOP_BY_HOP, PREFIX, is_hop_by_hop};

use crate::{groups::Group, request::list::members};

/// Whether a client's field is never sent to a service: what Envoy adds to a callout, and meshcache's own.
pub fn never_to_origin(name: &[u8]) -> bool {
    name.starts_with(b"x-envoy-") || name == b"x-forwarded-client-cert" || name.starts_with(PREFIX.as_bytes())
}

/// Fields of a request for every recipient, which Connection cannot name. Content-Length and Expect describe how the
/// request arrives.
const OF_REQUEST: [&[u8]; 8] = [
    b"host",
    b"cache-control",
    b"cookie",
    b"authorization",
    b"cdn-loop",
    b"x-forwarded-client-cert",
    b"content-length",
    b"expect",
];

/// Fields of a response for every recipient, besides all whose names begin with `content-`.
const OF_RESPONSE: [&[u8]; 9] =
    [b"cache-control", b"vary", b"age", b"date", b"expires", b"etag", b"last-modified", b"location", b"set-cookie"];

/// Whether these lines of Connection remove a field from a request. [`HOP_BY_HOP`] stays: those fields tell the kind of
/// request, and are not forwarded anyway.
pub fn strips_from_request<'a>(lines: impl Iterator<Item = &'a [u8]>, name: &[u8]) -> bool {
    let stays = HOP_BY_HOP.contains(&name) || OF_REQUEST.contains(&name) || name.starts_with(PREFIX.as_bytes());
    !stays && names(lines, name)
}

/// Whether a field of a response is of one connection: by itself, or because these lines of Connection name it. Fields
/// that the group reads are never removed by name.
pub fn strips_from_response<'a>(group: &Group, lines: impl Iterator<Item = &'a [u8]>, name: &[u8]) -> bool {
    is_hop_by_hop(name) || (!is_read(group, name) && is_named_in_response(lines, name))
}

/// Whether these lines of a response's Connection name a field that is not for every recipient.
pub fn is_named_in_response<'a>(lines: impl Iterator<Item = &'a [u8]>, name: &[u8]) -> bool {
    !OF_RESPONSE.contains(&name) && !name.starts_with(b"content-") && names(lines, name)
}

/// Whether a group reads freshness or purge tags from a field of responses.
fn is_read(group: &Group, name: &[u8]) -> bool {
    let config = group.config();
    config.freshness.targets.iter().chain([&config.tags.header]).any(|own| own.as_bytes().eq_ignore_ascii_case(name))
}

fn names<'a>(lines: impl Iterator<Item = &'a [u8]>, name: &[u8]) -> bool {
    lines.flat_map(members).any(|option| option.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strips(line: &str, name: &str) -> bool {
        strips_from_request([&b"close"[..], line.as_bytes()].into_iter(), name.as_bytes())
    }

    #[test]
    fn connection_removes_from_a_request_what_it_names_except_what_is_for_every_recipient() {
        assert!(
            strips("X-Tenant", "x-tenant")
                && strips("a , accept-language", "accept-language")
                && strips("range", "range")
        );
        assert!(!strips("x-tenants", "x-tenant") && !strips("", "x-tenant"));
        for name in [
            "host",
            "cache-control",
            "cookie",
            "authorization",
            "cdn-loop",
            "x-forwarded-client-cert",
            "content-length",
            "upgrade",
            "meshcache-wire",
        ] {
            assert!(!strips(name, name), "{name}");
        }
    }

    #[test]
    fn connection_removes_from_a_response_what_it_names_except_what_every_cache_decides_by() {
        let group =
            Group::for_tests(r#"{"freshness": {"targets": ["CDN-Cache-Control"]}, "tags": {"header": "X-Tags"}}"#);
        let strips = |name: &str| strips_from_response(&group, [name.as_bytes()].into_iter(), name.as_bytes());
        for name in
            ["cache-control", "vary", "age", "date", "expires", "etag", "last-modified", "location", "set-cookie"]
        {
            assert!(!strips(name), "{name}");
        }
        for name in ["content-type", "content-length", "content-security-policy", "cdn-cache-control", "x-tags"] {
            assert!(!strips(name), "{name}");
        }
        for name in ["x-tenant", "surrogate-key", "meshcache-control", "upgrade", "proxy-authentication-info"] {
            assert!(strips(name), "{name}");
        }
        assert!(strips_from_response(&group, std::iter::empty(), b"keep-alive"));
    }
}
