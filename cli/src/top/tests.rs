use super::{
    state::{Answer, State},
    view,
};
use crate::{
    failed::NoAnswer,
    terminal::{
        Key, paint,
        screen::{self, Model, Step},
    },
};
use meshcache_admin::{Saved, Top, TopBy, TopRow};
use std::time::Duration;

fn row(name: &str, rate: f64, hits: f64, took: f64) -> TopRow {
    let group = Some("config".to_owned());
    TopRow { name: name.to_owned(), group, rate, hits, took, bytes: rate * 2048.0, ..TopRow::default() }
}

fn rows() -> Vec<TopRow> {
    vec![
        row("config.test/hot", 1204.0, 0.998, 0.31),
        TopRow { told: true, ..row("config.test/warm", 12.5, 0.5, 14.0) },
        TopRow { rate_error: 2.0, ..row("shop.test/cart", 3.0, 0.0, 250.0) },
    ]
}

fn answer(rows: Vec<TopRow>, requests: u64, saved: i64) -> Answer {
    let top = Top { seconds: 10.0, rows, unreached: Vec::new() };
    let saved = Saved { requests, saved, herds: 2, herd_loads: 19 };
    Answer { by: TopBy::Keys, top: Ok(top), saved: Some(saved) }
}

fn state() -> State {
    let mut state = State::of(TopBy::Keys);
    state.take(answer(rows(), 1000, 900), Duration::from_secs(1));
    state.take(answer(rows(), 3000, 2800), Duration::from_secs(3));
    state
}

fn press(state: &mut State, keys: &str) -> Step {
    keys.chars().fold(Step::Stay, |_, key| state.press(Key::Char(key)))
}

/// The names of the rows, from the top.
fn names(state: &State) -> Vec<String> {
    let lines = seen(state, 100, 24);
    lines
        .iter()
        .filter(|line| line.contains(".test/"))
        .filter_map(|line| line.split(' ').next_back())
        .map(str::to_owned)
        .collect()
}

fn seen(state: &State, width: u16, height: u16) -> Vec<String> {
    screen::seen(state, view::screen, width, height)
}

#[test]
fn a_screen_has_what_was_saved_the_rates_and_a_row_for_each_key() {
    let lines = seen(&state(), 80, 24);
    assert_eq!(lines.len(), 24);
    assert!(lines[0].starts_with("meshcache top") && lines[0].contains("2 groups"), "{lines:#?}");
    assert!(lines[1].contains("93.3 %") && lines[1].contains("3,000 requests"), "{lines:#?}");
    assert_eq!(lines[2], "1,000 requests/s, 95.0 % of them saved");
    assert_eq!(lines[4], "     REQ/S     HIT      MEAN    BYTES/S  KEY");
    assert_eq!(lines[5], "     1,204  99.8 %   0.31 ms    2.4 MiB  config.test/hot");
    assert_eq!(lines[6], "~     12.5  50.0 %   14.0 ms   25.0 KiB  config.test/warm", "what proxies told is marked");
    assert_eq!(lines[7], "      ≤3.0   0.0 %    250 ms    6.0 KiB  shop.test/cart", "the sketch is honest");
    assert!(lines[23].starts_with("q quit") && lines[23].ends_with("~ told by proxies"), "{lines:#?}");
}

#[test]
fn keys_sort_turn_around_and_filter() {
    let mut state = state();
    press(&mut state, "t");
    assert_eq!(names(&state), ["shop.test/cart", "config.test/warm", "config.test/hot"]);
    press(&mut state, "t");
    assert_eq!(names(&state), ["config.test/hot", "config.test/warm", "shop.test/cart"]);
    press(&mut state, "/WArq");
    assert_eq!(names(&state), Vec::<String>::new(), "`q` was typed, nobody quit");
    assert!(seen(&state, 80, 24).iter().any(|line| line == " none of 3 rows has `WArq`"));
    state.press(Key::Backspace);
    state.press(Key::Enter);
    assert_eq!(names(&state), ["config.test/warm"]);
    state.press(Key::Escape);
    assert_eq!(names(&state).len(), 3);
}

#[test]
fn another_view_is_asked_for_at_once_and_an_answer_for_the_old_one_is_not_shown() {
    let mut state = state();
    assert_eq!(state.press(Key::Tab), Step::Ask);
    state.take(answer(rows(), 3000, 2800), Duration::from_secs(4));
    assert!(seen(&state, 80, 24).iter().any(|line| line == " asking…"));
    let groups = Answer { by: TopBy::Groups, ..answer(vec![row("config", 3.0, 1.0, 1.0)], 3000, 2800) };
    state.take(groups, Duration::from_secs(5));
    assert!(seen(&state, 80, 24)[4].ends_with("GROUP"));
    assert_eq!((state.press(Key::BackTab), state.by), (Step::Ask, TopBy::Keys));
    assert_eq!((press(&mut state, "4"), state.by), (Step::Ask, TopBy::Origins));
}

