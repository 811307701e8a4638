//! Positions, logs and purges of later versions.

use super::*;

#[test]
fn a_purge_that_is_not_understood_is_one_of_everything() {
    let read = |json: &str| serde_json::from_str::<Purge>(json).unwrap();
    let known = read(r#"{"source": "a.1", "n": 7, "what": {"group": "g", "paths": ["/x"]}}"#);
    assert_eq!((known.n, known.scope.all, known.scope.paths.len()), (7, false, 1));
    for later in [
        r#"{"source": "a.1", "n": 7, "what": {"group": "g", "regexes": ["x"]}}"#,
        r#"{"source": "a.1", "n": 7, "what": {"group": "g"}, "except": ["/x"]}"#,
        r#"{"source": "a.1", "n": 7, "what": ["g"]}"#,
    ] {
        assert_eq!(
            read(later),
            Purge { source: "a.1".into(), n: 7, scope: Scope { all: true, ..Scope::default() }, soft: false },
            "{later}"
        );
    }
}

/// What a purge removes, as versions without `regex` and `hosts` read it.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(dead_code)]
struct OldScope {
    urls: Vec<String>,
    group: Option<String>,
    paths: Vec<String>,
    prefixes: Vec<String>,
    tags: Vec<String>,
    all: bool,
}

#[test]
fn older_readers_are_told_a_purge_by_regex_or_host_as_its_group_or_as_everything() {
    for (scope, told) in [
        (r#"{"group":"g","tags":["t"]}"#, r#"{"group":"g","tags":["t"]}"#),
        (r#"{"urls":["http://h/a"]}"#, r#"{"urls":["http://h/a"]}"#),
        (r#"{"group":"g","regex":["/a"]}"#, r#"{"group":"g"}"#),
        (r#"{"group":"g","hosts":["h"],"paths":["/a"]}"#, r#"{"group":"g"}"#),
        (r#"{"hosts":["*"],"tags":["t"]}"#, r#"{"all":true}"#),
    ] {
        let purge = Purge { scope: serde_json::from_str(scope).unwrap(), ..Purge::default() };
        let [exact, wider] =
            [true, false].map(|exact| serde_json::to_string(&purge.clone().told(exact).scope).unwrap());
        assert_eq!((&*exact, &*wider), (scope, told));
        assert!(serde_json::from_str::<OldScope>(&wider).is_ok());
        // One that hears of it otherwise reads a purge of everything.
        assert_eq!(serde_json::from_str::<OldScope>(&exact).is_ok(), scope == told);
    }
}

const BOUNDS: Bounds = Bounds { purges: 3, bytes: 1 << 20 };

fn purge(source: &str, n: u64) -> Purge {
    Purge { source: source.into(), n, ..Purge::default() }
}

fn at(text: &str) -> Position {
    Position::parse(text).unwrap()
}

fn since(log: &Log, there: &str) -> Result<String, Truncated> {
    log.since(&at(there)).map(|purges| purges.map(Purge::id).collect::<Vec<_>>().join(" "))
}

#[test]
fn a_position_is_read_as_it_was_written() {
    for text in ["", "a.1:1", "a-b_c.0f:17,b.2:3"] {
        assert_eq!(at(text).to_string(), text);
    }
    for bad in ["a", "a:", ":1", "a:0", "a:-1", "a:x", "a b:1", "a:1;b:1", "a:99999999999999999999"] {
        assert_eq!(Position::parse(bad), None, "{bad}");
    }
    assert_eq!(source("cache 0,\u{e9}", 255), "cache_0__.00000000000000ff");
    assert!(Position::parse(&format!("{}:1", source(&"x".repeat(999), u64::MAX))).is_some());
}

#[test]
fn positions_of_several_sources_are_held_against_each_other() {
    assert!(at("a:2,b:1").covers(&at("a:2")) && at("a:2").covers(&at("")));
    assert!(!at("a:2").covers(&at("a:1,b:1")) && !at("b:9").covers(&at("a:1")));
    let mut both = at("a:2,b:1");
    both.merge(&at("a:1,b:4,c:1"));
    assert_eq!(both, at("a:2,b:4,c:1"));
}

#[test]
fn a_purge_is_appended_once_and_in_the_order_of_its_source() {
    let mut log = Log::new(BOUNDS);
    assert_eq!(
        ["a", "b", "a"].map(|source| log.append(purge(source, 1))),
        [Append::Appended, Append::Appended, Append::Duplicate]
    );
    assert_eq!(
        [log.append(purge("a", 3)), log.append(purge("a", 2)), log.append(purge("a", 0))],
        [Append::Gap, Append::Appended, Append::Duplicate]
    );
    assert_eq!(log.position(), &at("a:2,b:1"));
    assert_eq!(log.newest(1), at("a:2"), "the last one");
}

#[test]
fn a_position_behind_gets_what_it_lacks_and_one_too_far_behind_an_error() {
    let mut log = Log::new(BOUNDS);
    for (source, n) in [("a", 1), ("b", 1), ("a", 2), ("c", 1)] {
        log.append(purge(source, n));
    }
    assert_eq!(log.len(), 3);
    assert_eq!(since(&log, "a:2,b:1,c:1"), Ok(String::new()));
    assert_eq!(since(&log, "a:2,b:1"), Ok("c:1".into()));
    assert_eq!(since(&log, "a:1"), Ok("b:1 a:2 c:1".into()));
    assert_eq!(since(&log, "a:7,b:1,x:5"), Ok("c:1".into()), "more of one source, and still less of another");
    assert_eq!(since(&log, ""), Err(Truncated));
    let mut late = Log::new(BOUNDS);
    late.skip_to(log.position());
    assert_eq!((since(&log, &late.position().to_string()), since(&late, "a:1")), (Ok(String::new()), Err(Truncated)));
    assert_eq!(late.append(purge("a", 3)), Append::Appended);
}

#[test]
fn the_log_is_bounded_in_bytes_and_sources() {
    let mut log = Log::new(Bounds { purges: 100, bytes: 2000 });
    for n in 1..=10 {
        log.append(Purge { scope: Scope { urls: vec!["u".repeat(500)], ..Scope::default() }, ..purge("a", n) });
    }
    assert_eq!(log.len(), 2);
    for i in 0..2 * MAX_SOURCES {
        log.append(purge(&format!("s{i}"), 1));
    }
    assert_eq!(log.position().0.len(), MAX_SOURCES);
    assert_eq!((log.position().of("s0"), log.position().of(&format!("s{}", 2 * MAX_SOURCES - 1))), (0, 1));
}
