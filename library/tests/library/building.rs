//! What a program may get wrong: one line names what, and what to write.

use meshcache::{Node, NodeBuilder, Options, Value};
use std::time::Duration;

#[tokio::test]
async fn a_node_that_cannot_work_is_refused_in_one_line() {
    let a = || Node::builder("a");
    let none: [(&str, &str); 0] = [];
    for (builder, expected) in [
        (Node::builder(""), "name: `` is not a name (letters, digits, `-`, `.`, `_`)"),
        (Node::builder("a b"), "name: `a b` is not a name (letters, digits, `-`, `.`, `_`)"),
        (a().token(""), "token: it is visible ASCII without spaces, and not empty"),
        (a().token("ü"), "token: it is visible ASCII without spaces, and not empty"),
        (a().store_bytes(0), "store_bytes: 0: nothing would be stored"),
        (a().listen("8083"), "listen: `8083` is not IP:PORT (example: 0.0.0.0:8083)"),
        (a().peers([("b", "10.0.0.1")]), "peers: peer `b`: `10.0.0.1` is not HOST:PORT (example: 10.0.0.1:8083)"),
        (a().peers([("b c", "h:1")]), "peers: `b c` is not a name (letters, digits, `-`, `.`, `_`)"),
        (a().peers([("b", "h:1")]), "peers: nodes prove themselves with a token: set the same one on each, by `token`"),
        (a().token("t").peers([("b", "h:1"), ("b", "h:2")]), "peers: two have the name `b`"),
        (
            a().token("t").peers([("b", "h:1")]),
            "peers: `a` is not among them, and does not listen: name it with the address at which the others reach it",
        ),
    ] {
        let builder: NodeBuilder = builder;
        assert_eq!(builder.build().unwrap_err().to_string(), expected);
    }
    assert!(a().peers(none).build().is_ok() && a().peers([("a", "127.0.0.1:1")]).build().is_ok());
    let node = Node::builder("a").token("t").listen("127.0.0.1:0").build().unwrap();
    assert!(node.set_peers(&[("b", "127.0.0.1:1"), ("c", "x")]).is_err());
    assert_eq!(node.ring(), ["a"], "they stay as they were");
    let taken = node.address().unwrap().to_string();
    assert!(
        Node::builder("b").listen(taken).build().unwrap_err().to_string().starts_with("cannot listen on 127.0.0.1:")
    );
}

#[test]
fn a_node_outside_of_a_runtime_is_refused_in_one_line() {
    let line = Node::builder("a").build().unwrap_err().to_string();
    assert_eq!(line, "a node is built in a tokio runtime: call this from an async function");
}

#[tokio::test]
async fn a_group_that_cannot_work_is_refused_in_one_line() {
    let node = Node::builder("a").build().unwrap();
    let group = |name: &str, options: Options| {
        node.group(name, options, |_: String| async { Ok(Value::default()) }).map(|group| group.name().to_owned())
    };
    assert_eq!(group("g", Options::new()).unwrap(), "g");
    for (name, options, expected) in [
        ("g", Options::new(), "group `g`: two groups have the name `g`"),
        (
            "My Group",
            Options::new(),
            "group: `My Group` is not a name (at most 63 of a-z, 0-9 and `-`, no `-` at either end)",
        ),
        ("h", Options::new().ttl(Duration::ZERO), "group `h`: ttl: less than 1 ms: values would never be stored"),
        ("h", Options::new().timeout(Duration::ZERO), "group `h`: timeout: less than 1 ms: every load would fail"),
        ("h", Options::new().max_loads(0), "group `h`: max_loads: 0: every load would fail"),
        ("h", Options::new().bytes(0), "group `h`: bytes: 0: nothing would be stored"),
        ("h", Options::new().value_bytes(1 << 30), "group `h`: value_bytes: 1 to 31457280 (30 MiB), please"),
    ] {
        assert_eq!(group(name, options).unwrap_err().to_string(), expected);
    }
    assert_eq!(group("h", Options::new()).unwrap(), "h", "a refused group leaves nothing behind");
}
