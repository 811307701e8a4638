//! The program `meshcache`, run as a user runs it, and one case of it: a service, a group, a request, and why it was not
//! answered from the cache.

use std::{
    io::Write,
    net::SocketAddr,
    process::{Command, Stdio},
};

use meshcache_admin::Why;
use meshcache_tests::{Answer, Ask, Coordinator, Origin, Reply, artifact, await_until, wait::SOON};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The host of the group.
pub(crate) const HOST: &str = "case.test";

/// Runs the program: its status and what it wrote.
async fn run(arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut command = Command::new(artifact::meshcache());
    std::env::vars().filter(|(name, _)| name.starts_with("MESHCACHE_")).for_each(|(name, _)| {
        command.env_remove(name);
    });
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let input = input.to_owned();
    let ended = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        // One that reads nothing is gone before.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    });
    let out = ended.await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (out.status.code(), text(&out.stdout), text(&out.stderr))
}

/// `meshcache why`, of the coordinator with this admin port.
pub(crate) async fn explained(admin: SocketAddr, arguments: &[&str]) -> Why {
    let admin = admin.to_string();
    let (status, out, err) = run(&[&["why", "--admin", &admin, "-o", "json"], arguments].concat(), "").await;
    // 0: the cache answers; 1: it does not.
    assert!(matches!(status, Some(0 | 1)), "{arguments:?}: {status:?} {out}{err}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
}

/// `meshcache check -` accepts a file, with the flags that the coordinator has beside it.
pub(crate) async fn check(yaml: &str, flags: &[&str]) {
    let (status, out, err) = run(&[&["check", "-"], flags].concat(), yaml).await;
    assert_eq!(status, Some(0), "{out}{err}\n{yaml}");
}

/// Whether a reason is in the explanation: of the request, of a stored response, or among the last ones.
pub(crate) fn word_in(why: &Why, word: &str) -> bool {
    let last = why.at.iter().flat_map(|at| &at.last).any(|last| last.reason == word);
    let refused = why.at.iter().flat_map(|at| &at.stored).filter_map(|stored| stored.why_not.as_deref());
    last || why.request_reason.as_deref() == Some(word) || refused.into_iter().any(|why_not| why_not.starts_with(word))
}

/// A case in the making.
pub(crate) struct Case {
    word: &'static str,
    reply: Reply,
    group: Value,
    method: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    arguments: Vec<&'static str>,
    pub(crate) path: String,
}

/// A case with its service and its coordinator.
pub(crate) struct Running {
    pub(crate) case: Case,
    pub(crate) origin: Origin,
    pub(crate) coordinator: Coordinator,
    folder: TempDir,
}

impl Case {
    /// A response of the service that is not answered from the cache for this reason.
    pub(crate) fn new(word: &'static str, reply: Reply) -> Case {
        let (group, headers, arguments) = (json!({}), Vec::new(), Vec::new());
        Case { word, reply, group, method: "GET", headers, arguments, path: "/page".to_owned() }
    }

    /// Fields of the group beside its `match` and origin.
    pub(crate) fn group(self, group: Value) -> Case {
        Case { group, ..self }
    }

    pub(crate) fn method(self, method: &'static str) -> Case {
        Case { method, ..self }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &'static str) -> Case {
        self.headers.push((name, value));
        self
    }

    pub(crate) fn argument(self, arguments: &[&'static str]) -> Case {
        Case { arguments: arguments.to_vec(), ..self }
    }

    pub(crate) async fn start(self) -> Running {
        let origin = Origin::start().await;
        origin.always("*", self.reply.clone());
        let mut group = json!({"name": "case", "match": {"hosts": [HOST]}, "origin": {"url": origin.url()}});
        for (field, value) in self.group.as_object().unwrap() {
            match (group[field].as_object_mut(), value) {
                (Some(old), Value::Object(new)) => old.extend(new.clone()),
                _ => group[field] = value.clone(),
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("groups.yaml");
        std::fs::write(&path, json!({"version": 1, "groups": [group]}).to_string()).unwrap();
        let mut arguments = vec!["--config", path.to_str().unwrap()];
        arguments.extend(&self.arguments);
        let coordinator = Coordinator::start(&arguments).await;
        Running { case: self, origin, coordinator, folder }
    }

    /// Asks twice, has it explained, checks and writes what is proposed, and asks until it is answered from the cache.
    /// Returns what the program says to people.
    pub(crate) async fn gets_mended(self) -> String {
        let running = self.start().await;
        let why = running.refused().await;
        let advice = why.advice.iter().find(|advice| advice.reason == running.case.word);
        let advice = advice.unwrap_or_else(|| panic!("no advice: {why:#?}"));
        let (yaml, diff) = (advice.yaml.as_deref().unwrap(), advice.diff.as_deref().unwrap());
        assert!(diff.lines().any(|line| line.starts_with('+')), "{diff}");
        check(yaml, &running.case.arguments).await;
        let text = running.text().await;
        assert!(text.contains(running.case.word) && diff.lines().all(|line| text.contains(line.trim_end())), "{text}");
        running.configure(yaml);
        let hit = async || running.ask().await.cache_status().contains("; hit");
        await_until(hit, SOON, &format!("answered from the cache with\n{yaml}")).await;
        text
    }

    /// The same, where nothing that one writes mends it.
    pub(crate) async fn stays_as_it_is(self) {
        let why = self.start().await.refused().await;
        assert!(why.advice.iter().all(|advice| advice.yaml.is_none()), "{why:#?}");
        assert!(why.advice.iter().any(|advice| !advice.text.is_empty()), "{why:#?}");
    }
}

impl Running {
    /// Asks as the case says.
    pub(crate) async fn ask(&self) -> Answer {
        let mut ask = Ask::new(self.case.method, HOST, &self.case.path);
        for (name, value) in &self.case.headers {
            ask = ask.header(name, value);
        }
        if self.case.method == "QUERY" {
            ask = ask.header("content-type", "text/plain").body("q");
        }
        ask.send(self.coordinator.ports.data).await.unwrap()
    }

    /// Asks twice, and has it explained: neither was answered from the cache, for the case's reason.
    async fn refused(&self) -> Why {
        for _ in 0..2 {
            let answer = self.ask().await;
            assert!(!answer.cache_status().contains("; hit"), "{answer:?}");
        }
        let why = self.why().await;
        assert!(word_in(&why, self.case.word), "{} is not in {why:#?}", self.case.word);
        assert!(why.summary.contains(self.case.word), "{}", why.summary);
        why
    }

    pub(crate) async fn why(&self) -> Why {
        let arguments = self.arguments();
        explained(self.coordinator.ports.admin, &arguments.iter().map(String::as_str).collect::<Vec<_>>()).await
    }

    /// What the program says to people.
    async fn text(&self) -> String {
        let arguments = self.arguments();
        let admin = self.coordinator.ports.admin.to_string();
        let mut all = vec!["why", "--admin", &admin];
        all.extend(arguments.iter().map(String::as_str));
        let (status, out, err) = run(&all, "").await;
        assert_eq!(status, Some(1), "the cache does not answer: {out}{err}");
        out
    }

    fn arguments(&self) -> Vec<String> {
        let mut all = vec![format!("http://{HOST}{}", self.case.path), "-X".to_owned(), self.case.method.to_owned()];
        for (name, value) in &self.case.headers {
            all.extend(["-H".to_owned(), format!("{name}: {value}")]);
        }
        all
    }

    /// Writes another file in place of the one that the coordinator reads.
    pub(crate) fn configure(&self, yaml: &str) {
        let new = self.folder.path().join("new");
        std::fs::write(&new, yaml).unwrap();
        std::fs::rename(new, self.folder.path().join("groups.yaml")).unwrap();
    }
}
