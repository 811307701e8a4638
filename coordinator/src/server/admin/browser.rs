//! Which requests of browsers the admin port takes. A browser sends a password that it knows, and reaches loopback, for
//! any page that it shows: only our own page may ask here.

use http::{HeaderMap, Method, header};

/// Says where a request comes from (Fetch Metadata); only browsers write it, and no page can.
const SITE: &str = "sec-fetch-site";
/// What the browser wants with it; likewise.
const DESTINATION: &str = "sec-fetch-dest";
/// The header that our own page sends: a form of another page cannot.
const OURS: &str = "meshcache-request";

/// Why a browser's request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Foreign {
    /// Another page sent it.
    Page,
    /// It changes something, and does not say that our own page sent it.
    Unmarked,
}

impl Foreign {
    /// A line for people.
    pub(super) fn line(self) -> &'static str {
        match self {
            Self::Page => "a browser sent this for a page that is not this port's own\n",
            Self::Unmarked => "a browser has to send `meshcache-request: 1` with this\n",
        }
    }
}

/// Returns why a request is refused; nothing for one of our own page, and for one that no browser sent.
pub(super) fn refuses(method: &Method, path: &str, headers: &HeaderMap, host: &str) -> Option<Foreign> {
    let (origin, site) = (headers.get(header::ORIGIN), headers.get(SITE).map(|site| site.as_bytes()));
    // A link, a bookmark or an address that was typed may open the page: it tells nothing before its script asks.
    let opens = *method == Method::GET && path == "/" && is(headers, DESTINATION, "document");
    let is_foreign = origin.is_some_and(|origin| !is_own(origin.as_bytes(), host))
        || site.is_some_and(|site| site != b"same-origin" && !(site == b"none" && *method == Method::GET));
    if is_foreign && !opens {
        return Some(Foreign::Page);
    }
    let is_marked = is(headers, OURS, "1");
    let asks = matches!(*method, Method::GET | Method::HEAD);
    ((origin.is_some() || site.is_some()) && !asks && !is_marked).then_some(Foreign::Unmarked)
}

fn is(headers: &HeaderMap, name: &str, value: &str) -> bool {
    headers.get(name).is_some_and(|given| given == value)
}

/// Returns whether a page of that origin came from this very port.
fn is_own(origin: &[u8], host: &str) -> bool {
    std::str::from_utf8(origin)
        .ok()
        .and_then(|origin| origin.split_once("://"))
        .is_some_and(|(_, authority)| !host.is_empty() && authority.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(method: Method, path: &str, headers: &[(&'static str, &str)]) -> Option<Foreign> {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        refuses(&method, path, &headers, "localhost:8081")
    }

    #[test]
    fn a_page_of_another_origin_is_not_our_own() {
        assert!(is_own(b"http://localhost:8081", "localhost:8081"));
        for (origin, host) in [
            ("null", "localhost:8081"),
            ("http://evil.example", "localhost:8081"),
            ("http://localhost:9999", "localhost:8081"),
            ("http://", ""),
        ] {
            assert!(!is_own(origin.as_bytes(), host), "{origin}");
        }
    }

    #[test]
    fn tools_that_are_no_browsers_need_no_header() {
        assert_eq!(judged(Method::POST, "/purge", &[]), None);
        assert_eq!(judged(Method::GET, "/mesh", &[]), None);
    }

    #[test]
    fn our_own_page_may_ask_and_with_its_header_order() {
        let own = [("origin", "http://localhost:8081"), (SITE, "same-origin"), (OURS, "1")];
        assert_eq!(judged(Method::POST, "/purge", &own), None);
        assert_eq!(judged(Method::GET, "/mesh", &own[1..2]), None);
        assert_eq!(judged(Method::POST, "/purge", &own[..2]), Some(Foreign::Unmarked));
        assert_eq!(judged(Method::POST, "/purge", &own[1..2]), Some(Foreign::Unmarked));
        assert_eq!(judged(Method::POST, "/purge", &[own[0], (OURS, "yes")]), Some(Foreign::Unmarked));
    }

    #[test]
    fn another_page_may_open_ours_and_nothing_else() {
        let site = |site| [(SITE, site), (DESTINATION, "document"), (OURS, "1")];
        for other in ["cross-site", "same-site"] {
            assert_eq!(judged(Method::GET, "/", &site(other)), None, "a link on a runbook");
            assert_eq!(judged(Method::GET, "/mesh", &site(other)), Some(Foreign::Page));
            assert_eq!(judged(Method::GET, "/page.js", &[(SITE, other), (DESTINATION, "script")]), Some(Foreign::Page));
            assert_eq!(judged(Method::GET, "/", &[(SITE, other), (DESTINATION, "iframe")]), Some(Foreign::Page));
            assert_eq!(judged(Method::POST, "/purge", &site(other)), Some(Foreign::Page));
        }
        assert_eq!(judged(Method::GET, "/mesh", &site("none")), None, "typed by the user");
        assert_eq!(judged(Method::POST, "/purge", &site("none")), Some(Foreign::Page));
        assert_eq!(judged(Method::GET, "/mesh", &[("origin", "http://evil.example")]), Some(Foreign::Page));
        assert_eq!(judged(Method::POST, "/purge", &[("origin", "null"), (OURS, "1")]), Some(Foreign::Page));
    }
}
