//! Sections 4, 4.1, 4.2.4, 5.2.1, 5.4: what a request is answered with.

use super::row::{Row, date, get, gone, method, ok, row, says, stale};

pub(crate) fn rows() -> Vec<Row> {
    let varies = |name: &'static str| ok(&[("cache-control", "max-age=60"), ("vary", name)]);
    vec![
        row(
            "4 another query is another resource",
            [get().at("?a").origin(ok(&[("cache-control", "max-age=60")])), get().at("?b").origin(ok(&[]))],
        ),
        row("4.1 the same value matches", [get().with("x-v", "1").origin(varies("x-v")), get().with("x-v", "1")]),
        row(
            "4.1 another value does not",
            [
                get().with("x-v", "1").origin(varies("x-v")),
                get().with("x-v", "2").origin(varies("x-v")).says("fwd=vary-miss"),
                get().with("x-v", "1").text("answer 1"),
                get().with("x-v", "2").text("answer 2"),
                get().origin(ok(&[])),
            ],
        ),
        row(
            "4.1 an absent field matches an absent one",
            [get().origin(varies("x-v")), get(), get().with("x-v", "1").origin(ok(&[]))],
        ),
        row(
            "4.1 all fields count",
            [
                get().with("x-v", "1").with("x-w", "1").origin(varies("x-v, X-W")),
                get().with("x-v", "1").with("x-w", "1"),
                get().with("x-v", "1").with("x-w", "2").origin(ok(&[])),
            ],
        ),
        row(
            "4.1 two lines of Vary",
            [
                get().with("x-v", "1").with("x-w", "1").origin(ok(&[
                    ("cache-control", "max-age=60"),
                    ("vary", "x-v"),
                    ("vary", "x-w"),
                ])),
                get().with("x-v", "1").with("x-w", "2").origin(ok(&[])),
            ],
        ),
        row("4.1 a star never matches", [get().origin(varies("*")), get().origin(ok(&[]))]),
        row("4.1 a star among names", [get().origin(varies("x-v, *")), get().origin(ok(&[]))]),
        row(
            "4.1 a star in another line",
            [
                get().origin(ok(&[("cache-control", "max-age=60"), ("vary", "x-v"), ("vary", "*")])),
                get().origin(ok(&[])),
            ],
        ),
        row(
            "4.1 space at commas does not count",
            [get().with("x-v", "1,2").origin(varies("x-v")), get().with("x-v", " 1 ,  2 ")],
        ),
        row(
            "4.1 lines are one",
            [get().with("x-v", "1, 2").origin(varies("x-v")), get().with("x-v", "1").with("x-v", "2")],
        ),
        row(
            "4.1 Accept-Language in another case and order",
            [
                get().with("accept-language", "en, de").origin(varies("accept-language")),
                get().with("accept-language", "DE, EN"),
                get().with("accept-language", "en;q=0.5, de").origin(ok(&[])),
            ],
        ),
        row(
            "4.1 Accept-Encoding in another order",
            [
                get().with("accept-encoding", "gzip, br").origin(varies("accept-encoding")),
                get().with("accept-encoding", "BR,gzip"),
            ],
        ),
        row(
            "5.2.1.4 no-cache of a request is validated",
            [
                get().origin(ok(&[("cache-control", "max-age=60"), ("etag", "\"a\"")])),
                get()
                    .with("cache-control", "no-cache")
                    .origin(says(304, &[("etag", "\"a\"")]))
                    .sent("if-none-match", "\"a\"")
                    .status(200)
                    .text("answer 1"),
                get(),
            ],
        ),
        row(
            "5.2.1.4 no-cache of a request replaces",
            [
                get().origin(ok(&[("cache-control", "max-age=60")])),
                get()
                    .with("cache-control", "no-cache")
                    .origin(ok(&[("cache-control", "max-age=60")]))
                    .says("fwd=request"),
                get().text("answer 2"),
            ],
        ),
        row(
            "5.4 Pragma of a request",
            [get().origin(ok(&[("cache-control", "max-age=60")])), get().with("pragma", "no-cache").origin(ok(&[]))],
        ),
        row(
            "5.4 Pragma beside Cache-Control counts for nothing",
            [
                get().origin(ok(&[("cache-control", "max-age=60")])),
                get().with("pragma", "no-cache").with("cache-control", "max-age=60"),
            ],
        ),
        row(
            "5.2.1.1 max-age=0 is validated by Last-Modified",
            [
                get().origin(ok(&[("cache-control", "max-age=60"), ("last-modified", &date(-1000))])),
                get().with("cache-control", "max-age=0").origin(says(304, &[])).status(200).text("answer 1"),
            ],
        ),
        row(
            "5.2.1.1 max-age that is older",
            [
                get().origin(ok(&[("cache-control", "max-age=600"), ("age", "50")])),
                get().with("cache-control", "max-age=40").origin(ok(&[("cache-control", "max-age=600")])),
                get().with("cache-control", "max-age=40"),
            ],
        ),
        row(
            "5.2.1.3 min-fresh",
            [
                get().origin(ok(&[("cache-control", "max-age=100"), ("age", "50")])),
                get().with("cache-control", "min-fresh=10"),
                get().with("cache-control", "min-fresh=60").origin(ok(&[])),
            ],
        ),
        row(
            "5.2.1.2 max-stale takes what is stale",
            [
                get().origin(stale(&[])),
                get()
                    .with("cache-control", "max-stale=1000")
                    .behind(says(304, &[("cache-control", "max-age=10"), ("age", "20")]))
                    .text("answer 1"),
            ],
        ),
        row(
            "5.2.1.2 max-stale alone takes all",
            [
                get().origin(stale(&[])),
                get()
                    .with("cache-control", "max-stale")
                    .behind(says(304, &[("cache-control", "max-age=10"), ("age", "20")]))
                    .text("answer 1"),
            ],
        ),
        row(
            "5.2.1.2 max-stale as far as it says",
            [get().origin(stale(&[])), get().with("cache-control", "max-stale=5").origin(ok(&[]))],
        ),
        row(
            "5.2.2.2 max-stale does not lift must-revalidate",
            [
                get().origin(stale(&[("cache-control", "max-age=10, must-revalidate")])),
                get().with("cache-control", "max-stale=1000").origin(ok(&[])),
            ],
        ),
        row(
            "5.2.1.2 max-stale with 0 takes nothing",
            [get().origin(stale(&[])), get().with("cache-control", "max-stale=0").origin(ok(&[]))],
        ),
        row(
            "5.2.1.2 max-stale does not lift no-cache",
            [
                get().origin(stale(&[("cache-control", "max-age=10, no-cache")])),
                get().with("cache-control", "max-stale").origin(ok(&[])),
            ],
        ),
        row(
            "5.2.1.1 a large max-age makes nothing fresh",
            [get().origin(stale(&[])), get().with("cache-control", "max-age=9999").origin(ok(&[]))],
        ),
        row(
            "5.2.1 request directives in odd case and quotes",
            [
                get().origin(ok(&[("cache-control", "max-age=60"), ("age", "30")])),
                get().with("cache-control", "MAX-age=\"5\"").origin(ok(&[])),
            ],
        ),
        row(
            "5.2.1 unknown request directives change nothing",
            [get().origin(ok(&[("cache-control", "max-age=60")])), get().with("cache-control", "x=\"no-cache\", y")],
        ),
        row(
            "4 methods are told apart by case",
            [get().origin(ok(&[("cache-control", "max-age=60")])), method("get").origin(ok(&[])).sent_as("get")],
        )
        .envoy_cannot("the listener allows no methods that Envoy does not know"),
        row("4.1 an empty Vary is none", [get().with("x-v", "1").origin(varies("")), get().with("x-v", "2")]),
        row("4.1 empty members before a star", [get().origin(varies(", *")), get().origin(ok(&[]))]),
        row(
            "4.1 of those that match the most recent",
            [
                get().with("x-v", "1").origin(varies("x-v")),
                get().with("x-v", "2").origin(ok(&[("cache-control", "max-age=60")])),
                get().with("x-v", "1").text("answer 2"),
            ],
        ),
        row(
            "4.1 several lines and members in another order are another value",
            [
                get().with("x-v", "1").with("x-v", "2").origin(varies("x-v")),
                get().with("x-v", "2").with("x-v", "1").origin(ok(&[])),
            ],
        ),
        row(
            "4.1 a field that comes with Vary of a validation counts from then on",
            [
                get().with("x-v", "1").origin(stale(&[])),
                get()
                    .with("x-v", "1")
                    .origin(says(304, &[("cache-control", "max-age=60"), ("vary", "x-v")]))
                    .status(200)
                    .text("answer 1"),
                get().with("x-v", "1"),
                get().with("x-v", "2").origin(ok(&[])),
            ],
        ),
        row("5.2.1.7 only-if-cached with nothing", [get().with("cache-control", "only-if-cached").status(504)]),
        row(
            "5.2.1.7 only-if-cached with something",
            [get().origin(ok(&[("cache-control", "max-age=60")])), get().with("cache-control", "only-if-cached")],
        ),
        row(
            "5.2.1.7 only-if-cached with something stale",
            [get().origin(stale(&[])), get().with("cache-control", "only-if-cached").status(504)],
        ),
        row(
            "4.2.4 disconnected, stale is given",
            [get().origin(stale(&[])), get().origin(gone()).status(200).text("answer 1")],
        ),
        row(
            "4.2.4 disconnected, without a validator",
            [
                get().origin(ok(&[("cache-control", "max-age=10, stale-if-error=600"), ("age", "20")])),
                get().origin(gone()).status(200).text("answer 1"),
            ],
        ),
        row(
            "5.2.2.2 disconnected, must-revalidate is 504",
            [
                get().origin(stale(&[("cache-control", "max-age=10, must-revalidate")])),
                get().origin(gone()).status(504),
            ],
        )
        .envoy_cannot("after the owner's error Envoy asks the service itself, and answers its failure with 503"),
        row(
            "5.2.2.8 disconnected, proxy-revalidate is 504",
            [
                get().origin(stale(&[("cache-control", "max-age=10, proxy-revalidate")])),
                get().origin(gone()).status(504),
            ],
        )
        .envoy_cannot("as above"),
        row(
            "5.2.2.10 disconnected, s-maxage is 504",
            [get().origin(stale(&[("cache-control", "s-maxage=10")])), get().origin(gone()).status(504)],
        )
        .envoy_cannot("as above"),
        row(
            "5.2.2.4 disconnected, no-cache is 504",
            [
                get().origin(ok(&[("cache-control", "max-age=60, no-cache"), ("etag", "\"a\"")])),
                get().origin(gone()).status(504),
            ],
        )
        .envoy_cannot("as above"),
    ]
}
