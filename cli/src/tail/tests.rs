use super::line;
use crate::terminal::paint;
use meshcache_admin::EndedRequest;
use std::time::Duration;

/// 09:05:07 of some day.
const NOW: Duration = Duration::from_secs(20_000 * 86_400 + 9 * 3600 + 5 * 60 + 7);

fn ended() -> EndedRequest {
    EndedRequest {
        at: "meshcache-0".to_owned(),
        ago: 1000,
        by: "client".to_owned(),
        method: "GET".to_owned(),
        host: "config.test".to_owned(),
        path: "/develop".to_owned(),
        status: Some(200),
        bytes: 1234,
        group: Some("config".to_owned()),
        outcome: Some("hit".to_owned()),
        took: 0.31,
        ..EndedRequest::default()
    }
}

fn passed() -> EndedRequest {
    let (outcome, reason) = (Some("pass".to_owned()), Some("private".to_owned()));
    EndedRequest { outcome, reason, status: Some(503), took: 1234.0, left_out: 1204, ..ended() }
}

fn text(ended: &EndedRequest, columns: Option<usize>, has_colours: bool) -> String {
    paint::text(&line::lines(ended, NOW, columns), has_colours)
}

#[test]
fn lines_stand_in_columns() {
    assert_eq!(
        text(&ended(), None, false) + &text(&passed(), None, false),
        "\
09:05:06 200  hit   -               0.31 ms   1.2 KiB client config         GET config.test/develop
… 1,204 left out
09:05:06 503  pass  private           1.2 s   1.2 KiB client config         GET config.test/develop
"
    );
}

#[test]
fn a_client_that_left_and_a_request_of_no_group_are_told_as_they_are() {
    let left = EndedRequest { status: None, group: None, outcome: None, ..ended() };
    assert!(text(&left, None, false).starts_with("09:05:06 gone -     -  "), "{}", text(&left, None, false));
}

#[test]
fn outcomes_are_coloured_in_a_terminal_alone() {
    assert!(text(&ended(), None, true).contains("\u{1b}[32mhit"));
    assert!(text(&passed(), None, true).contains("\u{1b}[31mpass"));
    assert!(!text(&passed(), None, false).contains('\u{1b}'));
}

#[test]
fn a_line_fits_the_terminal_and_a_pipe_gets_all_of_it() {
    let long = EndedRequest { path: format!("/{}", "a".repeat(300)), ..ended() };
    let cut = text(&long, Some(120), false);
    assert!(cut.trim_end().chars().count() == 120 && cut.ends_with("…\n"), "{cut}");
    assert!(text(&long, None, false).ends_with("aaa\n"));
    assert!(text(&long, Some(60), false).ends_with("aaa\n"), "a narrow terminal breaks the line");
}

#[test]
fn whatever_a_client_wrote_moves_no_cursor() {
    let wild = EndedRequest {
        path: "/\u{1b}[2J\n\u{9b}\u{202e}".to_owned(),
        by: "\u{7f}".to_owned(),
        took: f64::NAN,
        ..ended()
    };
    let line = text(&wild, None, true);
    assert!(line.contains(r"/\u{1b}[2J\u{a}\u{9b}\u{202e}") && line.lines().count() == 1, "{line:?}");
    let json = line::json(&EndedRequest { took: 1.0, ..wild.clone() }).unwrap();
    assert!(json.ends_with("}\n") && !json.trim_end().contains(char::is_control), "{json:?}");
    assert_eq!(serde_json::from_str::<EndedRequest>(&json).unwrap().path, wild.path, "and is the same for programs");
}
