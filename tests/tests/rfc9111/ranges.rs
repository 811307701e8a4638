//! RFC 9110 section 14: parts of a complete stored response.

use super::row::{Row, date, get, head, ok, row, says};

pub(crate) fn rows() -> Vec<Row> {
    let whole =
        || ok(&[("cache-control", "max-age=60"), ("etag", "\"a\""), ("content-type", "text/x")]).body("abcdefghij");
    let bit = |said: &'static str, body: &'static str| {
        says(206, &[("cache-control", "max-age=60"), ("etag", "\"a\""), ("content-range", said)]).body(body)
    };
    let part = |range: &'static str, text: &'static str, said: &'static str| {
        let name = Box::leak(format!("9110 14.1.2 {range}").into_boxed_str());
        row(
            name,
            [
                get().origin(whole()),
                get()
                    .with("range", range)
                    .status(206)
                    .text(text)
                    .field("content-range", said)
                    .field("content-type", "text/x")
                    .has("etag"),
            ],
        )
    };
    let all = |range: &'static str| {
        let name = Box::leak(format!("9110 14.2 {range} is ignored").into_boxed_str());
        row(name, [get().origin(whole()), get().with("range", range).lacks("content-range")])
    };
    vec![
        part("bytes=2-4", "cde", "bytes 2-4/10"),
        part("bytes=0-0", "a", "bytes 0-0/10"),
        part("bytes=7-", "hij", "bytes 7-9/10"),
        part("bytes=-2", "ij", "bytes 8-9/10"),
        part("bytes=-99", "abcdefghij", "bytes 0-9/10"),
        part("bytes=5-99", "fghij", "bytes 5-9/10"),
        part("Bytes=2-4", "cde", "bytes 2-4/10"),
        all("bytes=4-2"),
        all("lines=1-2"),
        all("bytes=x"),
        all("bytes"),
        row("9110 15.5.17 416", [get().origin(whole()), get().with("range", "bytes=10-").status(416).text("").field("content-range", "bytes */10")]),
        row("9110 15.5.17 416 of a suffix of nothing", [get().origin(whole()), get().with("range", "bytes=-0").status(416).text("")]),
        row("9110 14.2 HEAD has no ranges", [get().origin(whole()), head().with("range", "bytes=2-4").status(200).lacks("content-range")]),
        row("9110 14.2 a range of a 404", [
            get().origin(says(404, &[("cache-control", "max-age=60")])),
            get().with("range", "bytes=0-1").status(404),
        ]),
        row("9110 13.1.5 If-Range with the tag", [get().origin(whole()), get().with("range", "bytes=2-4").with("if-range", "\"a\"").status(206).text("cde")]),
        row("9110 13.1.5 If-Range with another tag", [get().origin(whole()), get().with("range", "bytes=2-4").with("if-range", "\"b\"")]),
        row("9110 13.1.5 If-Range with a weak tag", [get().origin(whole()), get().with("range", "bytes=2-4").with("if-range", "W/\"a\"")]),
        row("9110 13.1.5 If-Range with the date", [
            get().origin(ok(&[("cache-control", "max-age=60"), ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"), ("date", &date(0))]).body("abcdefghij")),
            get().with("range", "bytes=2-4").with("if-range", "Sun, 06 Nov 1994 08:49:37 GMT").status(206).text("cde"),
            get().with("range", "bytes=2-4").with("if-range", "Mon, 07 Nov 1994 08:49:37 GMT"),
        ]),
        row("9110 13.2.2 a condition comes before a range", [
            get().origin(whole()),
            get().with("range", "bytes=2-4").with("if-none-match", "\"a\"").status(304),
        ]),
        row("9110 15.3.7.2 several ranges", [
            get().origin(ok(&[("cache-control", "max-age=60"), ("content-type", "text/x")]).body("abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghij")),
            get().with("range", "bytes=0-1,-2").status(206).field("content-type", "multipart/byteranges; boundary=BOUNDARY").text(
                "\r\n--BOUNDARY\r\ncontent-type: text/x\r\ncontent-range: bytes 0-1/240\r\n\r\nab\r\n--BOUNDARY\r\ncontent-type: text/x\r\ncontent-range: bytes 238-239/240\r\n\r\nij\r\n--BOUNDARY--\r\n",
            ),
        ]),
        row("9110 14.2 a range of nothing stored goes on", [
            get().with("range", "bytes=0-3").origin(says(206, &[("content-range", "bytes 0-3/10")]).body("abcd")).sent("range", "bytes=0-3"),
        ]),
        row("9110 14.2 an origin that ignores the range: the whole is stored", [
            get().with("range", "bytes=0-3").origin(whole()),
            get(),
            get().with("range", "bytes=0-3").status(206).text("abcd"),
        ])
        .envoy_cannot("a range that nothing is stored for is the service's: the owner sees no answer to store"),
        row("3.4 a part is stored, and answers what lies within it", [
            get().with("range", "bytes=2-7").origin(bit("bytes 2-7/10", "cdefgh")).says("fwd=uri-miss").says("stored"),
            get().with("range", "bytes=2-7").status(206).text("cdefgh").field("content-range", "bytes 2-7/10").field("content-length", "6").says("hit").has("age"),
            get().with("range", "bytes=3-4").status(206).text("de").field("content-range", "bytes 3-4/10").says("hit"),
            get().with("range", "bytes=3-4").with("if-none-match", "\"a\"").status(304),
        ])
        .envoy_cannot("a range that nothing is stored for is the service's: the owner sees no answer to store"),
        row("3.4 a part at the end answers what has no end", [
            get().with("range", "bytes=-4").origin(bit("bytes 6-9/10", "ghij")),
            get().with("range", "bytes=-2").status(206).text("ij").field("content-range", "bytes 8-9/10"),
            get().with("range", "bytes=7-").status(206).text("hij").field("content-range", "bytes 7-9/10"),
            get().with("range", "bytes=7-99").status(206).text("hij").field("content-range", "bytes 7-9/10"),
        ])
        .envoy_cannot("as above"),
        row("3.4 a part answers nothing that it does not have", [
            get().with("range", "bytes=2-4").origin(bit("bytes 2-4/10", "cde")),
            get().with("range", "bytes=2-5").origin(bit("bytes 2-5/10", "cdef")).says("fwd=partial").sent("range", "bytes=2-5"),
            head().origin(ok(&[])),
            get().with("range", "bytes=2-4").with("if-range", "\"a\"").origin(bit("bytes 2-4/10", "cde")).sent("if-range", "\"a\""),
            get().origin(whole()).says("fwd=partial").unsent("range"),
            get().text("abcdefghij"),
            get().with("range", "bytes=2-4").status(206).text("cde"),
        ])
        .envoy_cannot("as above"),
        row("3.4 a stale part answers nothing", [
            get().with("range", "bytes=0-3").origin(says(206, &[("cache-control", "max-age=10, stale-if-error=60"), ("age", "20"), ("etag", "\"a\""), ("content-range", "bytes 0-3/10")]).body("abcd")),
            get().with("range", "bytes=0-3").with("cache-control", "max-stale").origin(bit("bytes 0-3/10", "abcd")).unsent("if-none-match"),
        ]),
        row("3.3 a 206 that nobody asked for is not stored", [
            get().origin(bit("bytes 0-3/10", "abcd")),
            get().with("range", "bytes=0-3").origin(bit("bytes 0-3/10", "abcd")),
        ]),
        row("3.3 a part that is not as long as it says is not stored", [
            get().with("range", "bytes=0-3").origin(bit("bytes 0-3/10", "abc")),
            get().with("range", "bytes=0-3").origin(bit("bytes 0-3/10", "abcd")),
        ]),
        row("3.3 several parts, and one of an unknown whole, are not stored", [
            get().with("range", "bytes=0-1,4-5").origin(says(206, &[("cache-control", "max-age=60"), ("content-type", "multipart/byteranges; boundary=x")]).body("--x")),
            get().with("range", "bytes=0-1,4-5").origin(bit("bytes 0-3/*", "abcd")),
            get().with("range", "bytes=0-3").origin(bit("bytes 0-3/10", "abcd")),
        ]),
        row("4.1 a part of a variant", [
            get().with("x-v", "1").with("range", "bytes=0-3").origin(says(206, &[("cache-control", "max-age=60"), ("vary", "x-v"), ("content-range", "bytes 0-3/10")]).body("abcd")),
            get().with("x-v", "2").with("range", "bytes=0-3").origin(says(206, &[("cache-control", "max-age=60"), ("vary", "x-v"), ("content-range", "bytes 0-3/10")]).body("ABCD")).says("fwd=vary-miss"),
            get().with("x-v", "1").with("range", "bytes=0-3").status(206).text("abcd"),
        ])
        .envoy_cannot("as above"),
        row("9530 a digest of all of it is not that of a part", [
            get().origin(ok(&[("cache-control", "max-age=60"), ("content-digest", "sha-256=:x:"), ("repr-digest", "sha-256=:y:"), ("content-md5", "z")]).body("abcdefghij")),
            get().with("range", "bytes=2-4").status(206).text("cde").lacks("content-digest").lacks("content-md5").field("repr-digest", "sha-256=:y:"),
        ]),
        row("4.3 a range of a stale answer is cut after its validation", [
            get().origin(ok(&[("cache-control", "max-age=10"), ("age", "20"), ("etag", "\"a\"")]).body("abcdefghij")),
            get().with("range", "bytes=2-4").origin(says(304, &[("cache-control", "max-age=60")])).sent("if-none-match", "\"a\"").unsent("range").status(206).text("cde"),
        ]),
    ]
}
