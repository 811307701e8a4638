//! The part of a stored response that answers a request: preconditions and ranges (RFC 9110 sections 13 and 14).

use super::{
    date, range,
    range::{ContentRange, Part},
    validator,
    validator::Tag,
};
use crate::request::{Flags, Request, Response, list::entity_tags};

/// Returns the part of a stored response with a body of `length` bytes that answers a GET or HEAD.
pub fn part(request: &Request<'_>, stored: &Response<'_>, length: u64) -> Part {
    if request.flags.any(Flags::CONDITIONAL) {
        if request.value("if-match").is_some() || request.value("if-unmodified-since").is_some() {
            return Part::Origin;
        }
        // Conditions are ignored where the answer without them would be no success (section 13.2.1).
        if (200..300).contains(&stored.status) && is_not_modified(request, stored) {
            return Part::NotModified;
        }
    }
    if stored.status == 206 {
        return part_of_part(request, stored);
    }
    // Range counts only for a stored 200 to a GET (section 14.2).
    if !request.flags.any(Flags::RANGE) || !request.is_get() || stored.status != 200 || !if_range(request, stored) {
        return Part::Whole;
    }
    let mut ranges = request.values("range");
    match (ranges.next(), ranges.next()) {
        (Some(one), None) => range::select(one, length),
        _ => Part::Whole,
    }
}

/// Whether a stored response includes what a request is for. A 206 includes only ranges within its own (RFC 9111
/// section 3.4).
pub fn covers(request: &Request<'_>, stored: &Response<'_>) -> bool {
    stored.status != 206 || part_of_part(request, stored) != Part::Origin
}

/// Returns the part of a stored 206 that answers a request: a GET for one range within it, without If-Range, whose
/// response may be the whole.
fn part_of_part(request: &Request<'_>, stored: &Response<'_>) -> Part {
    let mut ranges = request.values("range");
    let (Some(extent), Some(one), None) = (ContentRange::of(stored), ranges.next(), ranges.next()) else {
        return Part::Origin;
    };
    if !request.is_get() || request.value("if-range").is_some() {
        return Part::Origin;
    }
    match range::select(one, extent.length) {
        Part::Range(first, last) if extent.has(first, last) => Part::Range(first, last),
        _ => Part::Origin,
    }
}

/// Whether the client has the stored response: by If-None-Match, or by If-Modified-Since where there is none.
fn is_not_modified(request: &Request<'_>, stored: &Response<'_>) -> bool {
    if request.value("if-none-match").is_some() {
        let tag = validator::tag(stored);
        return request
            .values("if-none-match")
            .flat_map(entity_tags)
            .any(|one| one == b"*" || Tag::read(one).zip(tag).is_some_and(|(asked, has)| asked.matches(has)));
    }
    let near = validator::near(stored);
    let mut since = request.values("if-modified-since");
    let (Some(one), None) = (since.next(), since.next()) else { return false };
    let Some(since) = date::parse(one, near) else { return false };
    // Without Last-Modified the stored Date counts (RFC 9111 section 4.3.2).
    let modified = if stored.value("last-modified").is_some() {
        validator::modified(stored, near)
    } else {
        validator::dated(stored)
    };
    modified.is_some_and(|modified| modified <= since)
}

