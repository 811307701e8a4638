//! The values of a group's configuration, each checked while it is read.

mod caller;
mod force;
mod host;
mod invalid;
mod matched;
mod method;
mod name;
mod origin_url;
mod parameter;
mod path;
mod status;
mod target;

pub use caller::CallerPattern;
pub use force::Force;
pub use host::Host;
pub use invalid::InvalidValue;
pub(in crate::groups) use invalid::checked;
pub use method::MethodPattern;
pub use name::{Name, Service};
pub use origin_url::OriginUrl;
pub(in crate::groups) use origin_url::is_authority;
pub use parameter::NamePattern;
pub use path::{Match, PathRegex, PathRule};
pub use status::Status;
pub use target::TargetRule;

use serde::{Deserialize, Deserializer, de::Error as _};

/// Reads header names, in lower case. An invalid one is an error.
pub(in crate::groups) fn lower_names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    match names.iter().find(|name| !is_field_name(name)) {
        Some(bad) => Err(D::Error::custom(format!("`{bad}` is not the name of a header"))),
        None => Ok(names.into_iter().map(|name| name.to_ascii_lowercase()).collect()),
    }
}

/// Whether a text is the name of a header field: a token (RFC 9110 section 5.6.2).
pub(in crate::groups) fn is_field_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_matched_part_by_part() {
        let matches = |pattern: &str, id: &str| pattern.parse::<CallerPattern>().unwrap().matches(Some(id));
        assert!(matches("spiffe://cluster.local/ns/shop/sa/web", "spiffe://cluster.local/ns/shop/sa/web"));
        assert!(matches("spiffe://*/ns/shop/sa/*", "spiffe://cluster.local/ns/shop/sa/web"));
        assert!(matches("spiffe://*/ns/*-a/sa/w*b", "spiffe://x/ns/shop-a-a/sa/web"));
        assert!(!matches("spiffe://*/sa/web", "spiffe://x/ns/shop/sa/web"), "a star is no slash");
        assert!(!matches("spiffe://x/ns/shop/sa/web", "spiffe://x/ns/shop/sa/web2"));
        assert!(matches("dns:*.Shop.test", "dns:web.shop.test") && !matches("dns:*.shop.test", "dns:shop.test"));
        assert!(!matches("dns:web.test", "web.test") && !matches("spiffe://*", "dns:web.test"));
        for bad in ["shop", "dns:", "dns:a/b", "dns:a b", "spiffe:/a"] {
            assert!(bad.parse::<CallerPattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_password_of_a_wrong_url_is_not_shown() {
        for (url, shown) in [
            ("https://me:secret@h/", "https://***@h/"),
            ("https://me:sec/ret@h", "https://***@h"),
            ("https://me:sec@ret@h", "https://***@h"),
            ("me:secret@h", "***@h"),
        ] {
            let error = url.parse::<OriginUrl>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{shown}` is not an origin's URL")), "{error}");
        }
    }

    #[test]
    fn wrong_values_are_named() {
        for (error, part) in [
            ("Not_A_Name".parse::<Name>().err(), "name"),
            ("config".parse::<Service>().err(), "service"),
            ("exa mple.com".parse::<Host>().err(), "host"),
            ("*example.com".parse::<Host>().err(), "host"),
            ("(".parse::<PathRegex>().err(), "regex"),
            ("ftp://h".parse::<OriginUrl>().err(), "URL"),
            ("http://h/path?query".parse::<OriginUrl>().err(), "URL"),
            ("http://user:pw@h".parse::<OriginUrl>().err(), "URL"),
            ("http://h:99999".parse::<OriginUrl>().err(), "URL"),
            ("206".parse::<Status>().err(), "not 1xx, 206 and 304"),
            ("304".parse::<Status>().err(), "not 1xx, 206 and 304"),
            ("1xx".parse::<Status>().err(), "not 1xx, 206 and 304"),
            ("100".parse::<Status>().err(), "status"),
            ("+2xx".parse::<Status>().err(), "status"),
            ("+200".parse::<Status>().err(), "status"),
            ("6xx".parse::<Status>().err(), "status"),
        ] {
            assert!(error.as_ref().is_some_and(|e| e.to_string().contains(part)), "{error:?} names {part}");
        }
    }
}