#[test]
fn space_pauses_question_mark_helps_and_q_quits() {
    let mut state = state();
    press(&mut state, " ");
    assert!(state.is_paused() && seen(&state, 80, 24)[0].ends_with("paused"));
    press(&mut state, " ?");
    assert!(!state.is_paused() && seen(&state, 80, 24).iter().any(|line| line.contains("sort by rate, hits, time")));
    press(&mut state, "x");
    assert_eq!(names(&state).len(), 3);
    assert_eq!((press(&mut state, "q"), state.press(Key::Interrupt)), (Step::Quit, Step::Quit));
}

#[test]
fn who_gives_no_answer_is_named_and_the_last_figures_stay() {
    let mut state = state();
    let mut unreached = answer(rows(), 3000, 2800);
    unreached.top.as_mut().unwrap().unreached = vec!["meshcache-2".to_owned()];
    state.take(unreached, Duration::from_secs(4));
    assert!(seen(&state, 80, 24).contains(&"without meshcache-2: no answer".to_owned()));
    let gone = Answer { by: TopBy::Keys, top: Err(NoAnswer::new("localhost:1: refused")), saved: None };
    state.take(gone, Duration::from_secs(5));
    assert!(seen(&state, 80, 24).contains(&"no answer: localhost:1: refused".to_owned()));
    assert_eq!(names(&state).len(), 3);
}

#[test]
fn a_narrow_terminal_cuts_names_and_a_low_one_scrolls() {
    let mut state = State::of(TopBy::Keys);
    let many = (0..50).map(|n| row(&format!("config.test/{n:02}/{}", "long".repeat(30)), 1.0, 1.0, 1.0)).collect();
    state.take(answer(many, 1, 1), Duration::from_secs(1));
    for (width, height) in [(80, 24), (40, 10), (10, 4), (3, 2), (1, 1)] {
        assert_eq!(seen(&state, width, height).len(), usize::from(height));
        assert_eq!(view::screen(&state, width.into(), height.into()).len(), usize::from(height));
    }
    assert!(seen(&state, 80, 24)[4].contains("config.test/00/") && seen(&state, 80, 24)[4].ends_with('…'));
    state.press(Key::PageDown);
    assert!(seen(&state, 80, 24)[4].contains("config.test/10/"));
    state.press(Key::End);
    assert!(seen(&state, 80, 24)[4].contains("config.test/49/"));
    press(&mut state, "/49");
    assert!(seen(&state, 80, 24)[4].contains("config.test/49/"), "what is left is on the screen");
}

#[test]
fn whatever_a_server_says_is_bounded_and_moves_no_cursor() {
    let mut state = State::of(TopBy::Keys);
    let wild =
        TopRow { rate: f64::NAN, took: f64::INFINITY, hits: -3.0, ..row(&"\u{1b}[2J".repeat(1000), 1.0, 1.0, 1.0) };
    state.take(answer(vec![wild; 500], 1, 1), Duration::from_secs(1));
    let kept = state.top.as_ref().unwrap();
    assert!(kept.rows.len() <= 200 && kept.rows.iter().all(|row| row.name.len() < 10_000));
    let all = paint::text(&view::plain(&state), false);
    assert!(!all.contains('\u{1b}') && all.contains("\\u{1b}[2J"), "{}", &all[..200]);
}

#[test]
fn a_pipe_gets_one_table_with_whole_names() {
    let mut state = State::of(TopBy::Keys);
    let long = format!("config.test/{}", "a".repeat(150));
    state.take(answer(vec![row(&long, 1.0, 1.0, 1.0)], 10, 9), Duration::from_secs(1));
    let text = paint::text(&view::plain(&state), false);
    assert!(text.ends_with(&format!(" config                {long}\n")), "{text}");
    assert!(text.starts_with("saved 90.0 % of 10 requests"), "{text}");
}

#[test]
fn a_coordinator_that_went_makes_no_rate_below_nothing() {
    let mut state = state();
    state.take(answer(rows(), 100, 90), Duration::from_secs(4));
    assert!(!seen(&state, 80, 24).iter().any(|line| line.contains("requests/s")));
}