/// Whether Range counts: there is no If-Range, or it is a strong validator of the stored response (section 13.1.5).
fn if_range(request: &Request<'_>, stored: &Response<'_>) -> bool {
    let mut conditions = request.values("if-range");
    let Some(condition) = conditions.next() else { return true };
    let near = validator::near(stored);
    if conditions.next().is_some() {
        return false;
    }
    if date::parse(condition, near).is_some() {
        // A date is strong where the response was made at least a second after it (section 8.8.2.2).
        let strong = validator::modified(stored, near)
            .zip(validator::dated(stored))
            .is_some_and(|(modified, dated)| modified < dated);
        return strong && stored.value("last-modified") == Some(condition);
    }
    Tag::read(condition).zip(validator::tag(stored)).is_some_and(|(asked, has)| asked.matches_strongly(has))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Field;

    const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const STORED: [(&str, &str); 3] =
        [("etag", "\"a\""), ("last-modified", MODIFIED), ("date", "Sun, 06 Nov 1994 09:00:00 GMT")];

    fn bytes<'a>(fields: &[(&'a str, &'a str)]) -> Vec<Field<'a>> {
        fields.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect()
    }

    fn ask(method: &str, asked: &[(&str, &str)], status: u16, stored: &[(&str, &str)]) -> Part {
        let (asked, stored) = (bytes(asked), bytes(stored));
        part(
            &Request::read(method.as_bytes(), b"http", b"h", b"/", &asked).unwrap(),
            &Response { status, fields: &stored },
            10,
        )
    }

    fn get(asked: &[(&str, &str)]) -> Part {
        ask("GET", asked, 200, &STORED)
    }

    #[test]
    fn a_stored_part_answers_what_lies_within_it() {
        let stored = [("content-range", "bytes 10-19/100"), ("etag", "\"a\"")];
        let get = |asked: &[(&str, &str)]| ask("GET", asked, 206, &stored);
        for (range, part) in [("bytes=10-19", (10, 19)), ("bytes=12-12", (12, 12)), ("bytes=15-19", (15, 19))] {
            assert_eq!(get(&[("range", range)]), Part::Range(part.0, part.1), "{range}");
        }
        for range in [
            "bytes=9-12",
            "bytes=15-20",
            "bytes=10-",
            "bytes=-5",
            "bytes=10-11,99-99",
            "bytes=100-",
            "bytes=x",
            "lines=10-11",
        ] {
            assert_eq!(get(&[("range", range)]), Part::Origin, "{range}");
        }
        assert_eq!(get(&[]), Part::Origin);
        assert_eq!(get(&[("range", "bytes=10-19"), ("if-range", "\"a\"")]), Part::Origin);
        assert_eq!(ask("HEAD", &[("range", "bytes=10-19")], 206, &stored), Part::Origin);
        assert_eq!(get(&[("range", "bytes=10-19"), ("if-none-match", "\"a\"")]), Part::NotModified);
        let end = [("content-range", "bytes 90-99/100")];
        assert_eq!(ask("GET", &[("range", "bytes=-5")], 206, &end), Part::Range(95, 99));
        assert_eq!(ask("GET", &[("range", "bytes=92-")], 206, &end), Part::Range(92, 99));
    }

    #[test]
    fn a_request_without_conditions_gets_all_of_it() {
        assert_eq!(get(&[]), Part::Whole);
        assert_eq!(get(&[("accept", "x")]), Part::Whole);
    }

    #[test]
    fn if_none_match_is_compared_weakly_with_each_tag_of_the_list() {
        for text in ["\"a\"", "W/\"a\"", "\"x\", \"a\"", "\"x, y\" , W/\"a\"", "*", "a"] {
            assert_eq!(get(&[("if-none-match", text)]), Part::NotModified, "{text}");
        }
        for text in ["\"b\"", "", "\"A\"", "\"a", "\"a\"x"] {
            assert_eq!(get(&[("if-none-match", text)]), Part::Whole, "{text}");
        }
        assert_eq!(get(&[("if-none-match", "\"x\""), ("if-none-match", "\"a\"")]), Part::NotModified);
        assert_eq!(ask("HEAD", &[("if-none-match", "\"a\"")], 200, &STORED), Part::NotModified);
        assert_eq!(ask("GET", &[("if-none-match", "\"a\"")], 200, &[("etag", "W/\"a\"")]), Part::NotModified);
    }

    #[test]
    fn if_modified_since_is_read_in_all_formats_and_compared_with_last_modified() {
        for text in
            [MODIFIED, "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "Sun, 06 Nov 1994 08:49:38 GMT"]
        {
            assert_eq!(get(&[("if-modified-since", text)]), Part::NotModified, "{text}");
        }
        for text in [
            "Sun, 06 Nov 1994 08:49:36 GMT",
            "0",
            "",
            "now",
            "Sun, 06 Nov 1994 08:49:38 GMT, Sun, 06 Nov 1994 08:49:38 GMT",
        ] {
            assert_eq!(get(&[("if-modified-since", text)]), Part::Whole, "{text}");
        }
        assert_eq!(get(&[("if-modified-since", MODIFIED), ("if-modified-since", MODIFIED)]), Part::Whole);
    }

    #[test]
    fn if_modified_since_is_compared_with_date_where_there_is_no_last_modified() {
        let stored = [("date", MODIFIED)];
        assert_eq!(ask("GET", &[("if-modified-since", MODIFIED)], 200, &stored), Part::NotModified);
        assert_eq!(ask("GET", &[("if-modified-since", "Sun, 06 Nov 1994 08:49:36 GMT")], 200, &stored), Part::Whole);
        assert_eq!(
            ask("GET", &[("if-modified-since", MODIFIED)], 200, &[("date", MODIFIED), ("last-modified", "?")]),
            Part::Whole
        );
    }

    #[test]
    fn if_none_match_wins_over_if_modified_since() {
        assert_eq!(get(&[("if-modified-since", MODIFIED), ("if-none-match", "\"b\"")]), Part::Whole);
        assert_eq!(
            ask(
                "GET",
                &[("if-modified-since", MODIFIED), ("if-none-match", "\"b\"")],
                200,
                &[("last-modified", MODIFIED)]
            ),
            Part::Whole
        );
    }

    #[test]
    fn conditions_count_only_for_a_stored_success() {
        for status in [404, 301, 500] {
            assert_eq!(ask("GET", &[("if-none-match", "*")], status, &STORED), Part::Whole, "{status}");
        }
    }

    #[test]
    fn if_match_and_if_unmodified_since_are_for_the_origin() {
        assert_eq!(get(&[("if-match", "\"a\"")]), Part::Origin);
        assert_eq!(get(&[("if-unmodified-since", MODIFIED), ("if-none-match", "\"a\"")]), Part::Origin);
    }

    #[test]
    fn a_range_is_cut_from_a_stored_200_for_a_get_alone() {
        assert_eq!(get(&[("range", "bytes=2-3")]), Part::Range(2, 3));
        assert_eq!(ask("HEAD", &[("range", "bytes=2-3")], 200, &STORED), Part::Whole);
        assert_eq!(ask("GET", &[("range", "bytes=2-3")], 404, &STORED), Part::Whole);
        assert_eq!(get(&[("range", "bytes=2-3"), ("range", "bytes=4-5")]), Part::Whole);
        assert_eq!(get(&[("range", "bytes=10-")]), Part::Unsatisfiable);
    }

    #[test]
    fn conditions_come_before_ranges() {
        assert_eq!(get(&[("range", "bytes=2-3"), ("if-none-match", "\"a\"")]), Part::NotModified);
        assert_eq!(get(&[("range", "bytes=2-3"), ("if-none-match", "\"b\"")]), Part::Range(2, 3));
    }

    #[test]
    fn if_range_compares_strongly() {
        let with = |text: &str| get(&[("range", "bytes=2-3"), ("if-range", text)]);
        assert_eq!(with("\"a\""), Part::Range(2, 3));
        assert_eq!(with(MODIFIED), Part::Range(2, 3));
        for text in ["\"b\"", "W/\"a\"", "*", "", "Sun, 06 Nov 1994 08:49:38 GMT", "Sunday, 06-Nov-94 08:49:37 GMT"] {
            assert_eq!(with(text), Part::Whole, "{text}");
        }
        assert_eq!(
            ask("GET", &[("range", "bytes=2-3"), ("if-range", "W/\"a\"")], 200, &[("etag", "W/\"a\"")]),
            Part::Whole
        );
        assert_eq!(
            ask(
                "GET",
                &[("range", "bytes=2-3"), ("if-range", MODIFIED)],
                200,
                &[("last-modified", MODIFIED), ("date", MODIFIED)]
            ),
            Part::Whole
        );
        assert_eq!(get(&[("if-range", "\"b\"")]), Part::Whole);
    }
}
