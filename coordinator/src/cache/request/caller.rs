//! Who asks: the identity that `callers` of a group are compared with.

use crate::{http::head::RequestHead, settings::Identity};
use meshcache_protocol::{Group, Request};

/// A caller's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller<'a> {
    /// None is known.
    Unknown,
    /// By x-forwarded-client-cert.
    Xfcc(&'a str),
    /// By its certificate, any of these.
    Tls(&'a [String]),
}

impl<'a> Caller<'a> {
    /// Returns the caller of a request. `request`: the head's.
    pub(crate) fn of(head: &'a RequestHead, request: &Request<'a>, identity: Identity) -> Self {
        match identity {
            Identity::None => Self::Unknown,
            Identity::Xfcc => xfcc(request).map_or(Self::Unknown, Self::Xfcc),
            Identity::Tls => {
                head.certificate().map_or(Self::Unknown, |certificate| Self::Tls(certificate.identities()))
            }
        }
    }

    /// Whether a condition holds for one of its identities, or for a caller without one.
    pub(crate) fn is_any(self, condition: impl Fn(Option<&str>) -> bool) -> bool {
        match self {
            Self::Unknown | Self::Tls([]) => condition(None),
            Self::Xfcc(caller) => condition(Some(caller)),
            Self::Tls(callers) => callers.iter().any(|caller| condition(Some(caller))),
        }
    }

    /// Returns the identity by which it may fill a group.
    pub(crate) fn filler(self, group: &Group) -> Option<&'a str> {
        match self {
            Self::Unknown => None,
            Self::Xfcc(caller) => Some(caller).filter(|caller| group.admits_filler(caller)),
            Self::Tls(callers) => callers.iter().map(String::as_str).find(|caller| group.admits_filler(caller)),
        }
    }

    /// Whether it may have responses of a group.
    pub(crate) fn is_admitted(self, group: &Group) -> bool {
        self.is_any(|caller| group.admits(caller))
    }
}

/// Returns the URI of the last element of x-forwarded-client-cert, which the nearest proxy has added.
fn xfcc<'a>(request: &Request<'a>) -> Option<&'a str> {
    let last = last_element(request.values("x-forwarded-client-cert").last()?);
    let uri = pairs(last).find_map(|pair| {
        let (name, value) = pair.split_at_checked(pair.iter().position(|b| *b == b'=')?)?;
        name.eq_ignore_ascii_case(b"uri").then_some(value.get(1..)?)
    })?;
    let uri = uri.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(uri);
    std::str::from_utf8(uri).ok().filter(|uri| !uri.is_empty())
}

/// Returns the last element. It is looked for from the end: what stands before it is a client's, whose quotes need not
/// end.
fn last_element(list: &[u8]) -> &[u8] {
    let is_quote = |at: usize, byte: u8| {
        let before = list.get(..at).unwrap_or_default();
        byte == b'"' && before.iter().rev().take_while(|b| **b == b'\\').count() % 2 == 0
    };
    let mut quoted = false;
    let comma = list.iter().enumerate().rev().find(|(at, byte)| {
        quoted ^= is_quote(*at, **byte);
        !quoted && **byte == b','
    });
    comma.and_then(|(at, _)| list.get(at + 1..)).unwrap_or(list)
}

/// Splits an element, whose quoted strings may contain the separator.
fn pairs(element: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    element
        .split(move |b| {
            let splits = *b == b';' && !quoted;
            if *b == b'"' && !escaped {
                quoted = !quoted;
            }
            escaped = *b == b'\\' && !escaped;
            splits
        })
        .map(|part| part.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        settings::Port,
        tls::{TlsSession, tests::Authority},
    };

    /// Calls with a request with this field, and a certificate for these names where there are any.
    fn with_caller<T>(xfcc: &str, names: &[&str], identity: Identity, look: impl FnOnce(Caller<'_>) -> T) -> T {
        let certificate = (!names.is_empty()).then(|| Authority::new().issue(names).der());
        let request = http::Request::get("/a")
            .header("host", "h")
            .header("x-forwarded-client-cert", xfcc)
            .extension(TlsSession::new(certificate.as_ref()));
        let head = RequestHead::read(Port::Data, request.body(()).unwrap().into_parts().0).unwrap();
        assert_eq!(head.scheme(), "https", "as its connection is");
        let fields = head.fields();
        look(Caller::of(&head, &head.request(&fields).unwrap(), identity))
    }

    const FORGED: &str = "By=spiffe://x/a;URI=spiffe://forged/me,Hash=1;Subject=\"CN=a,URI=spiffe://forged/you;\"";

    #[test]
    fn the_nearest_proxys_element_names_the_caller() {
        let two = format!("{FORGED};URI=spiffe://x/ns/shop/sa/web");
        let spiffe = &["spiffe://x/other"];
        let expected = Caller::Xfcc("spiffe://x/ns/shop/sa/web");
        with_caller(&two, spiffe, Identity::Xfcc, |caller| assert_eq!(caller, expected));
        with_caller(&two, spiffe, Identity::None, |caller| assert_eq!(caller, Caller::Unknown));
        for before in ["URI=spiffe://forged/me;Subject=\"", "URI=spiffe://forged/me;Subject=\"\\", "\\\"", ","] {
            for own in [
                "By=spiffe://x/a;Subject=\"CN=a\\\",;b\\\\\";URI=spiffe://x/ns/shop/sa/web",
                "URI=spiffe://x/ns/shop/sa/web",
            ] {
                with_caller(&format!("{before},{own}"), spiffe, Identity::Xfcc, |caller| {
                    assert_eq!(caller, expected, "{before}");
                });
            }
        }
        for none in ["URI=spiffe://forged/me,Hash=1;URI=", ""] {
            with_caller(none, spiffe, Identity::Xfcc, |caller| assert_eq!(caller, Caller::Unknown));
        }
    }

    #[test]
    fn a_certificate_names_the_caller_whatever_its_request_says() {
        let guarded = Group::for_tests(r#"{"callers": ["spiffe://x/ns/shop/sa/*", "dns:web.test"]}"#);
        let open = Group::for_tests("{}");
        let xfcc = "URI=spiffe://x/ns/shop/sa/web";
        for (names, admitted) in [
            (&["spiffe://x/ns/shop/sa/web"][..], true),
            (&["a.test", "WEB.test"], true),
            (&["spiffe://x/ns/ops/sa/web", "web.test"], false),
            (&["a.test"], false),
            (&["10.0.0.1"], false),
            (&[], false),
        ] {
            with_caller(xfcc, names, Identity::Tls, |caller| {
                assert_eq!((caller.is_admitted(&guarded), caller.is_admitted(&open)), (admitted, true), "{names:?}");
            });
        }
    }
}
