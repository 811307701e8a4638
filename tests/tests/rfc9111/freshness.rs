//! Section 4.2, 5.1, 5.3: how long it is fresh, and how old it is.

use super::row::{Row, Says, date, get, ok, row};

fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = vec![
        row(
            "4.2.3 Age counts on",
            [get().origin(ok(&[("cache-control", "max-age=3600"), ("age", "100")])), get().aged(100)],
        ),
        row(
            "4.2.3 Date in the past is an age",
            [get().origin(ok(&[("cache-control", "max-age=3600"), ("date", &date(-200))])), get().aged(200)],
        ),
        row(
            "4.2.3 the greater of Age and Date",
            [
                get().origin(ok(&[("cache-control", "max-age=3600"), ("date", &date(-50)), ("age", "500")])),
                get().aged(500),
            ],
        ),
        row(
            "5.3 a Date in the past takes from max-age",
            [get().origin(ok(&[("cache-control", "max-age=100"), ("date", &date(-200))])), get().origin(ok(&[]))],
        ),
        row(
            "5.1 Age that has come twice: the first",
            [get().origin(ok(&[("cache-control", "max-age=3600"), ("age", "100"), ("age", "9000")])), get().aged(100)],
        ),
        row(
            "5.2.2.10 s-maxage before max-age",
            [get().origin(ok(&[("cache-control", "max-age=0, s-maxage=60")])), get()],
        ),
        row(
            "5.2.2.10 a short s-maxage before a long max-age",
            [get().origin(ok(&[("cache-control", "s-maxage=10, max-age=600"), ("age", "20")])), get().origin(ok(&[]))],
        ),
        row(
            "5.3 max-age before Expires",
            [get().origin(ok(&[("cache-control", "max-age=600"), ("expires", &date(-100))])), get()],
        ),
        row(
            "5.3 max-age=0 before Expires",
            [get().origin(ok(&[("cache-control", "max-age=0"), ("expires", &date(600))])), get().origin(ok(&[]))],
        ),
        row(
            "4.2.2 no heuristic beside Expires",
            [get().origin(ok(&[("expires", &date(-10)), ("last-modified", &date(-86_400))])), get().origin(ok(&[]))],
        ),
        row(
            "5.4 Pragma of a response means nothing",
            [get().origin(ok(&[("cache-control", "max-age=60"), ("pragma", "no-cache")])), get()],
        ),
        row(
            "1.2.2 a lifetime too large",
            [get().origin(ok(&[("cache-control", "max-age=99999999999999999999")])), get()],
        ),
        row(
            "5.2.2.5 no-store of a second line",
            [
                get().origin(ok(&[("cache-control", "max-age=60"), ("cache-control", "no-store")])),
                get().origin(ok(&[])),
            ],
        ),
        row(
            "5.2 max-age of a second line",
            [get().origin(ok(&[("cache-control", "public"), ("cache-control", "max-age=60")])), get()],
        ),
        row(
            "5.2 unknown directives change nothing",
            [get().origin(ok(&[("cache-control", "x-new=\"a, no-store\", max-age=60, y")])), get()],
        ),
        row(
            "4.2.1 of two numbers the smaller",
            [get().origin(ok(&[("cache-control", "max-age=600, max-age=10"), ("age", "20")])), get().origin(ok(&[]))],
        ),
        row(
            "4.2.1 Expires is counted from Date",
            [get().origin(ok(&[("date", &date(-3600)), ("expires", &date(-3000))])), get().origin(ok(&[]))],
        ),
        row(
            "4.2.1 and is good for what is left of it",
            [get().origin(ok(&[("date", &date(-100)), ("expires", &date(500))])), get().aged(100)],
        ),
        row(
            "4.2.3 a Date in the future is no age",
            [get().origin(ok(&[("date", &date(600)), ("cache-control", "max-age=60")])), get().says("hit")],
        ),
        row(
            "4.2.2 a Last-Modified in the future gives nothing",
            [get().origin(ok(&[("last-modified", &date(3600))])), get().origin(ok(&[]))],
        ),
        row(
            "4.2.2 no heuristic beside max-age=0",
            [
                get().origin(ok(&[("cache-control", "max-age=0"), ("last-modified", &date(-9_999_999))])),
                get().origin(ok(&[])),
            ],
        ),
        row(
            "4.2.2 no heuristic beside no-store",
            [
                get().origin(ok(&[("cache-control", "no-store"), ("last-modified", &date(-9_999_999))])),
                get().origin(ok(&[])),
            ],
        ),
        row(
            "5.2.2.10 s-maxage=0 before max-age",
            [get().origin(ok(&[("cache-control", "max-age=60, s-maxage=0")])), get().origin(ok(&[]))],
        ),
        row(
            "5.2.2.10 s-maxage that is no number",
            [get().origin(ok(&[("cache-control", "max-age=60, s-maxage=x")])), get().origin(ok(&[]))],
        ),
        row(
            "5.2.2.4 no-cache with nothing in its quotes",
            [get().origin(ok(&[("cache-control", "max-age=60, no-cache=\"\"")])), get().origin(ok(&[]))],
        ),
        row(
            "5.2.2.7 private with nothing in its quotes",
            [get().origin(ok(&[("cache-control", "max-age=60, private=\"\"")])), get().origin(ok(&[]))],
        ),
        row(
            "5.2 a directive of a Cache-Control without end of quotes",
            [get().origin(ok(&[("cache-control", "x=\"a, no-store, max-age=60")])), get().origin(ok(&[]))],
        ),
        row(
            "5.1 Age of an answer that is not stored is passed on",
            [get().origin(ok(&[("cache-control", "no-store"), ("age", "77")])).field("age", "77")],
        ),
        row(
            "8246 immutable is not validated by a reload",
            [get().origin(ok(&[("cache-control", "max-age=60, immutable")])), get().with("cache-control", "max-age=0")],
        ),
    ];
    let fresh = |name: &str, says: Says| row(leak(format!("fresh: {name}")), [get().origin(says), get()]);
    let not =
        |name: &str, says: Says| row(leak(format!("not fresh: {name}")), [get().origin(says), get().origin(ok(&[]))]);
    for text in
        ["max-age=60", "MAX-AGE=60", "  max-age=60  ", "x,max-age=60", "max-age=\"60\"", "max-age=060", "max-age=60,,"]
    {
        rows.push(fresh(text, ok(&[("cache-control", text)])));
    }
    for text in [
        "max-age",
        "max-age=",
        "max-age=-60",
        "max-age=60.5",
        "max-age=a60",
        "max-age= 60",
        "max-age =60",
        "max-age=60s",
        "maxage=60",
        "max-age='60'",
        "max-age=60;x",
        "max-age=60 x",
        "max-age=1e3",
        "max-age=0x60",
    ] {
        rows.push(not(text, ok(&[("cache-control", text)])));
    }
    let expires = [
        "Sun, 06 Nov 2061 08:49:37 GMT",
        "Sunday, 06-Nov-61 08:49:37 GMT",
        "Sun Nov  6 08:49:37 2061",
        "sUN, 06 nOV 2061 08:49:37 gmt",
    ];
    for text in expires {
        rows.push(fresh(text, ok(&[("expires", text)])));
    }
    for text in [
        "0",
        "-1",
        "",
        "tomorrow",
        "Sun, 06 Nov 2061 8:49:37 GMT",
        "Sun, 06 Nov 2061 08.49.37 GMT",
        "Sun, 06 Nov 2061 08:49:37",
        "Sun, 06 Nov 2061 08:49:37 UTC",
        "Sun, 06 Nov 2061 08:49:37 PST",
        "Sun 06 Nov 2061 08:49:37 GMT",
        "Sun, 06-Nov-2061 08:49:37 GMT",
        "Sun,  06  Nov 2061 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT",
    ] {
        rows.push(not(&format!("Expires {text:?}"), ok(&[("expires", text)])));
    }
    rows.push(not("Expires in two lines, one of them past", ok(&[("expires", &date(600)), ("expires", "0")])));
    rows.push(not("Expires as old as Date", ok(&[("expires", &date(600)), ("date", &date(600))])));
    for (age, is_fresh) in [
        ("7200", false),
        ("-1", true),
        ("x", true),
        ("7200.5", true),
        ("a7200", true),
        ("7200, 0", false),
        ("0, 7200", true),
        ("0, 0", true),
        ("7200;x=y", true),
        ("\"7200\"", true),
        ("+7200", true),
        ("", true),
        ("2147483648", false),
        ("99999999999999999999", false),
    ] {
        let says = ok(&[("cache-control", "max-age=3600"), ("age", age)]);
        rows.push(if is_fresh { fresh(&format!("Age {age}"), says) } else { not(&format!("Age {age}"), says) });
    }
    rows
}
