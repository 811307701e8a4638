//! Heads of requests, as servers may read them.

use super::*;

fn read(authority: &'static str, target: &'static str) -> Result<Request<'static>, RequestError> {
    Request::read(b"GET", b"http", authority.as_bytes(), target.as_bytes(), &[])
}

#[test]
fn paths_that_two_servers_may_read_differently_are_refused() {
    for target in [
        "/a/../b",
        "/a/./b",
        "/..",
        "/.",
        "/a//b",
        "//a",
        "/a%2fb",
        "/a%2Fb",
        "/%2e%2e/b",
        "/a\\b",
        "/a%5cb",
        "/a/..;/b",
    ] {
        assert_eq!(read("h", target).unwrap_err(), RequestError::Path, "{target}");
    }
    for target in [
        "/a;b",
        "/a;/b",
        "/a%3bb",
        "/a%252e",
        "/a%25",
        "/a%00",
        "/a/%2E",
        "/a/.%2e/b",
        "/%2e/",
        "/a%",
        "/a%4",
        "/a%zz",
        "/%%36%31",
    ] {
        assert_eq!(read("h", target).unwrap_err(), RequestError::Path, "{target}");
    }
    for target in
        ["/", "/a/.b/c", "/a/...", "/a..b", "/a%20b", "/a/?x=//../%2f", "/a%2ejson", "/%70rod", "/?a=1;b=%25%00%"]
    {
        assert!(read("h", target).is_ok(), "{target}");
    }
    for target in ["", "*", "http://h/a", "/a b", "/\u{e9}", "/a#b"] {
        assert_eq!(read("h", target).unwrap_err(), RequestError::Target, "{target}");
    }
}

#[test]
fn an_authority_is_a_host_and_a_port() {
    let host_port = |a| {
        read(a, "/").map(|r| {
            let (h, p) = r.host_port();
            (h.into_owned(), p)
        })
    };
    assert_eq!(host_port("Example.COM:80"), Ok(("example.com".into(), None)));
    assert_eq!(host_port("example.com:8080"), Ok(("example.com".into(), Some(8080))));
    assert_eq!(host_port("[::1]:9000"), Ok(("[::1]".into(), Some(9000))));
    assert_eq!(host_port("[::1]"), Ok(("[::1]".into(), None)));
    assert_eq!(host_port("Example.com.:0080"), Ok(("example.com".into(), None)));
    assert_eq!((host_port("x."), host_port("x:")), (Ok(("x".into(), None)), Ok(("x".into(), None))));
    for bad in ["", ".", ":80", "::1", "h:99999", "h:http", "user@host", "a b", "host/path", "a,b"] {
        assert_eq!(host_port(bad), Err(RequestError::Authority), "{bad}");
    }
}

#[test]
fn one_pass_finds_what_matters() {
    let fields: [Field; 4] = [
        (b"accept", b"text/html, Text/Event-Stream"),
        (b"cookie", b"a=1; b=2"),
        (b"content-length", b"0"),
        (b"meshcache-x", b""),
    ];
    let request = Request::read(b"GET", b"https", b"h", b"/a?b", &fields).unwrap();
    assert!(
        request.flags.any(Flags::EVENT_STREAM) && request.flags.any(Flags::COOKIE) && request.flags.any(Flags::CONTROL)
    );
    assert!(!request.flags.any(Flags::BODY));
    assert_eq!((request.cookie("b"), request.cookie("c")), (Cookie::Once(b"2"), Cookie::Absent));
    assert_eq!((request.scheme, request.path, request.query), ("https", "/a", Some("b")));
}

#[test]
fn a_cookie_that_servers_may_read_differently_is_ambiguous() {
    let of = |lines: &[&'static str]| {
        let fields: Vec<Field<'_>> = lines.iter().map(|line| (&b"cookie"[..], line.as_bytes())).collect();
        match Request::read(b"GET", b"http", b"h", b"/", &fields).unwrap().cookie("lang") {
            Cookie::Once(value) => Some(String::from_utf8_lossy(value).into_owned()),
            Cookie::Absent => None,
            Cookie::Ambiguous => Some("?".into()),
        }
    };
    for (line, value) in [
        ("lang=en", Some("en")),
        ("a=b;lang=en ; c", Some("en")),
        ("lang=", Some("")),
        ("lang=a=b", Some("a=b")),
        ("a=1,2; lang=1,2", Some("1,2")),
    ] {
        assert_eq!(of(&[line]).as_deref(), value, "{line}");
    }
    for line in ["a=b", "Lang=en", "lang2=en", "a=lang", "xlang=en"] {
        assert_eq!(of(&[line]), None, "{line}");
    }
    for line in [
        "lang=en; lang=fr",
        "lang=en; lang=en",
        "lang =fr",
        "lang\t=fr; a",
        "lang",
        "a=1,lang=fr",
        "lang=en,lang=fr",
        "lang=en; lang =fr",
        "a=\"x; lang=fr\"; lang=en",
    ] {
        assert_eq!(of(&[line]).as_deref(), Some("?"), "{line}");
    }
    assert_eq!(of(&["lang=en", "lang=fr"]).as_deref(), Some("?"));
    assert_eq!(
        (of(&["a=b", "lang=fr"]).as_deref(), of(&["a=b", "c=d"])),
        (Some("?"), None),
        "some read the first line only"
    );
}

#[test]
fn the_scheme_is_what_the_proxy_before_us_says_else_the_connections_own() {
    for (forwarded, own, expected) in [
        (&["HTTPS"][..], "http", "https"),
        (&["http"], "https", "http"),
        (&[], "https", "https"),
        (&["ftp"], "https", "https"),
        (&["https, http"], "http", "http"),
        (&["https", "http"], "http", "http"),
        (&[""], "", "http"),
    ] {
        assert_eq!(
            scheme(forwarded.iter().map(|value| value.as_bytes()), own.as_bytes()),
            expected,
            "{forwarded:?} {own}"
        );
    }
}

#[test]
fn each_field_that_may_reroute_has_its_flag() {
    for name in REROUTING {
        assert!(Flags::of(name, b"x").any(Flags::REROUTING) && name.iter().all(|b| !b.is_ascii_uppercase()));
    }
    assert!(METHOD_OVERRIDES.iter().all(|name| REROUTING.contains(name)));
    assert!(!Flags::of(b"x-forwarded-for", b"x").any(Flags::REROUTING));
}

#[test]
fn a_loop_is_seen_by_our_own_name_only() {
    let fields: [Field; 1] = [(b"cdn-loop", b"other, MeshCache;v=1")];
    let request = Request::read(b"GET", b"http", b"h", b"/", &fields).unwrap();
    assert!(request.has_looped("meshcache") && !request.has_looped("mesh"));
}
