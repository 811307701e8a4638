//! Removing and setting: done on all nodes when it returns.

use crate::mesh::{Counting, Mesh, text, until};
use meshcache::{Error, Options, Value};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};
use tokio::task::JoinSet;

/// What all nodes give.
fn all(value: &str) -> Vec<Result<String, Error>> {
    vec![Ok(value.to_owned()); 3]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_removed_at_one_node_is_gone_at_all_when_that_returns() {
    let version = Arc::new(AtomicUsize::new(0));
    let getter = Counting::new({
        let version = version.clone();
        move |_, _| Ok(Value::from(version.load(SeqCst).to_string()))
    });
    let mesh = Mesh::three(Options::new(), getter);
    for round in 0..30 {
        let group = &mesh.groups[round % 3];
        for _ in 0..3 {
            assert_eq!(mesh.get("key").await, all(&round.to_string()));
        }
        version.fetch_add(1, SeqCst);
        let removed = group.remove("key").await.unwrap();
        assert!(removed.entries >= 1 && removed.unreached.is_empty(), "{removed:?}");
    }
}

#[tokio::test]
async fn several_keys_or_a_tag_or_all_are_removed_at_once() {
    let getter = Counting::new(|key, _| {
        Ok(match key {
            "a" => Value::from("a").tag("vowel").tag("first"),
            "e" => Value::from("e").tag("vowel"),
            other => Value::from(other.to_owned()),
        })
    });
    let mesh = Mesh::three(Options::new(), getter.clone());
    let keys = ["a", "b", "e", "x/y"];
    let fill = async || {
        for key in keys {
            assert_eq!(mesh.get(key).await, all(key));
        }
    };
    let left = async || {
        let mut left = Vec::new();
        for key in keys {
            if mesh.groups[1].peek(key).await.unwrap().is_some() {
                left.push(key);
            }
        }
        left
    };
    fill().await;
    assert_eq!((left().await, getter.calls()), (keys.to_vec(), 4));
    mesh.groups[0].remove_many(&["b", "x/y", "not there"]).await.unwrap();
    assert_eq!(left().await, ["a", "e"]);
    mesh.groups[2].remove_tags(&["first"]).await;
    assert_eq!(left().await, ["e"]);
    fill().await;
    mesh.groups[2].remove_tags(&["vowel", "x"]).await;
    assert_eq!(left().await, ["b", "x/y"]);
    mesh.groups[1].clear().await;
    assert_eq!(left().await, [""; 0]);
    fill().await;
    assert_eq!(mesh.groups[0].remove_many(&[]).await.unwrap().entries, 0);
    assert_eq!(mesh.groups[0].remove(&"k".repeat(9000)).await, Err(Error::Key(8192)));
    assert_eq!(left().await, keys);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_at_one_node_is_what_all_get_when_that_returns() {
    let getter = Counting::numbered();
    let mesh = Mesh::three(Options::new(), getter.clone());
    for round in 0..30 {
        let (key, value) = (format!("key {}", round % 5), format!("set {round}"));
        mesh.groups[round % 3].set(&key, Value::from(value.clone()).tag("t")).await.unwrap();
        assert_eq!(mesh.get(&key).await, all(&value));
    }
    assert_eq!(getter.calls(), 0);
    mesh.groups[0].remove_tags(&["t"]).await;
    assert_eq!(mesh.get("key 0").await, all("1"), "its tags were set, too");
    let large = mesh.groups[0].set("key 0", vec![0; 9 << 20]).await;
    assert!(matches!(large, Err(Error::NotStored(_))), "{large:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_is_what_all_get_while_others_ask_all_the_time() {
    let mesh = Mesh::three(Options::new(), Counting::new(|_, _| Ok(Value::from("made"))));
    let done = Arc::new(AtomicUsize::new(0));
    let mut asking = JoinSet::new();
    for n in 0..3 {
        let (group, done) = (mesh.groups[n].clone(), done.clone());
        asking.spawn(async move {
            while done.load(SeqCst) == 0 {
                group.get("key").await.unwrap();
                tokio::task::yield_now().await;
            }
        });
    }
    for round in 0..30 {
        mesh.groups[round % 3].set("key", round.to_string()).await.unwrap();
        for _ in 0..5 {
            assert_eq!(mesh.get("key").await, all(&round.to_string()));
        }
    }
    done.store(1, SeqCst);
    asking.join_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_is_under_way_does_not_replace_what_was_set_or_come_back_after_a_removal() {
    let getter = Counting::gated();
    let mesh = Mesh::three(Options::new(), getter.clone());
    for n in 0..9 {
        let (key, group) = (format!("key {n}"), mesh.groups[n % 3].clone());
        let before = getter.calls();
        let asking = tokio::spawn({
            let key = key.clone();
            async move { text(group.get(&key).await) }
        });
        until("the getter is called", || getter.calls() > before).await;
        let changes_it = &mesh.groups[n / 3];
        if n % 2 == 0 {
            changes_it.set(&key, "set").await.unwrap();
        } else {
            changes_it.remove(&key).await.unwrap();
        }
        getter.gate.add_permits(1);
        assert_eq!(asking.await.unwrap(), Ok((before + 1).to_string()), "who waited gets it");
        getter.gate.add_permits(1);
        let expected = if n % 2 == 0 { "set".to_owned() } else { (before + 2).to_string() };
        assert_eq!(mesh.get(&key).await, all(&expected), "{key}");
        if n % 2 == 0 {
            getter.gate.forget_permits(1);
        }
    }
}
