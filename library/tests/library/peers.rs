//! Nodes that come and go, and a node in a server of one's own.

use crate::mesh::{Counting, Mesh, addresses, node, text, until};
use axum::{Router, routing::get};
use meshcache::{Error, Node, Options, Value};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A getter that gives its key.
fn echo() -> Counting {
    Counting::new(|key, _| Ok(Value::from(key.to_owned())))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_shuts_down_hands_over_and_no_getter_is_called_again() {
    let getter = echo();
    let mesh = Mesh::three(Options::new(), getter.clone());
    let keys: Vec<_> = (0..200).map(|n| format!("key {n}")).collect();
    for key in &keys {
        assert_eq!(text(mesh.groups[0].get(key).await).as_ref(), Ok(key));
    }
    mesh.nodes[1].shutdown().await;
    for key in &keys {
        for at in [0, 2] {
            assert_eq!(text(mesh.groups[at].get(key).await).as_ref(), Ok(key));
        }
    }
    assert_eq!((getter.calls(), mesh.nodes[0].ring()), (200, vec!["a".to_owned(), "c".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_are_replaced_while_gets_run_and_a_new_owner_asks_the_one_before() {
    let getter = echo();
    let nodes: Vec<Node> = ["a", "b", "c"].iter().map(|name| node(name)).collect();
    let groups: Vec<_> =
        nodes.iter().map(|node| node.group("things", Options::new(), getter.clone()).unwrap()).collect();
    let done = Arc::new(AtomicBool::new(false));
    let asking = tokio::spawn({
        let (group, done) = (groups[0].clone(), done.clone());
        async move {
            let mut rounds = 0;
            while !done.load(SeqCst) || rounds < 3 {
                for n in 0..50 {
                    let key = format!("key {n}");
                    assert_eq!(text(group.get(&key).await).as_ref(), Ok(&key));
                }
                rounds += 1;
            }
        }
    });
    until("the node alone has them all", || groups[0].stats().items == 50).await;
    for count in [2, 3] {
        // The new one first: it is asked as soon as the others know it.
        for node in nodes[..count].iter().rev() {
            node.set_peers(&addresses(&nodes[..count])).unwrap();
        }
        assert_eq!(nodes[0].ring().len(), count);
        for n in 0..50 {
            let key = format!("key {n}");
            assert_eq!(text(groups[count - 1].get(&key).await).as_ref(), Ok(&key));
        }
    }
    done.store(true, SeqCst);
    asking.await.unwrap();
    assert_eq!(getter.calls(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_gone_costs_a_load_and_no_error() {
    let getter = echo();
    let mut mesh = Mesh::three(Options::new(), getter.clone());
    mesh.get("warm").await;
    mesh.nodes.pop();
    mesh.groups.pop();
    for n in 0..50 {
        let key = format!("key {n}");
        assert_eq!(mesh.get(&key).await, vec![Ok(key); 2]);
    }
    assert!((51..=52).contains(&getter.calls()), "{}", getter.calls());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_keeps_copies_of_what_it_is_asked_for_often_unless_the_group_has_none() {
    for (options, most, least) in
        [(Options::new(), 16, 1), (Options::new().hot_ttl(std::time::Duration::ZERO), 208, 100)]
    {
        let mesh = Mesh::three(options, echo());
        // So many keys that the node owns few of them.
        let keys: Vec<_> = (0..8).map(|n| format!("key {n}")).collect();
        for _ in 0..26 {
            for key in &keys {
                assert_eq!(text(mesh.groups[0].get(key).await).as_ref(), Ok(key));
            }
        }
        let questions: u64 = mesh.groups.iter().map(|group| group.stats().server_requests).sum();
        assert!((least..=most).contains(&questions), "{questions}");
        assert_eq!(mesh.groups[0].stats().gets, 208);
    }
}

/// Sends a plain client's request. Returns the status line and the body.
async fn fetch(address: &str, path: &str, fields: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{fields}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_in_a_server_of_ones_own_answers_nodes_with_the_token_and_leaves_the_rest_alone() {
    let getter = echo();
    let listeners = [TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap()];
    let at: Vec<_> = listeners.iter().map(|listener| listener.local_addr().unwrap().to_string()).collect();
    let peers = [("a", &at[0]), ("b", &at[1])];
    let nodes = ["a", "b"].map(|name| Node::builder(name).token("secret").peers(peers).build().unwrap());
    let groups = nodes.each_ref().map(|node| node.group("things", Options::new(), getter.clone()).unwrap());
    for (listener, node) in listeners.into_iter().zip(&nodes) {
        let app = node.mount(Router::new().route("/hello", get(async || "mine")));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    }
    for n in 0..50 {
        let key = format!("key {n}");
        for group in &groups {
            assert_eq!(text(group.get(&key).await).as_ref(), Ok(&key));
        }
    }
    assert_eq!(getter.calls(), 50);
    assert!(groups.iter().all(|group| group.stats().peer_loads > 0));
    groups[0].remove("key 1").await.unwrap();
    assert_eq!(groups[1].peek("key 1").await, Ok(None));
    assert!(fetch(&at[0], "/hello", "").await.ends_with("mine"));
    assert!(fetch(&at[0], "/hello2", "").await.starts_with("HTTP/1.1 404"));
    let as_node = "meshcache-wire: 2; group=things\r\nmeshcache-authority: things\r\n";
    assert!(fetch(&at[0], "/key", as_node).await.starts_with("HTTP/1.1 401"));
    assert!(fetch(&at[0], "/.meshcache/purge", "authorization: Bearer other\r\n").await.starts_with("HTTP/1.1 401"));
}

#[tokio::test]
async fn a_large_value_comes_whole_from_its_owner() {
    let large: Arc<Vec<u8>> = Arc::new((0..20_000_000_u32).map(|n| n.to_le_bytes()[1]).collect());
    let getter = Counting::new({
        let large = large.clone();
        move |_, _| Ok::<_, Error>(Value::from(large.to_vec()))
    });
    let mesh = Mesh::three(Options::new().value_bytes(30 << 20), getter.clone());
    for group in &mesh.groups {
        assert!(group.get("large").await.unwrap() == large[..]);
    }
    assert_eq!(getter.calls(), 1);
}
