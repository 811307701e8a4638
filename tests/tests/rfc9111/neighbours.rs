//! RFC 5861, 8586, 9110 (Via), 9211, 9213, and what passes untouched.

use super::row::{Row, date, get, gone, ok, row, says, stale};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        row(
            "5861 3 stale-while-revalidate",
            [
                get().origin(stale(&[("cache-control", "max-age=10, stale-while-revalidate=600")])),
                get().behind(ok(&[("cache-control", "max-age=60")])).text("answer 1").says("hit"),
                get().text("answer 2"),
            ],
        )
        .envoy_cannot("a hot copy is stale for no one; see its own test"),
        row(
            "5861 3 past its window",
            [
                get().origin(ok(&[
                    ("cache-control", "max-age=10, stale-while-revalidate=5"),
                    ("age", "20"),
                    ("etag", "\"a\""),
                ])),
                get().origin(ok(&[])),
            ],
        ),
        row(
            "5861 4 stale-if-error",
            [
                get().origin(stale(&[("cache-control", "max-age=10, stale-if-error=600")])),
                get().origin(says(500, &[])).status(200).text("answer 1"),
                get().status(200).text("answer 1"),
            ],
        ),
        row(
            "5861 4 stale-if-error where there is no answer at all",
            [
                get().origin(stale(&[("cache-control", "max-age=10, stale-if-error=600")])),
                get().origin(gone()).status(200).text("answer 1"),
            ],
        ),
        row(
            "5861 4 past its window",
            [get().origin(stale(&[("cache-control", "max-age=10, stale-if-error=5")])), get().origin(says(503, &[]))],
        ),
        row(
            "5861 stale windows do not lift must-revalidate",
            [
                get().origin(stale(&[(
                    "cache-control",
                    "max-age=10, must-revalidate, stale-while-revalidate=600, stale-if-error=600",
                )])),
                get().origin(says(503, &[])),
            ],
        ),
        row(
            "5861 4 stale-if-error=0 gives nothing stale",
            [get().origin(stale(&[("cache-control", "max-age=10, stale-if-error=0")])), get().origin(says(503, &[]))],
        ),
        row(
            "5861 4 not for other errors",
            [get().origin(stale(&[("cache-control", "max-age=10, stale-if-error=600")])), get().origin(says(404, &[]))],
        ),
        row(
            "5861 4 of a request",
            [
                get().origin(stale(&[("cache-control", "max-age=10, stale-if-error=5")])),
                get().with("cache-control", "stale-if-error=600").origin(says(503, &[])).status(200).text("answer 1"),
            ],
        ),
        row(
            "8586 CDN-Loop and Via of what is loaded",
            [
                get().origin(ok(&[("cache-control", "max-age=60")])).sent("cdn-loop", "meshcache").has("via"),
                get().has("via"),
            ],
        ),
        row(
            "9110 7.6.3 Via of others is kept",
            [
                get()
                    .with("via", "1.1 before")
                    .origin(ok(&[("cache-control", "max-age=60"), ("via", "1.1 behind")]))
                    .sent("via", "1.1 before, 1.1 meshcache")
                    .field("via", "1.1 behind, 1.1 meshcache"),
                get().field("via", "1.1 behind, 1.1 meshcache"),
            ],
        )
        .envoy_cannot("the owner hears Envoy over HTTP/2: its Via says so"),
        row(
            "9110 7.6.1 fields of a request's connection",
            [get()
                .with("connection", "x-hop, close")
                .with("x-hop", "1")
                .with("te", "gzip")
                .with("proxy-authorization", "x")
                .origin(ok(&[]))
                .unsent("x-hop")
                .unsent("te")
                .unsent("proxy-authorization")
                .unsent("proxy-connection")],
        )
        .envoy_cannot("what it does with them is Envoy's"),
        row(
            "9211 what nearer caches wrote is kept",
            [
                get()
                    .origin(ok(&[("cache-control", "max-age=60"), ("cache-status", "behind; hit")]))
                    .field("cache-status", "behind; hit, meshcache; fwd=uri-miss; fwd-status=200; stored"),
                get().says("hit"),
            ],
        ),
        row(
            "9213 CDN-Cache-Control before Cache-Control",
            [
                get().origin(ok(&[("cache-control", "no-store"), ("cdn-cache-control", "max-age=60")])),
                get().field("cdn-cache-control", "max-age=60"),
            ],
        ),
        row(
            "9213 no-store of CDN-Cache-Control",
            [
                get().origin(ok(&[("cache-control", "max-age=60"), ("cdn-cache-control", "no-store")])),
                get().origin(ok(&[])),
            ],
        ),
        row(
            "9213 our own field first",
            [
                get().origin(ok(&[
                    ("meshcache-control", "max-age=60"),
                    ("cdn-cache-control", "no-store"),
                    ("cache-control", "no-store"),
                ])),
                get(),
            ],
        ),
        row(
            "9213 Expires counts for nothing beside a target",
            [get().origin(ok(&[("cdn-cache-control", "max-age=60"), ("expires", &date(-100))])), get()],
        ),
        row(
            "9213 a target that is no structured field",
            [
                get().origin(ok(&[("cdn-cache-control", "max-age=60,,&"), ("cache-control", "no-store")])),
                get().origin(ok(&[])),
            ],
        ),
        row(
            "9213 a target of the wrong type",
            [
                get().origin(ok(&[("cdn-cache-control", "max-age=\"60\""), ("cache-control", "max-age=60")])),
                get().origin(ok(&[])),
            ],
        ),
        row(
            "9213 an empty target is none",
            [get().origin(ok(&[("cdn-cache-control", ""), ("cache-control", "max-age=60")])), get()],
        ),
        row(
            "9213 parameters count for nothing",
            [get().origin(ok(&[("cdn-cache-control", "max-age=60;x=1, y;z"), ("cache-control", "no-store")])), get()],
        ),
        row(
            "9213 a number with a point is of the wrong type",
            [get().origin(ok(&[("cdn-cache-control", "max-age=60.5")])), get().origin(ok(&[]))],
        ),
        row(
            "9213 a negative number is no lifetime",
            [get().origin(ok(&[("cdn-cache-control", "max-age=-60")])), get().origin(ok(&[]))],
        ),
        row(
            "9213 names have small letters",
            [
                get().origin(ok(&[("cdn-cache-control", "Max-Age=60"), ("cache-control", "no-store")])),
                get().origin(ok(&[])),
            ],
        ),
        row(
            "9213 what is false is not there",
            [
                get().origin(ok(&[("cdn-cache-control", "max-age=60, no-store=?0"), ("cache-control", "no-store")])),
                get(),
            ],
        ),
        row(
            "9213 two lines are one",
            [
                get().origin(ok(&[("cdn-cache-control", "max-age=60"), ("cdn-cache-control", "private")])),
                get().origin(ok(&[])),
            ],
        ),
        row(
            "9213 one bad line makes all of it bad",
            [
                get().origin(ok(&[("cdn-cache-control", "max-age=60"), ("cdn-cache-control", "%")])),
                get().origin(ok(&[])),
            ],
        ),
        row(
            "9213 of a name that comes twice the last",
            [get().origin(ok(&[("cdn-cache-control", "max-age=10, max-age=600"), ("age", "20")])), get()],
        ),
        row(
            "9213 must-revalidate of a target",
            [
                get().origin(stale(&[("cdn-cache-control", "max-age=10, must-revalidate")])),
                get().with("cache-control", "max-stale").origin(ok(&[])),
            ],
        ),
        row(
            "9213 fields for others count for nothing",
            [
                get().origin(ok(&[
                    ("cache-control", "max-age=60"),
                    ("surrogate-control", "no-store"),
                    ("other-cache-control", "no-store"),
                ])),
                get(),
            ],
        ),
        row(
            "9213 Age counts against a target",
            [
                get().origin(ok(&[
                    ("cdn-cache-control", "max-age=10"),
                    ("cache-control", "max-age=60"),
                    ("age", "20"),
                ])),
                get().origin(ok(&[])),
            ],
        ),
        row(
            "9530 and others pass",
            [
                get().origin(ok(&[
                    ("cache-control", "max-age=60"),
                    ("content-digest", "sha-256=:x:"),
                    ("repr-digest", "sha-256=:x:"),
                    ("x-new", "1"),
                ])),
                get().field("content-digest", "sha-256=:x:").field("repr-digest", "sha-256=:x:").field("x-new", "1"),
            ],
        ),
        row(
            "9110 6.3 fields of any bytes pass",
            [get()
                .bytes("x-in", b"caf\xe9")
                .origin(ok(&[]).bytes("x-out", b"\xff\xfe"))
                .field_bytes("x-out", b"\xff\xfe")],
        ),
    ]
}
