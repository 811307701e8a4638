use super::{
    state::State,
    tally::{Rates, Tally},
    view,
};
use crate::{
    failed::NoAnswer,
    terminal::{
        Key, paint,
        screen::{self, Model, Step},
    },
};
use meshcache_admin::{ConfigState, Coordinator, CoordinatorState, GroupState, Latency, Mesh, OriginState, Saved};
use std::{collections::BTreeMap, time::Duration};

fn counts(all: &[(&str, u64)]) -> BTreeMap<String, u64> {
    all.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

/// A coordinator that has taken so many requests, nine of ten from its store.
fn coordinator(name: &str, up_seconds: u64, requests: u64) -> Coordinator {
    let (hits, misses) = (requests / 10 * 9, requests / 10);
    let group = |name: &str, requests, hits, misses| GroupState {
        name: name.to_owned(),
        saved: Saved { requests, saved: hits as i64, herds: 2, herd_loads: 19 },
        outcomes: counts(&[("hit", hits), ("miss", misses)]),
        entries: 100,
        bytes: 1 << 20,
        loading: 1,
        hits: Latency { count: hits, p50: 0.25, p99: 1.0 },
        misses: Latency { count: misses, p50: 10.0, p99: 80.0 },
        ..GroupState::default()
    };
    let origin = OriginState {
        origin: "http://config.test".to_owned(),
        groups: vec!["config".to_owned()],
        requests: misses,
        failures: counts(&[("timeout", 3)]),
        ..OriginState::default()
    };
    let state = CoordinatorState {
        version: "0.1.0".to_owned(),
        up_seconds,
        has_lease: true,
        config: ConfigState { digest: "8f3a5b6c7d8e9f00".to_owned(), ..ConfigState::default() },
        store_bytes: 4 << 20,
        memory_bytes: 50 << 20,
        groups: vec![group("config", requests, hits, misses), group("other", 0, 0, 0)],
        origins: vec![origin],
        proxy_count: 2,
        ..CoordinatorState::default()
    };
    Coordinator { name: name.to_owned(), state: Some(state), ..Coordinator::default() }
}

fn mesh(coordinators: Vec<Coordinator>) -> Mesh {
    let groups = coordinators.iter().flat_map(|one| &one.state).flat_map(|state| &state.groups);
    let saved = groups.map(|group| group.saved).sum();
    Mesh { coordinators, saved, ..Mesh::default() }
}

fn gone(name: &str) -> Coordinator {
    Coordinator { name: name.to_owned(), unreached: Some("timeout".to_owned()), ..Coordinator::default() }
}

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn state() -> State {
    let mut state = State::of(None);
    state.take(Ok(mesh(vec![coordinator("meshcache-0", 60, 1000), coordinator("meshcache-1", 60, 500)])), at(0));
    state.take(Ok(mesh(vec![coordinator("meshcache-0", 62, 3000), coordinator("meshcache-1", 62, 1500)])), at(2));
    state
}

fn seen(state: &State, width: u16, height: u16) -> Vec<String> {
    screen::seen(state, view::screen, width, height)
}

#[test]
fn one_screen_has_the_rates_of_the_whole_mesh() {
    let lines = seen(&state(), 80, 24);
    let expected = [
        "meshcache stat  2 coordinators, 4 proxies",
        "saved 90.0 % of 4,500 requests (8 herds saved 76 loads)",
        "PER SECOND                   NOW        10 S       1 MIN       TOTAL",
        "requests                   1,500       1,500       1,500       4,500",
        "  saved                   90.0 %      90.0 %      90.0 %      90.0 %",
        "  hot                        0.0         0.0         0.0           0",
        "  hit                      1,350       1,350       1,350       4,050",
        "  miss                       150         150         150         450",
        "  pass                       0.0         0.0         0.0           0",
        "loads                        150         150         150         450",
        "  failed                     0.0         0.0         0.0           6",
        "herds                        0.0         0.0         0.0           8",
        "evictions                    0.0         0.0         0.0           0",
        "",
        "hit   p50 ≤ 0.25 ms  p99 ≤ 1.00 ms      miss  p50 ≤ 10.0 ms  p99 ≤ 80.0 ms",
        "store ██████░░░░░░ 4.0 MiB of 8.0 MiB, 400 stored, memory 100.0 MiB, loading 4",
        "",
        "COORDINATOR            VERSION   UP       LEASE   GROUPS    STORE",
        "meshcache-0            0.1.0     1m2s     yes     8f3a5b6c  2.0 MiB of 4.0 MiB",
    ];
    for (line, expected) in lines.iter().zip(expected) {
        assert_eq!(line, expected, "{lines:#?}");
    }
    assert!(lines[23].starts_with("q quit"), "{lines:#?}");
}

#[test]
fn a_coordinator_that_starts_anew_or_is_away_for_a_while_makes_no_wrong_rate() {
    let mut tally = Tally::default();
    let mut take = |mesh: Vec<Coordinator>, seconds| {
        tally.take(&self::mesh(mesh), None, at(seconds));
        tally.rates("requests")
    };
    let away = || gone("b");
    assert_eq!(take(vec![coordinator("a", 60, 1000), coordinator("b", 60, 1000)], 0), Rates::default());
    assert_eq!(take(vec![coordinator("a", 61, 1010), away()], 1).now, Some(10.0));
    assert_eq!(take(vec![coordinator("a", 62, 1020), coordinator("b", 62, 1040)], 2).now, Some(50.0), "caught up");
    assert_eq!(take(vec![coordinator("a", 0, 30), coordinator("b", 63, 1040)], 3).now, Some(30.0), "a began at 0");
    let new = take(vec![coordinator("a", 1, 30), coordinator("b", 64, 1040), coordinator("c", 900, 99_000)], 4);
    assert_eq!((new.now, new.ten_seconds), (Some(0.0), Some(90.0 / 4.0)), "the past of one that came is no rate");
}

#[test]
fn averages_are_of_ten_seconds_and_of_a_minute() {
    let mut tally = Tally::default();
    for second in 0..=100_u64 {
        // 10 a second, and 110 in each of the last five.
        let requests = second * 10 + 100 * second.saturating_sub(95);
        tally.take(&mesh(vec![coordinator("a", second, requests)]), None, at(second));
    }
    let rates = tally.rates("requests");
    assert_eq!((rates.now, rates.ten_seconds), (Some(110.0), Some(60.0)));
    assert_eq!(rates.minute.map(f64::round), Some(18.0));
}

#[test]
fn what_is_wrong_with_a_coordinator_is_seen() {
    let mut away = coordinator("meshcache-2", 60, 10);
    let told = away.state.as_mut().unwrap();
    (told.has_lease, told.not_ready) = (false, Some("no ring yet".to_owned()));
    told.config.digest = "00000000ffff".to_owned();
    told.config.refused = Some("groups.yaml: line 3: ttl".to_owned());
    let mut state = State::of(None);
    let all = vec![coordinator("meshcache-0", 60, 10), coordinator("meshcache-1", 60, 10), away, gone("meshcache-3")];
    state.take(Ok(mesh(all)), at(0));
    let lines = seen(&state, 80, 30);
    assert!(
        lines.contains(&"meshcache-2            0.1.0     1m       none    00000000  2.0 MiB of 4.0 MiB".to_owned()),
        "{lines:#?}"
    );
    assert!(lines.contains(&"  not ready: no ring yet".to_owned()), "{lines:#?}");
    assert!(lines.contains(&"  newer groups refused: groups.yaml: line 3: ttl".to_owned()), "{lines:#?}");
    assert!(lines.contains(&"meshcache-3            no answer: timeout".to_owned()), "{lines:#?}");
    let painted = paint::text(&view::screen(&state, 80, 30), true);
    assert!(painted.contains("\u{1b}[31m 00000000"), "the digest that differs is red: {painted}");
}

#[test]
fn without_an_answer_the_last_figures_stay_and_are_pale() {
    let mut state = state();
    state.take(Err(NoAnswer::new("localhost:1: refused")), at(3));
    let lines = seen(&state, 80, 24);
    assert_eq!(lines[2], "no answer: localhost:1: refused");
    assert!(lines[4].starts_with("requests"), "{lines:#?}");
    assert!(paint::text(&view::screen(&state, 80, 24), true).contains("\u{1b}[2m  hot"));
}

#[test]
fn one_group_has_figures_of_its_own_and_a_group_that_is_not_there_is_told() {
    let all = || mesh(vec![coordinator("a", 60, 1000)]);
    let mut other = State::of(Some("other".to_owned()));
    other.take(Ok(all()), at(0));
    assert_eq!(other.figures.as_ref().map(|figures| figures.saved.requests), Some(0));
    assert!(seen(&other, 80, 24)[0].ends_with("group other"));
    assert_eq!(other.lacks(&all()), None);
    assert_eq!(State::of(Some("nope".to_owned())).lacks(&all()), Some("nope".to_owned()));
}

#[test]
fn keys_pause_scroll_and_quit_and_every_size_is_drawn() {
    let mut state = state();
    assert_eq!((state.press(Key::Char(' ')), state.is_paused()), (Step::Stay, true));
    state.press(Key::End);
    let lines = seen(&state, 80, 24);
    assert!(lines[18].starts_with("meshcache-1"), "{lines:#?}");
    for (width, height) in [(40, 10), (10, 4), (1, 1)] {
        assert_eq!(view::screen(&state, width, height).len(), height);
        seen(&state, width as u16, height as u16);
    }
    assert_eq!((state.press(Key::Char('q')), state.press(Key::Interrupt)), (Step::Quit, Step::Quit));
}

#[test]
fn a_pipe_gets_a_block_and_a_program_one_object() {
    let state = state();
    let figures = state.figures.as_ref().unwrap();
    let text = paint::text(&view::plain(figures), false);
    assert!(text.starts_with("saved 90.0 % of 4,500 requests") && text.contains("loading 4\n"), "{text}");
    let json = serde_json::to_value(figures).unwrap();
    assert_eq!(json["rates"]["requests"]["tenSeconds"], 1500.0);
    assert_eq!(json["saved"]["requests"], 4500);
    assert_eq!(json["sentence"], "saved 90.0 % of 4,500 requests (8 herds saved 76 loads)");
}

#[test]
fn whatever_servers_say_is_bounded_and_moves_no_cursor() {
    let wild = "\u{1b}[2J".repeat(100);
    let mut one = coordinator(&wild, 1, u64::MAX);
    let told = one.state.as_mut().unwrap();
    told.groups[0].outcomes = (0..80).map(|n| (format!("{wild}{n}"), u64::MAX)).collect();
    told.groups.resize(3, told.groups[0].clone());
    let mut state = State::of(None);
    for second in 0..3 {
        state.take(Ok(Mesh { coordinators: vec![one.clone(); 210], ..Mesh::default() }), at(second));
    }
    let figures = state.figures.as_ref().unwrap();
    assert!(figures.counts.len() <= 64 && figures.coordinators.len() <= 200);
    assert!(figures.counts.keys().all(|name| name.len() < 400), "{:?}", figures.counts.keys());
    assert!(!paint::text(&view::plain(figures), false).contains('\u{1b}'));
}
