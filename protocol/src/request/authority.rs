//! The authority of a request: host, port and scheme.

use std::borrow::Cow;

/// The field with the scheme that the client used, from the proxy that accepted its connection.
pub const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// Returns the scheme of a request, for key and load: that of X-Forwarded-Proto where it is `http` or `https`, else the
/// connection's own.
pub fn scheme<'a>(forwarded: impl IntoIterator<Item = &'a [u8]>, own: &[u8]) -> &'static str {
    let known = |value: &[u8]| {
        let value = value.trim_ascii();
        if value.eq_ignore_ascii_case(b"https") {
            Some("https")
        } else if value.eq_ignore_ascii_case(b"http") {
            Some("http")
        } else {
            None
        }
    };
    let mut forwarded = forwarded.into_iter();
    match (forwarded.next(), forwarded.next()) {
        (Some(one), None) => known(one),
        // None, or two that may differ.
        _ => None,
    }
    .or_else(|| known(own))
    .unwrap_or("http")
}

/// Returns the default port of a scheme.
pub fn default_port(scheme: &str) -> u16 {
    if scheme == "https" { 443 } else { 80 }
}

/// Splits an authority as [`split_port`] does, and removes the dot at the host's end (`x.` is `x`).
pub(crate) fn split_host(authority: &str) -> (&str, Option<u16>) {
    let (host, port) = split_port(authority);
    (host.strip_suffix('.').unwrap_or(host), port)
}

/// Splits an authority into host and port. An IPv6 host keeps its brackets.
pub fn split_port(authority: &str) -> (&str, Option<u16>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') && (!host.contains(':') || host.ends_with(']')) => match port.parse()
        {
            Ok(port) => (host, Some(port)),
            Err(_) if port.is_empty() => (host, None),
            Err(_) => (authority, None),
        },
        _ => (authority, None),
    }
}

pub(super) fn lower(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

pub(super) fn is_authority(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    let (host, _) = split_host(text);
    // Beside the port's, colons are in IPv6 addresses only.
    let is_host = !host.is_empty() && (!host.contains(':') || (host.starts_with('[') && host.ends_with(']')));
    text.len() <= 300 && is_host && text.bytes().all(fits)
}
