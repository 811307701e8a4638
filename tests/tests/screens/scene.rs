//! Coordinators that people ask, and the program beside them: in a pipe, or wherever a test puts it.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, ChildStderr, ChildStdout, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use meshcache_tests::{
    Ask, Coordinators, Groups, Origin, Reply, Shared, Terminal, artifact,
    process::Signal,
    wait::{SOON, await_some},
};
use rustix::process::{Pid, kill_process};
use serde_json::json;

pub(crate) const HOT: &str = "/develop/app.yaml";
pub(crate) const PRIVATE: &str = "/cart";
/// The same, which nobody asks for but one test.
pub(crate) const PROFILE: &str = "/profile";

/// Three coordinators in front of one service, which people ask all the time.
pub(crate) struct Scene {
    pub(crate) coordinators: Coordinators,
    _origin: Origin,
}

static SCENE: Shared<Scene> = Shared::new();

impl Scene {
    pub(crate) async fn set(coordinators: usize) -> Scene {
        let origin = Origin::start().await;
        origin.always("*", Reply::fresh(60, "x".repeat(1200)));
        for path in [PRIVATE, PROFILE] {
            origin.always(path, Reply::ok("mine").header("cache-control", "private"));
        }
        let group =
            |name: &str, host: &str| json!({"name": name, "match": {"hosts": [host]}, "origin": {"url": origin.url()}});
        let groups = Groups {
            document: json!({"version": 1, "groups": [group("config", "config.test"), group("shop", "shop.test")]}),
        };
        Scene { coordinators: Coordinators::start(coordinators, &groups.yaml(), &[]).await, _origin: origin }
    }

    pub(crate) async fn shared() -> Arc<Scene> {
        SCENE.get(async || Scene::set(3).await).await
    }

    /// The program with what it needs to find the first coordinator.
    pub(crate) fn tool(&self, arguments: &[&str]) -> Command {
        let admin = self.coordinators.all[0].ports.admin.to_string();
        let mut command = tool(arguments);
        command.args(["--admin", &admin, "--admin-token-file", &self.coordinators.file("admin-token")]);
        command
    }

    /// People ask until this is dropped: mostly for one thing.
    pub(crate) fn people(&self) -> People {
        asking(self.coordinators.all[0].ports.data, |number| match number % 10 {
            0 => ("shop.test", PRIVATE.to_owned()),
            1 => ("config.test", format!("/develop/{}.yaml", number % 70)),
            _ => ("config.test", HOT.to_owned()),
        })
    }
}

pub(crate) struct People(tokio::task::JoinHandle<()>);

/// Asks over and over, each time for something.
pub(crate) fn asking(to: SocketAddr, what: impl Fn(u64) -> (&'static str, String) + Send + 'static) -> People {
    People(tokio::spawn(async move {
        let mut every = tokio::time::interval(Duration::from_millis(20));
        for number in 0.. {
            every.tick().await;
            let (host, path) = what(number);
            // A server that starts anew has no answer for a moment.
            let _ = Ask::get(host, &path).send(to).await;
        }
    }))
}

impl Drop for People {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The program without the variables of a developer's own shell.
pub(crate) fn tool(arguments: &[&str]) -> Command {
    let mut command = Command::new(artifact::coordinator());
    let ours =
        std::env::vars_os().map(|(name, _)| name).filter(|name| name.to_string_lossy().starts_with("MESHCACHE_"));
    ours.for_each(|name| {
        command.env_remove(name);
    });
    command.env_remove("NO_COLOR").args(arguments);
    command
}

/// Runs it behind a pipe to its end: its status, and what it wrote to standard output and to standard error.
pub(crate) async fn piped(mut command: Command) -> (i32, String, String) {
    let output = tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).output().unwrap()).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().expect("it ends by itself"), text(&output.stdout), text(&output.stderr))
}

/// Whether pictures for docs/ are wanted.
pub(crate) fn has_pictures() -> bool {
    std::env::var_os("UPDATE").is_some()
}

pub(crate) fn keep_picture(name: &str, terminal: &Terminal) {
    if has_pictures() {
        std::fs::create_dir_all(artifact::file("docs/pictures")).unwrap();
        std::fs::write(artifact::file(&format!("docs/pictures/{name}.svg")), terminal.picture()).unwrap();
    }
}

/// A program that runs behind a pipe.
pub(crate) struct Following {
    child: Child,
    pub(crate) lines: Option<BufReader<ChildStdout>>,
    errors: BufReader<ChildStderr>,
}

impl Following {
    pub(crate) fn start(mut command: Command) -> Following {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = Some(BufReader::new(child.stdout.take().unwrap()));
        let errors = BufReader::new(child.stderr.take().unwrap());
        Following { child, lines, errors }
    }

    /// The next line of standard output.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        tokio::task::block_in_place(|| self.lines.as_mut().unwrap().read_line(&mut line).unwrap());
        line
    }

    /// The next line of standard error.
    pub(crate) fn error(&mut self) -> String {
        let mut line = String::new();
        tokio::task::block_in_place(|| self.errors.read_line(&mut line).unwrap());
        line
    }

    /// The status at its end, and what it wrote to standard error.
    pub(crate) async fn end(mut self) -> (Option<i32>, String) {
        let status = await_some(|| self.child.try_wait().unwrap(), SOON).await.expect("it ends");
        let mut errors = String::new();
        self.errors.read_to_string(&mut errors).unwrap();
        (status.code(), errors)
    }

    /// Ends it as Ctrl-C does.
    pub(crate) async fn interrupted(self) -> (Option<i32>, String) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        self.end().await
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
