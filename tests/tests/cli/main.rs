//! The program `meshcache` as people and scripts call it, against real coordinators.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cluster;

use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use meshcache_tests::coordinator::{ADMIN_TOKEN, Coordinators};
use meshcache_tests::{Ask, Origin, Reply, artifact};
use serde_json::Value;
use tempfile::TempDir;

const HOST: &str = "shop.test";

/// The program under all its names, with nothing of this machine's configuration.
struct Tool {
    folder: TempDir,
}

/// How a command ended.
struct Ended {
    status: i32,
    out: String,
    error: String,
}

impl Tool {
    fn new() -> Tool {
        let folder = tempfile::tempdir().unwrap();
        for name in ["meshcache", "kubectl-meshcache", "meshcache-coordinator"] {
            std::os::unix::fs::symlink(artifact::coordinator(), folder.path().join(name)).unwrap();
        }
        Tool { folder }
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.folder.path().join(name));
        command.env_clear().env("HOME", self.folder.path()).env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
        command
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn run(&self, name: &str, arguments: &[&str]) -> Ended {
        ended(self.command(name).args(arguments))
    }

    /// Runs a command at the first of these coordinators.
    fn ask(&self, at: &Coordinators, arguments: &[&str]) -> Ended {
        let token = self.file("token", ADMIN_TOKEN);
        let admin = at.all[0].ports.admin.to_string();
        ended(
            self.command("meshcache")
                .args(arguments)
                .env("MESHCACHE_ADMIN", admin)
                .env("MESHCACHE_ADMIN_TOKEN_FILE", token),
        )
    }
}

fn ended(command: &mut Command) -> Ended {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let ended =
        Ended { status: output.status.code().unwrap_or(-1), out: text(output.stdout), error: text(output.stderr) };
    assert!(!ended.error.contains("panicked"), "{}", ended.error);
    ended
}

fn groups(origin: &Origin) -> String {
    format!(
        "version: 1\ngroups:\n- name: shop\n  match: {{hosts: [{HOST}]}}\n  origin: {{url: \"{}\"}}\n  passThrough: {{otherPaths: true}}\n",
        origin.url()
    )
}

/// Two coordinators with one stored response.
async fn mesh() -> (Origin, Coordinators) {
    let origin = Origin::start().await;
    origin.always("/a", Reply::fresh(60, "x"));
    let mesh = Coordinators::start(2, &groups(&origin), &[]).await;
    load(&mesh).await;
    (origin, mesh)
}

