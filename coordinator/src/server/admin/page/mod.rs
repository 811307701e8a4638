//! The page for people: three files, none from elsewhere.

use axum::{
    Router,
    response::{AppendHeaders, IntoResponse, Response},
    routing::get,
};
use http::{HeaderName, header};

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
/// One script: its parts stand in the order in which they use each other.
const SCRIPT: &str = concat!(
    include_str!("nodes.js"),
    include_str!("words.js"),
    include_str!("sums.js"),
    include_str!("rates.js"),
    include_str!("overview.js"),
    include_str!("groups.js"),
    include_str!("lists.js"),
    include_str!("why.js"),
    include_str!("purge.js"),
    include_str!("look.js"),
);

/// The page runs and loads what comes from here alone, sends nothing elsewhere, and no other page may frame it, read it
/// or hold on to its window.
const HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
];

/// Adds the page's routes.
pub(super) fn routes<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router
        .route("/", get(async || file("text/html; charset=utf-8", PAGE)))
        .route("/page.css", get(async || file("text/css; charset=utf-8", STYLE)))
        .route("/page.js", get(async || file("text/javascript; charset=utf-8", SCRIPT)))
}

fn file(kind: &'static str, text: &'static str) -> Response {
    (AppendHeaders(HEADERS), [(header::CONTENT_TYPE, kind)], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_page_is_smaller_than_60_kb() {
        let bytes = PAGE.len() + STYLE.len() + SCRIPT.len();
        assert!(bytes < 60_000, "{bytes} bytes");
    }

    #[test]
    fn what_was_told_is_never_written_as_markup() {
        for way in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "cookie", "localStorage"]
        {
            assert!(!SCRIPT.contains(way), "{way}");
        }
        for inline in ["<style", "style=", "onclick", "onload", "javascript:"] {
            assert!(!PAGE.contains(inline), "{inline}");
        }
    }
}
