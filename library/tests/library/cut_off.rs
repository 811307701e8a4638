//! A node that cannot be reached for a while: it goes on, and gives nothing that was removed meanwhile.

use crate::mesh::{Counting, Mesh, node, text};
use meshcache::{Error, Group, Node, Options, Value};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp},
    sync::watch,
};

/// Passes on bytes in one direction, but while it is cut holds them back.
async fn pass(mut from: tcp::OwnedReadHalf, mut to: tcp::OwnedWriteHalf, mut is_cut: watch::Receiver<bool>) {
    let mut bytes = vec![0; 65_536];
    while let Ok(n @ 1..) = from.read(&mut bytes).await {
        if is_cut.wait_for(|is_cut| !is_cut).await.is_err()
            || to.write_all(bytes.get(..n).unwrap_or_default()).await.is_err()
        {
            return;
        }
    }
}

/// A way to a node that can be cut. Returns its address.
async fn way(to: &Node, is_cut: &watch::Sender<bool>) -> String {
    let (to, is_cut) = (to.address().unwrap(), is_cut.subscribe());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let Ok(far) = TcpStream::connect(to).await else { continue };
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            tokio::spawn(pass(near_in, far_out, is_cut.clone()));
            tokio::spawn(pass(far_in, near_out, is_cut.clone()));
        }
    });
    at
}

/// Three nodes, and what cuts the third one off.
async fn mesh(getter: &Counting) -> (Mesh, watch::Sender<bool>) {
    let is_cut = watch::Sender::new(false);
    let nodes: Vec<Node> = ["a", "b", "c"].map(node).into();
    let groups: Vec<Group> =
        nodes.iter().map(|node| node.group("things", Options::new(), getter.clone()).unwrap()).collect();
    for (from, node) in nodes.iter().enumerate() {
        let mut peers = Vec::new();
        for (to, peer) in nodes.iter().enumerate() {
            let is_near = from == to || (from < 2 && to < 2);
            let at = if is_near { peer.address().unwrap().to_string() } else { way(peer, &is_cut).await };
            peers.push((peer.name(), at));
        }
        node.set_peers(&peers).unwrap();
    }
    (Mesh { nodes, groups }, is_cut)
}

/// A key whose value the node `c` stores.
async fn key_of_c(mesh: &Mesh) -> String {
    let c = mesh.groups.last().unwrap();
    let mut n = 0;
    loop {
        let (key, before) = (format!("key {n}"), c.stats().local_loads);
        assert_eq!(mesh.get(&key).await, vec![Ok::<_, Error>("0".into()); 3]);
        if c.stats().local_loads > before {
            return key;
        }
        n += 1;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_a_removal_does_not_reach_is_named_and_does_not_go_on_giving_what_was_removed() {
    let version = Arc::new(AtomicUsize::new(0));
    let getter = Counting::new({
        let version = version.clone();
        move |_, _| Ok(Value::from(version.load(SeqCst).to_string()))
    });
    let (mesh, is_cut) = mesh(&getter).await;
    let key = key_of_c(&mesh).await;
    let get = async |at: usize| text(mesh.groups[at].get(&key).await).unwrap();
    is_cut.send_replace(true);
    version.store(1, SeqCst);
    let removed = mesh.groups[0].remove(&key).await.unwrap();
    assert_eq!(removed.unreached, ["c"]);
    // It asks its getter now, as long as it hears nobody.
    for at in [2, 0, 1, 2] {
        assert_eq!(get(at).await, "1", "{}", mesh.nodes[at].name());
    }
    is_cut.send_replace(false);
    // Later it learns what was removed, and answers from its store again.
    let answers = || {
        let group = mesh.groups[2].clone();
        let (key, before) = (key.clone(), group.stats().hits);
        async move {
            assert_eq!(text(group.get(&key).await).unwrap(), "1");
            group.stats().hits > before
        }
    };
    let begun = std::time::Instant::now();
    while !answers().await {
        assert!(begun.elapsed() < std::time::Duration::from_secs(30), "it does not answer from its store again");
    }
    version.store(2, SeqCst);
    let everywhere = async || mesh.groups[1].remove(&key).await.unwrap().unreached;
    while !everywhere().await.is_empty() {
        assert!(begun.elapsed() < std::time::Duration::from_secs(30), "a removal does not reach it again");
    }
    assert_eq!(mesh.get(&key).await, vec![Ok("2".to_owned()); 3]);
}