async fn load(mesh: &Coordinators) {
    assert_eq!(Ask::get(HOST, "/a").send(mesh.all[0].ports.data).await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_ring_and_keys_tell_of_all_coordinators() {
    let (_origin, mesh) = mesh().await;
    let tool = Tool::new();

    let groups = tool.ask(&mesh, &["groups"]);
    assert_eq!((groups.status, groups.error.as_str()), (0, ""), "{}", groups.out);
    assert!(groups.out.starts_with("GROUP  MODE  REQUESTS"), "{}", groups.out);
    assert!(groups.out.lines().nth(1).unwrap().starts_with("shop   on           1"), "{}", groups.out);

    let ring = tool.ask(&mesh, &["ring", &format!("http://{HOST}/a")]);
    assert_eq!((ring.status, ring.error.as_str()), (0, ""), "{}", ring.out);
    for part in ["\npeer-0  ", "\npeer-1  ", "group shop, owner peer-"] {
        assert!(format!("\n{}", ring.out).contains(part), "{part}: {}", ring.out);
    }

    let keys = tool.ask(&mesh, &["keys", "--group", "shop", "--prefix", "/a"]);
    assert_eq!(keys.status, 0, "{}{}", keys.out, keys.error);
    assert!(keys.out.contains(&format!("http://{HOST}/a")), "{}", keys.out);
    assert!(!tool.ask(&mesh, &["keys", "--prefix", "/b"]).out.contains(HOST));

    for command in [&["groups"][..], &["ring"], &["keys"], &["purge", "--group", "shop", "--dry-run"]] {
        let told = tool.ask(&mesh, &[command, &["-o", "json"]].concat());
        let json: Value =
            serde_json::from_str(&told.out).unwrap_or_else(|error| panic!("{command:?}: {error}: {}", told.out));
        assert!(json.is_object(), "{json}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_is_carried_out_everywhere_and_says_who_gave_no_answer() {
    let (origin, mut mesh) = mesh().await;
    let tool = Tool::new();
    let url = format!("http://{HOST}/a");

    let dry = tool.ask(&mesh, &["purge", &url, "--dry-run"]);
    assert!(dry.status == 0 && dry.out.starts_with("would purge 1 response ("), "{}{}", dry.out, dry.error);
    load(&mesh).await;
    assert_eq!(origin.hits("/a"), 1, "it is still stored");

    for way in
        [&[url.as_str()][..], &["--group", "shop", "--prefix", "/"], &["--host", HOST, "--regex", "^/a$"], &["--all"]]
    {
        load(&mesh).await;
        let (loaded, purged) = (origin.hits("/a"), tool.ask(&mesh, &[&["purge"], way].concat()));
        assert!(
            purged.status == 0 && purged.out.starts_with("purged 1 response ("),
            "{way:?}: {}{}",
            purged.out,
            purged.error
        );
        load(&mesh).await;
        assert_eq!(origin.hits("/a"), loaded + 1, "{way:?}");
    }

    let refused = tool.ask(&mesh, &["purge", "--group", "sohp"]);
    assert_eq!((refused.status, refused.error.lines().count()), (1, 1), "{}", refused.error);
    assert!(refused.error.contains("there is no group `sohp`"), "{}", refused.error);

    let refused = tool.ask(&mesh, &["purge", "--group", "shop", "--regex", "("]);
    assert_eq!((refused.status, refused.error.lines().count()), (2, 1), "{}", refused.error);

    mesh.all[1].process.kill();
    let purged = tool.ask(&mesh, &["purge", "--group", "shop"]);
    assert_eq!(purged.status, 3, "{}{}", purged.out, purged.error);
    assert!(purged.out.contains("no answer from peer-1"), "{}", purged.out);
    let ring = tool.ask(&mesh, &["ring"]);
    assert_eq!(ring.status, 3, "{}{}", ring.out, ring.error);
    assert!(ring.out.contains("peer-1 gives no answer: "), "{}", ring.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_keeps_a_server_from_answering_is_one_line() {
    let (_origin, mesh) = mesh().await;
    let tool = Tool::new();
    let admin = mesh.all[0].ports.admin.to_string();
    let wrong = tool.file("wrong", "another-token\n");
    let wrong = wrong.to_str().unwrap();
    let empty = tool.file("empty", "\n");
    let data = mesh.all[0].ports.data.to_string();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for (arguments, status, part) in [
        (&["groups", "--admin", &admin][..], 1, "wants a token: --admin-token-file FILE"),
        (&["groups", "--admin", &admin, "--admin-token-file", wrong], 1, "does not take this token"),
        (&["groups", "--admin", &admin, "--admin-token-file", empty.to_str().unwrap()], 2, "empty: is empty"),
        (&["groups", "--admin", &admin, "--admin-token-file", "/none"], 2, "--admin-token-file: /none: No such file"),
        (&["--admin", &nobody, "groups"], 1, "Connection refused"),
        (&["groups", "--admin", &data], 1, "is that an admin port"),
        (&["groups", "--admin", &format!("https://{admin}")], 1, &format!("https://{admin}: ")),
        (&["groups", "--admin", &admin, "--ca", wrong], 2, "--ca is for TLS: write --admin https://"),
        (&["-n", "meshcache", "groups"], 1, "kubeconfig: "),
        (&["groups", "--admin", &admin, "-n", "meshcache"], 2, "--admin names a server, and the other flags a cluster"),
        (&["purge", "--admin", &admin], 2, "name what is purged: URLs, --group GROUP"),
    ] {
        let told = tool.run("meshcache", arguments);
        assert_eq!((told.status, told.out.as_str()), (status, ""), "{arguments:?}: {}", told.error);
        assert!(told.error.contains(part) && told.error.lines().count() == 1, "{arguments:?}: {}", told.error);
    }
    for (variable, part) in [("h:1", "--admin names a server, and the other flags a cluster"), (&admin, "kubeconfig: ")]
    {
        let mut command = tool.command("meshcache");
        let told = ended(command.args(["groups", "--admin", &admin, "-n", "m"]).env("MESHCACHE_ADMIN", variable));
        assert!(told.error.contains(part), "{variable}: {}", told.error);
    }
}

#[test]
fn tail_asks_again_until_an_error_stays_and_tells_each_once() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = listener.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        for answer in [
            "200 OK\r\n\r\n",
            "503 No\r\n\r\n{\"error\": \"full\"}",
            "503 No\r\n\r\n{\"error\": \"full\"}",
            "400 No\r\n\r\n{\"error\": \"no such group\"}",
        ] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.extend(byte);
            }
            stream.write_all(format!("HTTP/1.1 {answer}").as_bytes()).unwrap();
        }
    });
    let told = Tool::new().run("meshcache", &["tail", "--admin", &admin]);
    server.join().unwrap();
    let lines: Vec<&str> = told.error.lines().collect();
    let ends = ["the server ended the answer; asking again", "full; asking again", "no such group"];
    assert_eq!(lines, ends.map(|end| format!("{admin}: {end}")), "{}", told.error);
    assert_eq!((told.status, told.out.as_str()), (2, ""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_leaves_is_no_failure() {
    let (_origin, mesh) = mesh().await;
    let tool = Tool::new();
    let token = tool.file("token", ADMIN_TOKEN);
    let admin = mesh.all[0].ports.admin.to_string();
    for arguments in [&["groups"][..], &["keys", "-o", "json"], &["man"], &["completions", "zsh"], &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = tool.command("meshcache");
        command.args(arguments).env("MESHCACHE_ADMIN", &admin).env("MESHCACHE_ADMIN_TOKEN_FILE", &token);
        let output = command.stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), error.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn the_program_knows_the_name_by_which_it_is_called() {
    let tool = Tool::new();
    for (name, typed) in [
        ("meshcache", "meshcache"),
        ("meshcache-coordinator", "meshcache-coordinator"),
        ("kubectl-meshcache", "kubectl meshcache"),
    ] {
        let version = tool.run(name, &["--version"]);
        assert_eq!(version.out, format!("{typed} {}\n", env!("CARGO_PKG_VERSION")));
        assert!(tool.run(name, &["why", "-h"]).out.contains(&format!("Usage: {typed} why ")), "{name}");
    }
    for (name, arguments) in [("meshcache", &["-n", "x", "--help"]), ("kubectl-meshcache", &["-n", "x", "-h"])] {
        let help = tool.run(name, arguments);
        assert!(help.status == 0 && help.out.contains("\nSee:\n  why "), "{name}: {}{}", help.out, help.error);
    }
    let alone = tool.run("meshcache", &[]);
    assert!(alone.status == 2 && alone.error.contains("\nSee:\n  why "), "{}{}", alone.out, alone.error);
    for (name, arguments) in [("meshcache-coordinator", &[][..]), ("meshcache", &["serve"])] {
        let told = tool.run(name, arguments);
        assert_eq!((told.status, told.error.as_str()), (2, "--config FILE or --origin URL is needed\n"), "{name}");
    }
}

#[test]
fn a_word_that_is_nearly_right_is_answered_with_the_right_one() {
    let tool = Tool::new();
    for (arguments, meant) in [
        (&["purge", "--gruop", "g"][..], "'--group'"),
        (&["purgee"], "'purge'"),
        (&["serve", "--orgin", "http://o"], "'--origin'"),
        (&["completions", "bahs"], "'bash'"),
    ] {
        let told = tool.run("meshcache", arguments);
        assert!(told.status == 2 && told.error.contains(meant), "{arguments:?}: {}", told.error);
    }
}

#[test]
fn shells_and_man_take_what_is_made_for_them() {
    let tool = Tool::new();
    let bash = tool.run("meshcache", &["completions", "bash"]);
    let file = tool.file("completions", &bash.out);
    assert!(bash.out.contains("why"), "{}", bash.out);
    assert!(Command::new("bash").arg("-n").arg(&file).status().unwrap().success());
    for shell in ["zsh", "fish"] {
        assert!(tool.run("meshcache", &["completions", shell]).out.contains("admin-token-file"), "{shell}");
    }
    let page = tool.run("meshcache", &["man"]);
    assert!(page.out.contains(".TH meshcache 1") && page.out.contains("purge"), "{}", page.out);
    assert!(tool.run("meshcache", &["man", "why"]).out.contains(".TH meshcache-why 1"));
    assert_eq!(tool.run("meshcache", &["man", "attach"]).error, "man: there is no command `attach`\n");
}

/// The folder of a tool, for a kubeconfig in it.
fn folder(tool: &Tool) -> &Path {
    tool.folder.path()
}
