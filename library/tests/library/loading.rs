//! Getting: one call of the getter for all who wait, whatever it does.

use crate::mesh::{Counting, HOUR, MS, Mesh, text, until};
use meshcache::{Error, Getter, Node, Options, Value};
use std::time::Duration;
use tokio::task::JoinSet;

/// Asks for one key this often, in turn at each node. Opens the gate when all wait.
async fn herd(mesh: &Mesh, getter: &Counting, size: usize) -> Vec<Result<String, Error>> {
    let mut asking = JoinSet::new();
    for n in 0..size {
        let group = mesh.groups[n % mesh.groups.len()].clone();
        asking.spawn(async move { text(group.get("key").await) });
    }
    // The owner has a question of each other node, too.
    until("all wait", || mesh.waiters() >= size + mesh.nodes.len() - 1).await;
    getter.gate.add_permits(1 << 16);
    asking.join_all().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_gets_of_a_cold_key_at_three_nodes_are_one_call_of_the_getter() {
    let getter = Counting::gated();
    let mesh = Mesh::three(Options::new(), getter.clone());
    let answers = herd(&mesh, &getter, 1000).await;
    assert!(answers.iter().all(|answer| *answer == Ok("1".into())), "{answers:?}");
    assert_eq!((answers.len(), getter.calls()), (1000, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_for_all_who_wait_and_the_next_get_starts_anew() {
    let fails_first = |_: &str, n: usize| if n == 1 { Err(Error::new("no disk")) } else { Ok(Value::from("good")) };
    let getter = Counting { gate: Counting::gated().gate, ..Counting::new(fails_first) };
    let mesh = Mesh::three(Options::new(), getter.clone());
    let answers = herd(&mesh, &getter, 90).await;
    assert!(answers.iter().all(|answer| *answer == Err(Error::new("no disk"))), "{answers:?}");
    assert_eq!(getter.calls(), 1);
    assert_eq!(mesh.get("key").await, vec![Ok("good".to_owned()); 3]);
    assert_eq!(getter.calls(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_getter_does_those_who_wait_get_an_error_and_the_next_key_a_value() {
    let getter = |key: String| async move {
        match key.as_str() {
            "panic" => panic!("of {key}"),
            "hang" => std::future::pending().await,
            "huge" => Ok(Value::from(vec![0; 1 << 20])),
            "long" => Err(Error::new("x".repeat(1 << 20))),
            "nothing" => Ok(Value::from("")),
            _ => Ok(Value::from("good")),
        }
    };
    let options = Options::new().timeout(100 * MS).value_bytes(1 << 16);
    let mesh = Mesh::three(options, getter);
    for (key, expected) in [
        ("panic", Err(Error::new("the getter panicked: of panic"))),
        ("hang", Err(Error::Timeout)),
        ("huge", Err(Error::new("the value is 1048576 bytes, more than the 65536 of the group"))),
        ("long", Err(Error::new("x".repeat(1024)))),
        ("nothing", Ok(String::new())),
        ("ok", Ok("good".to_owned())),
        ("", Ok("good".to_owned())),
        ("../a b/%2F?x=1#\u{0}ü", Ok("good".to_owned())),
        (&"k".repeat(8192), Ok("good".to_owned())),
        (&"k".repeat(8193), Err(Error::Key(8192))),
    ] {
        assert_eq!(mesh.get(key).await, vec![expected; 3], "{key}");
    }
}

#[tokio::test]
async fn a_caller_who_leaves_does_not_stop_the_load() {
    let getter = Counting::gated();
    let mesh = Mesh::three(Options::new(), getter.clone());
    let group = mesh.groups[0].clone();
    let asking = tokio::spawn(async move { group.get("key").await });
    until("the getter is called", || getter.calls() == 1).await;
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    getter.gate.add_permits(100);
    assert_eq!(mesh.get("key").await, vec![Ok("1".to_owned()); 3]);
    assert_eq!(getter.calls(), 1);
}

#[tokio::test]
async fn that_there_is_no_value_is_remembered_as_long_as_the_getter_or_the_group_says() {
    let getter = Counting::new(|key, _| {
        Err(match key {
            "for an hour" => Error::not_found_for(HOUR),
            _ => Error::not_found(),
        })
    });
    let mesh = Mesh::three(Options::new(), getter.clone());
    let all =
        |answers: &[Result<String, Error>]| answers.iter().all(|one| one.as_ref().is_err_and(Error::is_not_found));
    for (key, calls) in [("for an hour", 1), ("not at all", 3)] {
        let before = getter.calls();
        assert!(all(&mesh.get(key).await), "{key}");
        assert_eq!(getter.calls() - before, calls, "{key}");
    }
    assert!(mesh.groups[0].peek("for an hour").await.unwrap_err().is_not_found());
    assert_eq!(mesh.groups[0].peek("not at all").await, Ok(None));
    let listed = Mesh::three(Options::new().not_found_ttl(HOUR), getter.clone());
    let before = getter.calls();
    assert!(all(&listed.get("as the group has it").await) && getter.calls() - before == 1);
}

#[tokio::test]
async fn a_stale_value_is_given_while_one_load_makes_it_anew() {
    let getter = Counting::new(|_, n| Ok(Value::from(n.to_string()).ttl(MS).stale_while_revalidate(HOUR)));
    let node = Node::builder("a").build().unwrap();
    let group = node.group("things", Options::new(), getter.clone()).unwrap();
    assert_eq!(text(group.get("key").await), Ok("1".into()));
    let mut last = 1;
    while last < 3 {
        let now: usize = text(group.get("key").await).unwrap().parse().unwrap();
        assert!((last..=getter.calls()).contains(&now), "{now} after {last}");
        last = now;
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_stale_value_is_given_when_the_getter_fails_if_the_group_allows_it() {
    let fails = |_: &str, n: usize| if n == 1 { Ok(Value::from("first").ttl(MS)) } else { Err(Error::new("down")) };
    for (window, expected) in [(HOUR, Ok("first".to_owned())), (Duration::ZERO, Err(Error::new("down")))] {
        let (getter, node) = (Counting::new(fails), Node::builder("a").build().unwrap());
        let group = node.group("things", Options::new().stale_if_error(window), getter.clone()).unwrap();
        assert_eq!(text(group.get("key").await), Ok("first".into()));
        let mut answer = Ok("first".to_owned());
        while getter.calls() < 2 {
            answer = text(group.get("key").await);
        }
        assert_eq!(answer, expected);
    }
}

#[tokio::test]
async fn a_value_without_a_time_to_live_is_for_those_who_wait() {
    let getter = Counting::new(|_, n| Ok(Value::from(n.to_string()).ttl(Duration::ZERO)));
    let node = Node::builder("a").build().unwrap();
    let group = node.group("things", Options::new(), getter).unwrap();
    for n in 1..4 {
        assert_eq!(text(group.get("key").await), Ok(n.to_string()));
    }
    assert_eq!(group.peek("key").await, Ok(None));
}

#[tokio::test]
async fn a_node_alone_needs_no_peers_and_counts_what_it_does() {
    struct Doubles;
    impl Getter for Doubles {
        async fn get(&self, key: &str) -> Result<Value, Error> {
            let number: u64 = key.parse().map_err(Error::new)?;
            Ok(Value::from((2 * number).to_string()))
        }
    }
    let node = Node::builder("alone").build().unwrap();
    let group = node.group("doubles", Options::new(), Doubles).unwrap();
    assert_eq!(text(group.get("21").await), Ok("42".into()));
    assert_eq!(text(group.get("21").await), Ok("42".into()));
    assert_eq!(group.get("x").await, Err(Error::new("invalid digit found in string")));
    let stats = group.stats();
    assert_eq!((stats.gets, stats.hits, stats.loads), (3, 1, 2));
    assert_eq!((stats.local_loads, stats.local_load_errors, stats.items), (1, 1, 1));
    assert!(stats.bytes > 0 && node.metrics().contains("groupcache_gets_total{group=\"doubles\"} 3"));
    node.shutdown().await;
}

#[tokio::test]
async fn a_group_keeps_within_its_bytes() {
    let node = Node::builder("a").build().unwrap();
    let getter = |_: String| async { Ok(Value::from(vec![0; 1000])) };
    let group = node.group("things", Options::new().bytes(64 << 10), getter).unwrap();
    for n in 0..1000 {
        group.get(&n.to_string()).await.unwrap();
    }
    let stats = group.stats();
    assert!(stats.bytes <= 64 << 10 && stats.items > 20 && stats.evictions > 900, "{stats:?}");
}

#[tokio::test]
async fn more_loads_than_the_group_may_have_are_an_error() {
    let getter = Counting::gated();
    let node = Node::builder("a").build().unwrap();
    let group = node.group("things", Options::new().max_loads(1), getter.clone()).unwrap();
    let mut asking = JoinSet::new();
    for n in 0..20 {
        let group = group.clone();
        asking.spawn(async move { group.get(&n.to_string()).await });
    }
    assert_eq!(asking.join_next().await.unwrap().unwrap(), Err(Error::Overload), "ten wait, for a second");
    getter.gate.add_permits(100);
    assert!(asking.join_all().await.iter().any(Result::is_ok));
}
