//! Sections 4.3 and 3.2, RFC 9110 section 13: validation, what it changes, and conditions of clients.
//!
//! Long: a table.

use super::row::{Row, date, get, head, ok, row, says, stale};

pub(crate) fn rows() -> Vec<Row> {
    let old = date(-100_000);
    let fresh = |more: &[(&'static str, &str)]| ok(&[&[("cache-control", "max-age=60")], more].concat());
    let mut rows = vec![
        row(
            "4.3.1 a stale answer is validated by its tag",
            [
                get().origin(stale(&[])),
                get()
                    .origin(says(304, &[("cache-control", "max-age=60")]))
                    .sent("if-none-match", "\"a\"")
                    .status(200)
                    .text("answer 1")
                    .says("fwd=stale")
                    .says("fwd-status=304"),
                get(),
            ],
        ),
        row(
            "4.3.1 and by its date",
            [
                get().origin(ok(&[("cache-control", "max-age=10"), ("age", "20"), ("last-modified", &old)])),
                get()
                    .origin(says(304, &[("cache-control", "max-age=60")]))
                    .sent("if-modified-since", &old)
                    .status(200)
                    .text("answer 1"),
                get(),
            ],
        ),
        row(
            "4.3.1 a weak tag as it came",
            [
                get().origin(stale(&[("etag", "W/\"a\"")])),
                get().origin(says(304, &[])).sent("if-none-match", "W/\"a\"").status(200).text("answer 1"),
            ],
        ),
        row(
            "4.3.3 a new answer replaces",
            [
                get().origin(stale(&[])),
                get().origin(fresh(&[])).says("fwd=stale").says("stored"),
                get().text("answer 2"),
            ],
        ),
        row(
            "4.3.3 an error is not stored over it",
            [
                get().origin(stale(&[("cache-control", "max-age=10, must-revalidate")])),
                get().origin(says(503, &[])),
                get().origin(says(304, &[])).sent("if-none-match", "\"a\"").status(200).text("answer 1"),
            ],
        ),
        row(
            "4.3.3 a stale answer on 503",
            [get().origin(stale(&[])), get().origin(says(503, &[])).status(200).text("answer 1")],
        ),
        row(
            "5.2.2.4 no-cache is validated each time",
            [
                get().origin(ok(&[("cache-control", "no-cache, max-age=60"), ("etag", "\"a\"")])),
                get().origin(says(304, &[])).sent("if-none-match", "\"a\"").status(200).text("answer 1"),
                get().origin(says(304, &[])).sent("if-none-match", "\"a\"").status(200).text("answer 1"),
            ],
        ),
        row(
            "4.3.4 fields of a 304 replace",
            [
                get().origin(stale(&[("x-a", "1"), ("x-b", "1"), ("content-type", "text/a")])),
                get()
                    .origin(says(
                        304,
                        &[("cache-control", "max-age=60"), ("x-a", "2"), ("x-c", "3"), ("content-type", "text/b")],
                    ))
                    .status(200)
                    .text("answer 1")
                    .field("x-a", "2")
                    .field("x-b", "1")
                    .field("x-c", "3"),
                get()
                    .field("x-a", "2")
                    .field("x-b", "1")
                    .field("x-c", "3")
                    .field("cache-control", "max-age=60")
                    .field("content-type", "text/b"),
            ],
        ),
        row(
            "4.3.4 a 304 without Date gets one",
            [
                get().origin(stale(&[])),
                get().origin(says(304, &[("cache-control", "max-age=60")])).status(200).text("answer 1").has("date"),
                get().has("date"),
            ],
        ),
        row(
            "3.2 a 304 does not change the length",
            [
                get().origin(stale(&[])),
                get()
                    .origin(says(304, &[("cache-control", "max-age=60"), ("content-length", "3")]))
                    .status(200)
                    .text("answer 1")
                    .field("content-length", "8"),
            ],
        ),
        row(
            "3.1 what a directive of the 304 names goes",
            [
                get().origin(stale(&[("x-a", "1")])),
                get()
                    .origin(says(304, &[("cache-control", "max-age=60, private=\"x-a\""), ("x-a", "2")]))
                    .status(200)
                    .text("answer 1"),
                get().lacks("x-a"),
            ],
        ),
        row(
            "7.6.1 Connection of a 304",
            [
                get().origin(stale(&[])),
                get()
                    .origin(says(304, &[("cache-control", "max-age=60"), ("connection", "x-h"), ("x-h", "1")]))
                    .status(200)
                    .text("answer 1")
                    .lacks("x-h"),
                get().lacks("x-h"),
            ],
        ),
        row(
            "4.3.4 the Age of a 304 counts",
            [
                get().origin(stale(&[])),
                get().origin(says(304, &[("cache-control", "max-age=60"), ("age", "30")])).status(200).text("answer 1"),
                get().aged(30),
            ],
        ),
        row(
            "4.3.4 a 304 may say no-store",
            [
                get().origin(stale(&[])),
                get().origin(says(304, &[("cache-control", "no-store")])).status(200).text("answer 1"),
                get().origin(ok(&[])),
            ],
        ),
        row(
            "4.3.5 HEAD freshens",
            [
                get().origin(stale(&[("x-a", "1")])),
                head()
                    .origin(ok(&[("cache-control", "max-age=60"), ("etag", "\"a\""), ("x-a", "2")]).body("answer 1"))
                    .sent_as("HEAD"),
                get().text("answer 1").field("x-a", "2"),
            ],
        ),
        row(
            "4.3.5 HEAD of another representation invalidates",
            [
                get().origin(ok(&[("cache-control", "max-age=60, no-cache"), ("etag", "\"a\"")])),
                head().origin(ok(&[("cache-control", "max-age=60"), ("etag", "\"b\"")]).body("answer 1")),
                get().origin(fresh(&[])),
            ],
        ),
        row(
            "4.3.5 HEAD of another length invalidates",
            [
                get().origin(stale(&[])),
                head().origin(ok(&[("cache-control", "max-age=60"), ("etag", "\"a\"")]).body("another answer 1")),
                get().origin(fresh(&[])).unsent("if-none-match"),
            ],
        ),
        row(
            "4.3.5 a HEAD that fails changes nothing",
            [
                get().origin(stale(&[])),
                head().origin(says(503, &[])),
                get().origin(says(304, &[])).sent("if-none-match", "\"a\"").status(200).text("answer 1"),
            ],
        )
        .envoy_cannot("the owner looks first, and lets a request that failed go its ordinary way"),
        row(
            "4.3.3 an answer that may not be stored takes the place of a stored one",
            [
                get().origin(stale(&[])),
                get().origin(ok(&[("cache-control", "no-store")])),
                get().origin(fresh(&[])).unsent("if-none-match"),
            ],
        ),
        row(
            "5.2.1.4 so does the answer to a reload",
            [
                get().origin(fresh(&[])),
                get().with("cache-control", "no-cache").origin(ok(&[("cache-control", "no-store")])),
                get().origin(fresh(&[])),
            ],
        )
        .envoy_cannot("the proxy's own copy may still be given, for hot.ttl at the longest"),
        row(
            "4.3.4 a 304 without any validator confirms the one that was asked about",
            [
                get().origin(stale(&[])),
                get().origin(says(304, &[("cache-control", "max-age=60")])).status(200).text("answer 1"),
                get().field("etag", "\"a\""),
            ],
        ),
        row(
            "4.3.4 the age starts anew",
            [
                get().origin(stale(&[("date", &date(-500)), ("age", "400")])),
                get()
                    .origin(says(304, &[("cache-control", "max-age=60"), ("date", &date(0))]))
                    .status(200)
                    .text("answer 1"),
                get().says("hit"),
            ],
        ),
        row(
            "4.3.3 nobody had asked on condition: a 304 is no answer",
            [get().origin(says(304, &[])).status(502).alone()],
        )
        .envoy_cannot("after the owner's error the request goes its ordinary way, and the 304 with it"),
        row(
            "8.8.3 a weak tag with a small w is none",
            [get().origin(fresh(&[("etag", "\"a\"")])), get().with("if-none-match", "w/\"a\"")],
        ),
        row(
            "8.8.3 a tag without an end is none",
            [get().origin(fresh(&[("etag", "\"a\"")])), get().with("if-none-match", "\"a")],
        ),
        row(
            "4.3.5 HEAD that says it is gone",
            [
                get().origin(ok(&[
                    ("cache-control", "max-age=10, stale-while-revalidate=60"),
                    ("etag", "\"a\""),
                    ("age", "20"),
                ])),
                head().with("cache-control", "no-cache").origin(says(410, &[])),
                get().origin(fresh(&[])),
            ],
        ),
        // Conditions of clients.
        row(
            "9110 13.1.2 If-None-Match is answered",
            [
                get().origin(fresh(&[("etag", "\"a\"")])),
                get().with("if-none-match", "\"a\"").status(304).field("etag", "\"a\"").says("hit"),
            ],
        ),
        row(
            "9110 13.1.2 a list",
            [
                get().origin(fresh(&[("etag", "\"a\"")])),
                get().with("if-none-match", "\"x\", \"a\" , \"y\"").status(304),
            ],
        ),
        row(
            "9110 13.1.2 two lines",
            [
                get().origin(fresh(&[("etag", "\"a\"")])),
                get().with("if-none-match", "\"x\"").with("if-none-match", "\"a\"").status(304),
            ],
        ),
        row(
            "9110 13.1.2 weak compare",
            [get().origin(fresh(&[("etag", "\"a\"")])), get().with("if-none-match", "W/\"a\"").status(304)],
        ),
        row(
            "9110 13.1.2 a weak tag that is stored",
            [get().origin(fresh(&[("etag", "W/\"a\"")])), get().with("if-none-match", "\"a\"").status(304)],
        ),
        row("9110 13.1.2 a star", [get().origin(fresh(&[])), get().with("if-none-match", "*").status(304)]),
        row(
            "9110 13.1.2 another tag",
            [get().origin(fresh(&[("etag", "\"a\"")])), get().with("if-none-match", "\"b\"")],
        ),
        row(
            "9110 8.8.3 a tag without quotes that is asked for",
            [get().origin(fresh(&[("etag", "\"a\"")])), get().with("if-none-match", "a").status(304)],
        ),
        row(
            "9110 8.8.3 a tag without quotes that is stored",
            [get().origin(fresh(&[("etag", "a")])), get().with("if-none-match", "\"a\"").status(304)],
        ),
        row(
            "9110 8.8.3 a backslash in a tag",
            [get().origin(fresh(&[("etag", "\"a\\b\"")])), get().with("if-none-match", "\"a\\b\"").status(304)],
        ),
        row(
            "9110 8.8.3 a comma in a tag",
            [get().origin(fresh(&[("etag", "\"a,b\"")])), get().with("if-none-match", "\"x\", \"a,b\"").status(304)],
        ),
        row(
            "9110 8.8.3 bytes that are no ASCII",
            [
                get().origin(fresh(&[]).bytes("etag", b"\"caf\xe9\"")),
                get().bytes("if-none-match", b"\"caf\xe9\"").status(304),
            ],
        )
        .envoy_cannot("what is no UTF-8 passes: the SDK cannot send it in a question"),
        row(
            "9110 13.1.2 If-None-Match before If-Modified-Since",
            [
                get().origin(fresh(&[("etag", "\"a\""), ("last-modified", &old)])),
                get().with("if-none-match", "\"b\"").with("if-modified-since", &date(0)),
            ],
        ),
        row(
            "9110 13.1.3 If-Modified-Since is answered",
            [
                get().origin(fresh(&[("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")])),
                get().with("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT").status(304),
                get().with("if-modified-since", "Sunday, 06-Nov-94 08:49:37 GMT").status(304),
                get().with("if-modified-since", "Sun Nov  6 08:49:37 1994").status(304),
                get().with("if-modified-since", "Mon, 07 Nov 1994 08:49:37 GMT").status(304),
                get().with("if-modified-since", "Sat, 05 Nov 1994 08:49:37 GMT"),
                get().with("if-modified-since", "yesterday"),
            ],
        ),
        row(
            "4.3.2 If-Modified-Since without Last-Modified: Date",
            [get().origin(fresh(&[("date", &date(0))])), get().with("if-modified-since", &date(5)).status(304)],
        ),
        row(
            "4.3.2 conditions of a stale answer are judged after its validation",
            [
                get().origin(stale(&[])),
                get()
                    .with("if-none-match", "\"a\"")
                    .origin(says(304, &[("cache-control", "max-age=60")]))
                    .sent("if-none-match", "\"a\"")
                    .status(304),
                get().text("answer 1"),
            ],
        ),
        row(
            "4.3.2 and against what came",
            [
                get().origin(stale(&[])),
                get().with("if-none-match", "\"b\"").origin(fresh(&[("etag", "\"b\"")])).status(304),
                get().text("answer 2"),
            ],
        ),
        row(
            "4.3.2 a condition is judged by what a load of the whole brings where nothing is stored",
            [
                get()
                    .with("if-none-match", "\"a\"")
                    .origin(fresh(&[("etag", "\"a\"")]))
                    .unsent("if-none-match")
                    .status(304),
                get().says("hit"),
            ],
        ),
        row("4.3.2 and what it brings is stored", [get().with("if-none-match", "\"z\"").origin(fresh(&[])), get()]),
        row(
            "4.3.2 what turns out not to be storable goes on with its own conditions",
            [
                get().origin(ok(&[("cache-control", "no-store"), ("etag", "\"a\"")])),
                get()
                    .with("if-none-match", "\"a\"")
                    .origin(says(304, &[("etag", "\"a\"")]))
                    .sent("if-none-match", "\"a\""),
            ],
        )
        .envoy_cannot("beside it a load tries whether the answer may be stored by now"),
        row(
            "9110 13.1.1 If-Match is for the origin",
            [
                get().origin(fresh(&[("etag", "\"a\"")])),
                get().with("if-match", "\"b\"").origin(says(412, &[])).sent("if-match", "\"b\""),
            ],
        ),
        row(
            "9110 13.1.4 If-Unmodified-Since is for the origin",
            [
                get().origin(fresh(&[("last-modified", &old)])),
                get().with("if-unmodified-since", &date(-200_000)).origin(says(412, &[])),
            ],
        ),
        row(
            "9110 13.1 HEAD with a condition",
            [get().origin(fresh(&[("etag", "\"a\"")])), head().with("if-none-match", "\"a\"").status(304)],
        ),
        row(
            "9110 15.4.5 what a 304 carries",
            [
                get().origin(fresh(&[
                    ("etag", "\"a\""),
                    ("vary", "x-v"),
                    ("expires", &date(600)),
                    ("content-location", "/c"),
                    ("content-type", "text/x"),
                ])),
                get()
                    .with("if-none-match", "\"a\"")
                    .status(304)
                    .has("cache-control")
                    .has("vary")
                    .has("expires")
                    .has("content-location")
                    .has("date")
                    .has("age")
                    .lacks("content-type"),
            ],
        ),
        row(
            "4.3.2 conditions count for a success only",
            [
                get().origin(says(404, &[("cache-control", "max-age=60"), ("etag", "\"a\"")])),
                get().with("if-none-match", "\"a\"").status(404),
            ],
        ),
        row(
            "4.3.1 the tags of all variants are sent, and the one that is named is this request's, too",
            [
                get().with("x-v", "1").origin(fresh(&[("etag", "\"a\""), ("vary", "x-v")])),
                get()
                    .with("x-v", "2")
                    .origin(fresh(&[("etag", "\"b\""), ("vary", "x-v")]))
                    .sent("if-none-match", "\"a\""),
                get()
                    .with("x-v", "3")
                    .origin(says(304, &[("cache-control", "max-age=60"), ("etag", "\"a\""), ("vary", "x-v")]))
                    .sent("if-none-match", "\"b\", \"a\"")
                    .status(200)
                    .text("answer 1")
                    .says("fwd=vary-miss")
                    .says("fwd-status=304")
                    .says("stored"),
                get().with("x-v", "3").text("answer 1").says("hit"),
                get().with("x-v", "2").text("answer 2"),
            ],
        ),
        row(
            "4.3.1 weak tags tell no variants apart",
            [
                get().with("x-v", "1").origin(fresh(&[("etag", "W/\"a\""), ("vary", "x-v")])),
                get().with("x-v", "2").origin(ok(&[])).unsent("if-none-match"),
            ],
        ),
        row(
            "4.1 conditions of a variant",
            [
                get().with("x-v", "1").origin(fresh(&[("etag", "\"a\""), ("vary", "x-v")])),
                get().with("x-v", "2").with("if-none-match", "\"a\"").origin(ok(&[("etag", "\"b\""), ("vary", "x-v")])),
            ],
        ),
    ];
    for name in [
        "content-encoding",
        "content-location",
        "content-security-policy",
        "set-cookie",
        "x-frame-options",
        "last-modified",
        "expires",
        "content-md5",
    ] {
        let title = Box::leak(format!("3.2 a 304 updates {name}").into_boxed_str());
        rows.push(row(
            title,
            [
                get().origin(stale(&[(name, "old")])),
                get().origin(says(304, &[("cache-control", "max-age=60"), (name, "new")])).status(200).text("answer 1"),
                get().field(name, "new"),
            ],
        ));
    }
    rows
}
