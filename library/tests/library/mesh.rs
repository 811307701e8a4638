//! Nodes that share the keys, and waiting for a condition.

use meshcache::{Error, Getter, Group, Node, Options, Value};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const MS: Duration = Duration::from_millis(1);

/// Nodes in one ring, each with the group `things`.
pub(crate) struct Mesh {
    pub(crate) nodes: Vec<Node>,
    pub(crate) groups: Vec<Group>,
}

pub(crate) fn node(name: &str) -> Node {
    Node::builder(name).token("secret").store_bytes(64 << 20).listen("127.0.0.1:0").build().unwrap()
}

/// Names and addresses, as each node gets them.
pub(crate) fn addresses(nodes: &[Node]) -> Vec<(String, String)> {
    nodes.iter().map(|node| (node.name().to_owned(), node.address().unwrap().to_string())).collect()
}

impl Mesh {
    pub(crate) fn new(names: &[&str], options: Options, getter: impl Getter + Clone) -> Self {
        let nodes: Vec<_> = names.iter().map(|name| node(name)).collect();
        let groups = nodes.iter().map(|node| node.group("things", options.clone(), getter.clone()).unwrap()).collect();
        for node in &nodes {
            node.set_peers(&addresses(&nodes)).unwrap();
        }
        Self { nodes, groups }
    }

    pub(crate) fn three(options: Options, getter: impl Getter + Clone) -> Self {
        Self::new(&["a", "b", "c"], options, getter)
    }

    /// What each node gives for a key.
    pub(crate) async fn get(&self, key: &str) -> Vec<Result<String, Error>> {
        let mut all = Vec::new();
        for group in &self.groups {
            all.push(text(group.get(key).await));
        }
        all
    }

    /// The number of those who wait for a load: callers, and the questions of other nodes.
    pub(crate) fn waiters(&self) -> usize {
        let waiters = |node: &Node| {
            let metrics = node.metrics();
            let line = metrics.lines().find_map(|line| line.strip_prefix("meshcache_waiters "));
            line.unwrap().parse::<usize>().unwrap()
        };
        self.nodes.iter().map(waiters).sum()
    }
}

pub(crate) fn text(answer: Result<impl AsRef<[u8]>, Error>) -> Result<String, Error> {
    answer.map(|bytes| String::from_utf8(bytes.as_ref().to_vec()).unwrap())
}

/// A getter that counts its calls, waits for its gate, and gives what it is told to.
#[derive(Clone)]
pub(crate) struct Counting {
    pub(crate) calls: Arc<AtomicUsize>,
    pub(crate) gate: Arc<Semaphore>,
    pub(crate) answer: Answer,
}

type Answer = Arc<dyn Fn(&str, usize) -> Result<Value, Error> + Send + Sync>;

impl Counting {
    /// `answer`: what it gives for a key at its nth call, from 1.
    pub(crate) fn new(answer: impl Fn(&str, usize) -> Result<Value, Error> + Send + Sync + 'static) -> Self {
        Self { calls: Arc::default(), gate: Arc::new(Semaphore::new(1 << 20)), answer: Arc::new(answer) }
    }

    /// A getter that gives the number of its call, and whose gate is closed.
    pub(crate) fn gated() -> Self {
        Self { gate: Arc::new(Semaphore::new(0)), ..Self::numbered() }
    }

    /// A getter that gives the number of its call.
    pub(crate) fn numbered() -> Self {
        Self::new(|_, n| Ok(Value::from(n.to_string())))
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }
}

impl Getter for Counting {
    async fn get(&self, key: &str) -> Result<Value, Error> {
        let call = self.calls.fetch_add(1, SeqCst) + 1;
        let _open = self.gate.acquire().await.unwrap();
        (self.answer)(key, call)
    }
}

/// Waits for a condition, without end where it never comes true: the test's name says what is missing.
pub(crate) async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}: not within 30 s");
        tokio::time::sleep(MS).await;
    }
}
