//! Section 4.4, RFC 9110 section 9: what unsafe methods make invalid, and what goes through.

use super::row::{Row, get, method, ok, row, says};

pub(crate) fn rows() -> Vec<Row> {
    let fresh = || ok(&[("cache-control", "max-age=600")]);
    let mut rows = Vec::new();
    for name in ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH"] {
        let leak = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
        let custom = |row: Row| {
            if name == "M-SEARCH" {
                row.envoy_cannot("the listener allows no methods that Envoy does not know")
            } else {
                row
            }
        };
        let act = || method(name).body("x");
        for status in [200, 201, 204, 303] {
            let title = leak(format!("4.4 {name} with {status} invalidates"));
            rows.push(custom(row(
                title,
                [get().origin(fresh()), act().origin(says(status, &[])), get().origin(fresh()), get()],
            )));
        }
        for status in [400, 404, 500, 503] {
            let title = leak(format!("4.4 {name} with {status} does not"));
            rows.push(custom(row(
                title,
                [get().origin(fresh()), act().origin(says(status, &[])), get().text("answer 1")],
            )));
        }
        for field in ["location", "content-location"] {
            let title = leak(format!("4.4 {name} invalidates {field}"));
            rows.push(custom(row(
                title,
                [
                    get().at("/other").origin(fresh()),
                    act().origin(says(201, &[(field, "{path}/other")])),
                    get().at("/other").origin(fresh()),
                ],
            )));
            let title = leak(format!("4.4 {name} does not invalidate {field} of another origin"));
            rows.push(custom(row(
                title,
                [
                    get().at("/other").origin(fresh()),
                    act().origin(says(201, &[(field, "http://elsewhere.test{path}/other")])),
                    get().at("/other").text("answer 1"),
                ],
            )));
        }
    }
    rows.extend([
        row(
            "4.4 all variants go",
            [
                get().with("x-v", "1").origin(ok(&[("cache-control", "max-age=600"), ("vary", "x-v")])),
                get().with("x-v", "2").origin(ok(&[("cache-control", "max-age=600"), ("vary", "x-v")])),
                method("POST").body("x").origin(ok(&[])),
                get().with("x-v", "1").origin(fresh()),
            ],
        ),
        row(
            "4.4 an absolute Location on the same origin",
            [
                get().at("/other").origin(fresh()),
                method("POST").body("x").origin(says(201, &[("location", "http://rfc.test{path}/other")])),
                get().at("/other").origin(fresh()),
            ],
        ),
        row(
            "9110 9.3.3 the answer to POST is stored for GET where it says so",
            [
                method("POST")
                    .body("x")
                    .origin(ok(&[("cache-control", "max-age=600"), ("content-location", "{path}")])),
                get().text("answer 1"),
            ],
        )
        .envoy_cannot("requests with bodies go to the service: the owner sees no answer to store"),
        row(
            "4.4 a relative Location",
            [
                get().at("/a/b").origin(fresh()),
                method("PUT").at("/a/c").body("x").origin(says(201, &[("location", "b")])),
                get().at("/a/b").origin(fresh()),
            ],
        ),
        row(
            "4.4 a Location with a query is another resource",
            [
                get().at("/o").origin(fresh()),
                method("PUT").body("x").origin(says(201, &[("location", "{path}/o?x")])),
                get().at("/o").text("answer 1"),
            ],
        ),
        row(
            "4.4 a Location on another port is another origin",
            [
                get().at("/o").origin(fresh()),
                method("PUT").body("x").origin(says(201, &[("location", "http://rfc.test:81{path}/o")])),
                get().at("/o").text("answer 1"),
            ],
        ),
        row(
            "4.4 another query of the target stays",
            [
                get().at("?a").origin(fresh()),
                method("POST").at("?b").body("x").origin(ok(&[])),
                get().at("?a").text("answer 1"),
            ],
        ),
        row(
            "9110 9.3.3 and not without Content-Location",
            [method("POST").body("x").origin(fresh()), get().origin(ok(&[]))],
        ),
        row(
            "9110 9.3.3 a POST is never answered from the store",
            [get().origin(fresh()), method("POST").body("x").origin(ok(&[]))],
        ),
        row(
            "9110 9.2.1 OPTIONS is safe",
            [get().origin(fresh()), method("OPTIONS").origin(ok(&[])), get().text("answer 1")],
        ),
        row(
            "4 a method goes through with its body",
            [method("PUT").body("x").origin(says(204, &[])).sent_as("PUT").says("fwd=method")],
        ),
    ]);
    rows
}
