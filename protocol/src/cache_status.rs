//! The Cache-Status field, which tells clients what the cache did (RFC 9211).

use crate::{
    request::list::is_token_byte,
    wire::{Outcome, Verdict},
};
use std::fmt::Write;

/// The words of `fwd` (RFC 9211 section 2.2).
const FORWARDED: [&str; 8] = ["bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale", "partial"];

/// Whether a reason is one of the words of `fwd`.
pub fn is_forwarded(reason: &str) -> bool {
    FORWARDED.contains(&reason)
}

/// Makes the member that meshcache appends: `meshcache; hit; ttl=27; detail=proxy`,
/// `meshcache; fwd=uri-miss; fwd-status=200; stored; collapsed`. `detail`: the part that answered (`proxy`, `owner`, `hot`);
/// empty: the verdict's reason, if any. `key`: for debuggers only.
///
/// A reason that is one of the words of `fwd` stands there.
pub fn cache_status(installation: &str, verdict: &Verdict, detail: &str, key: Option<&str>) -> String {
    let mut text = String::with_capacity(64);
    item(&mut text, installation);
    let reason = verdict.reason.as_str();
    let known = is_forwarded(reason);
    let forwarded = match verdict.outcome {
        Outcome::Hit | Outcome::Stale => None,
        _ if known => Some(reason),
        Outcome::Revalidated => Some("stale"),
        Outcome::Pass => Some("bypass"),
        Outcome::Miss => Some("uri-miss"),
        Outcome::Loading | Outcome::Error => Some("miss"),
    };
    // Writing to a String cannot fail.
    let _ = match forwarded {
        None => write!(text, "; hit; ttl={}", verdict.ttl.div_euclid(1000)),
        Some(word) => write!(text, "; fwd={word}"),
    };
    if verdict.fwd_status > 0 && forwarded.is_some() {
        let _ = write!(text, "; fwd-status={}", verdict.fwd_status);
    }
    if forwarded.is_some() {
        text.push_str(if verdict.stored { "; stored" } else { "" });
        text.push_str(if verdict.collapsed { "; collapsed" } else { "" });
    }
    let detail = if detail.is_empty() && !known { reason } else { detail };
    if !detail.is_empty() {
        text.push_str("; detail=");
        item(&mut text, detail);
    }
    if let Some(key) = key {
        text.push_str("; key=");
        string(&mut text, key);
    }
    text
}

/// Makes the detail for debuggers: the part that answered, the rule that gave the lifetime, the purge tags.
pub fn detail(by: &str, verdict: &Verdict, tags: &[&[u8]]) -> String {
    let mut text = by.to_owned();
    if let Some(why) = verdict.why {
        let _ = write!(text, "{}why={}", if text.is_empty() { "" } else { " " }, why.label());
    }
    for (i, tag) in tags.iter().enumerate() {
        text.push_str(if i == 0 { " tags=" } else { "," });
        text.push_str(&String::from_utf8_lossy(tag));
    }
    text
}

/// Appends a token where the value is one (RFC 9651 section 3.3.4), else a string.
fn item(text: &mut String, value: &str) {
    let begins = value.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'*');
    if begins && value.bytes().all(|b| is_token_byte(b) || b == b':' || b == b'/') {
        text.push_str(value)
    } else {
        string(text, value)
    }
}

/// Appends a string (RFC 9651 section 3.3.3): visible ASCII, and every other byte as `%` and two digits.
fn string(text: &mut String, value: &str) {
    text.push('"');
    for b in value.bytes() {
        match b {
            b'"' | b'\\' => text.extend(['\\', char::from(b)]),
            0x20..=0x7e => text.push(char::from(b)),
            _ => {
                let _ = write!(text, "%{b:02x}");
            }
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(outcome: Outcome, reason: &str) -> Verdict {
        Verdict::new(outcome).because(reason)
    }

    #[test]
    fn a_hit_says_how_long_it_is_fresh_and_who_had_it() {
        let mut hit = verdict(Outcome::Hit, "");
        hit.ttl = 27_900;
        assert_eq!(cache_status("meshcache", &hit, "proxy", None), "meshcache; hit; ttl=27; detail=proxy");
        let mut stale = verdict(Outcome::Stale, "");
        stale.ttl = -1500;
        assert_eq!(cache_status("meshcache", &stale, "owner", None), "meshcache; hit; ttl=-2; detail=owner");
    }

    #[test]
    fn a_forwarded_request_says_why_and_what_came_of_it() {
        let mut miss = verdict(Outcome::Miss, "uri-miss");
        (miss.fwd_status, miss.stored, miss.collapsed) = (200, true, true);
        assert_eq!(
            cache_status("meshcache", &miss, "", None),
            "meshcache; fwd=uri-miss; fwd-status=200; stored; collapsed"
        );
        assert_eq!(cache_status("m", &verdict(Outcome::Revalidated, ""), "", None), "m; fwd=stale");
        assert_eq!(cache_status("m", &verdict(Outcome::Revalidated, "request"), "", None), "m; fwd=request");
        assert_eq!(
            cache_status("m", &verdict(Outcome::Miss, "vary-miss"), "owner", None),
            "m; fwd=vary-miss; detail=owner"
        );
        assert_eq!(cache_status("m", &verdict(Outcome::Miss, ""), "", None), "m; fwd=uri-miss");
    }

    #[test]
    fn a_reason_of_ours_is_the_detail() {
        assert_eq!(cache_status("m", &verdict(Outcome::Pass, "private"), "", None), "m; fwd=bypass; detail=private");
        assert_eq!(cache_status("m", &verdict(Outcome::Pass, "method"), "", None), "m; fwd=method");
        assert_eq!(
            cache_status("m", &verdict(Outcome::Error, "origin-refused"), "", None),
            "m; fwd=miss; detail=origin-refused"
        );
    }

    #[test]
    fn a_debugger_sees_which_rule_gave_the_lifetime() {
        let mut hit = verdict(Outcome::Hit, "");
        hit.why = Some(crate::freshness::LifetimeRule::SMaxage);
        assert_eq!(detail("owner", &hit, &[b"a", b"b"]), "owner why=s-maxage tags=a,b");
        assert_eq!(
            cache_status("m", &hit, &detail("owner", &hit, &[]), Some("k")),
            "m; hit; ttl=0; detail=\"owner why=s-maxage\"; key=\"k\""
        );
    }

    #[test]
    fn the_key_is_a_string_and_names_are_tokens_where_they_can_be() {
        let hit = verdict(Outcome::Hit, "");
        assert_eq!(
            cache_status("m", &hit, "", Some("g http://h/a\"b\\\u{e9}")),
            "m; hit; ttl=0; key=\"g http://h/a\\\"b\\\\%c3%a9\""
        );
        assert_eq!(cache_status("my cache", &hit, "two words", None), "\"my cache\"; hit; ttl=0; detail=\"two words\"");
        assert_eq!(cache_status("1st", &hit, "", None), "\"1st\"; hit; ttl=0");
    }
}
