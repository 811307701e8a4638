//! Section 3: what is stored, and what of it.

use super::row::{Row, date, get, head, ok, row, says};

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = vec![
        row(
            "3 max-age is stored",
            [
                get().origin(ok(&[("cache-control", "max-age=60")])).says("fwd=uri-miss").says("stored"),
                get().says("hit").has("age"),
            ],
        ),
        row(
            "3 no-store is not stored",
            [get().origin(ok(&[("cache-control", "no-store, max-age=60")])), get().origin(ok(&[]))],
        ),
        row(
            "5.2.2.7 private is not stored",
            [get().origin(ok(&[("cache-control", "private, max-age=60")])), get().origin(ok(&[]))],
        ),
        row("3 nothing said is not stored", [get().origin(ok(&[])), get().origin(ok(&[]))]),
        row(
            "3 a directive in odd case",
            [get().origin(ok(&[("cache-control", "No-StOrE, max-age=60")])), get().origin(ok(&[]))],
        ),
        row(
            "3.5 Authorization is not stored",
            [
                get().with("authorization", "Basic x").origin(ok(&[("cache-control", "max-age=60")])),
                get().origin(ok(&[("cache-control", "no-store")])),
            ],
        ),
        row(
            "3.5 public is stored in spite of Authorization",
            [get().with("authorization", "Basic x").origin(ok(&[("cache-control", "max-age=60, public")])), get()],
        )
        .envoy_cannot("a request that names its user is the service's: the owner sees no answer to store"),
        row(
            "3.5 s-maxage is stored in spite of Authorization",
            [get().with("authorization", "Basic x").origin(ok(&[("cache-control", "s-maxage=60")])), get()],
        )
        .envoy_cannot("a request that names its user is the service's: the owner sees no answer to store"),
        row(
            "3.5 must-revalidate is stored in spite of Authorization",
            [
                get().with("authorization", "Basic x").origin(ok(&[("cache-control", "max-age=60, must-revalidate")])),
                get(),
            ],
        )
        .envoy_cannot("a request that names its user is the service's: the owner sees no answer to store"),
        row(
            "3 what is stored for everybody is given to who names its user",
            [get().origin(ok(&[("cache-control", "max-age=60, public")])), get().with("authorization", "Basic x")],
        ),
        row(
            "3.3 half a body is not stored",
            [
                get().origin(ok(&[("cache-control", "max-age=60")]).cut()).status(502).alone(),
                get().origin(ok(&[("cache-control", "max-age=60")])),
                get(),
            ],
        )
        .envoy_cannot("Envoy passes the cut connection on"),
        row(
            "3.3 a 206 is not taken for the whole",
            [
                get().with("range", "bytes=0-3").origin(
                    says(206, &[("cache-control", "max-age=60"), ("content-range", "bytes 0-3/10")]).body("abcd"),
                ),
                get().origin(ok(&[("cache-control", "max-age=60")]).body("abcdefghij")),
                get(),
            ],
        ),
        row(
            "3.1 fields of the connection are not stored",
            [
                get().origin(ok(&[
                    ("cache-control", "max-age=60"),
                    ("connection", "x-hop"),
                    ("x-hop", "1"),
                    ("keep-alive", "timeout=5"),
                    ("proxy-authenticate", "Basic"),
                    ("proxy-authentication-info", "x"),
                    ("x-end", "2"),
                ])),
                get()
                    .lacks("x-hop")
                    .lacks("keep-alive")
                    .lacks("proxy-authenticate")
                    .lacks("proxy-authentication-info")
                    .field("x-end", "2"),
            ],
        ),
        row(
            "3.1 fields that no-cache names are not stored",
            [
                get().origin(ok(&[
                    ("cache-control", "max-age=60, no-cache=\"x-a, X-B\""),
                    ("x-a", "1"),
                    ("x-b", "1"),
                    ("x-c", "1"),
                ])),
                get().lacks("x-a").lacks("x-b").field("x-c", "1"),
            ],
        ),
        row(
            "3.1 fields that private names are not stored",
            [
                get().origin(ok(&[("cache-control", "max-age=60, private=\"x-a\""), ("x-a", "1"), ("x-c", "1")])),
                get().lacks("x-a").field("x-c", "1"),
            ],
        ),
        row(
            "3.1 fields that a directive without quotes names",
            [get().origin(ok(&[("cache-control", "no-cache=x-a, max-age=60"), ("x-a", "1")])), get().lacks("x-a")],
        ),
        row(
            "3.1 all else is stored, bytes that are no text too",
            [
                get().origin(
                    ok(&[
                        ("cache-control", "max-age=60"),
                        ("x-unknown", "a"),
                        ("set-cookie", "a=b"),
                        ("content-type", "text/x"),
                        ("content-md5", "x"),
                        ("warning", "199 - x"),
                    ])
                    .bytes("x-bytes", b"caf\xe9"),
                ),
                get()
                    .field("x-unknown", "a")
                    .field("set-cookie", "a=b")
                    .field("content-type", "text/x")
                    .field("content-md5", "x")
                    .field_bytes("x-bytes", b"caf\xe9"),
            ],
        ),
        row(
            "3 a field that came twice is stored twice",
            [
                get().origin(ok(&[("cache-control", "max-age=60"), ("x-twice", "1"), ("x-twice", "2")])),
                get().field("x-twice", "1, 2"),
            ],
        ),
        row(
            "9110 6.6.1 Date is added",
            [get().origin(ok(&[("cache-control", "max-age=60")])).has("date"), get().has("date")],
        ),
        row(
            "9110 6.6.1 Date is kept",
            [
                get().origin(ok(&[("cache-control", "max-age=600"), ("date", &date(-100))])),
                get().field("date", &date(-100)).aged(99),
            ],
        )
        .envoy_cannot("the two dates are made at two times; the coordinator's row shows it"),
        row(
            "5.2.2.3 must-understand lifts no-store",
            [get().origin(ok(&[("cache-control", "max-age=60, no-store, must-understand")])), get()],
        ),
        row(
            "5.2.2.3 must-understand forbids what is not understood",
            [get().origin(says(299, &[("cache-control", "max-age=60, must-understand")])), get().origin(ok(&[]))],
        ),
        row(
            "5.2.1.5 a request with no-store is not stored",
            [
                get().with("cache-control", "no-store").origin(ok(&[("cache-control", "max-age=60")])),
                get().origin(ok(&[])),
            ],
        ),
        row(
            "4 a HEAD is answered from a GET",
            [
                get().origin(ok(&[("cache-control", "max-age=60"), ("x-a", "1")]).body("abcdef")),
                head().field("x-a", "1").field("content-length", "6").says("hit"),
            ],
        ),
        row(
            "3 the answer to HEAD is not the answer to GET",
            [
                head().origin(ok(&[("cache-control", "max-age=60")])),
                get().origin(ok(&[("cache-control", "max-age=60")])),
                get(),
            ],
        ),
        row(
            "9110 6.5 trailers are not mixed into the headers",
            [get().origin(ok(&[("cache-control", "max-age=60"), ("trailer", "x-t")])), get().lacks("x-t")],
        ),
    ];
    // 3, RFC 9110 15.1: with explicit freshness every final status may be stored, a new one too.
    for status in [
        200, 203, 204, 299, 300, 301, 302, 303, 307, 308, 399, 400, 404, 410, 414, 451, 499, 500, 501, 502, 503, 504,
        599,
    ] {
        let name = Box::leak(format!("3 a fresh {status} is reused").into_boxed_str());
        let fields = [("cache-control", "max-age=60"), ("location", "/x")];
        rows.push(row(name, [get().origin(says(status, &fields)), get().status(status).says("hit")]));
        let name = Box::leak(format!("4.2 a stale {status} is not reused").into_boxed_str());
        rows.push(row(
            name,
            [get().origin(says(status, &[("cache-control", "max-age=10"), ("age", "20")])), get().origin(ok(&[]))],
        ));
    }
    // 4.2.2: without it, only these are, by Last-Modified.
    let month = date(-30 * 86_400);
    for status in [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501] {
        let name = Box::leak(format!("4.2.2 a {status} is reused by heuristic").into_boxed_str());
        rows.push(row(name, [get().origin(says(status, &[("last-modified", &month)])), get().status(status)]));
    }
    for status in [201, 202, 303, 403, 502, 503, 504, 599] {
        let name = Box::leak(format!("4.2.2 a {status} is not reused by heuristic").into_boxed_str());
        rows.push(row(name, [get().origin(says(status, &[("last-modified", &month)])), get().origin(ok(&[]))]));
    }
    rows.push(row(
        "4.2.2 public allows the heuristic for any status",
        [get().origin(says(299, &[("last-modified", &month), ("cache-control", "public")])), get().status(299)],
    ));
    rows
}
