//! A coordinator over time: what it exports, what it reloads, how it stops.
//!
//! Long: a story for each thing that a running program does.
// A test that fails says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::json;
use std::{
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    sync::atomic::Ordering,
};
use support::{Origin, Running, file, get, send, until};

#[tokio::test]
async fn a_valid_change_of_the_groups_is_reloaded_and_an_invalid_one_is_not() {
    let groups = |name: &str| {
        format!(
            "version: 1\ngroups:\n- name: {name}\n  match: {{hosts: [h]}}\n  origin: {{url: \"http://127.0.0.1:9\"}}\n"
        )
    };
    let (_folder, path) = file(&groups("one"));
    let running = Running::start(&["--config", &path]).await;
    let name =
        async || get(running.ports.admin, "/groups").await.json()["groups"][0]["name"].as_str().unwrap().to_owned();
    assert_eq!(name().await, "one");

    std::fs::write(&path, groups("two")).unwrap();
    until("the new groups are there", async || name().await == "two").await;
    assert!(running.metrics().await.contains("meshcache_config_last_reload_successful 1"));
    let fed = async || {
        send(running.ports.data, "POST", "/.meshcache/feed", &[], r#"{"wire": 1}"#).await.json()["state"]["config"]["groups"][0]["name"].clone()
    };
    until("proxies get them", async || fed().await == "two").await;

    std::fs::write(&path, "version: 1\ngroups: [\n").unwrap();
    until("the bad change is noticed", async || {
        running.metrics().await.contains("meshcache_config_last_reload_successful 0")
    })
    .await;
    assert_eq!(name().await, "two");

    std::fs::write(&path, groups("two")).unwrap();
    until("the file is good again", async || {
        running.metrics().await.contains("meshcache_config_last_reload_successful 1")
    })
    .await;
}

#[tokio::test]
async fn lists_of_peers_that_disagree_are_in_the_metrics() {
    let (_folder, token) = file("token");
    let start = async |name: &str, peers: &str| {
        Running::start(&[
            "--name",
            name,
            "--peers",
            peers,
            "--peer-token-file",
            &token,
            "--origin",
            "http://127.0.0.1:9",
        ])
        .await
    };
    let a = start("a", "a=127.0.0.1:1/2,x=127.0.0.1:3/4").await;
    let problem = |peer: &str, problem: &str, is: u8| {
        format!("meshcache_peer_list_problems{{peer=\"{peer}\",problem=\"{problem}\"}} {is}\n")
    };
    let before = a.metrics().await;
    assert!(before.contains(&problem("x", "unheard", 0)) && !before.contains("listed"), "{before}");
    let _d = start("d", &format!("a=127.0.0.1:{}/{},d=127.0.0.1:5/6", a.ports.data.port(), a.ports.peer.port())).await;
    let of_d = [problem("d", "not-listed-here", 1), problem("d", "not-listed-there", 1)];
    until("d has announced its list", async || {
        let page = a.metrics().await;
        of_d.iter().all(|line| page.contains(line))
    })
    .await;
    assert!(!a.metrics().await.contains("peer=\"a\",problem=\"not"), "what both have is no problem");
}

#[tokio::test]
async fn a_changed_token_counts() {
    let (_folder, token) = file("one");
    let running = Running::start(&["--origin", "http://127.0.0.1:9", "--admin-token-file", &token]).await;
    let status = async |token: &str| {
        send(running.ports.admin, "GET", "/peers", &[("authorization", &format!("Bearer {token}"))], "").await.status
    };
    assert_eq!((status("one").await, status("two").await), (200, 401));
    std::fs::write(&token, "two").unwrap();
    until("the new token counts", async || status("two").await == 200).await;
    assert_eq!(status("one").await, 401);
}

#[tokio::test]
async fn an_admin_port_on_loopback_says_how_to_open_it() {
    let (program, ports) = Program::start(&["--origin", "http://127.0.0.1:9", "--admin", "[::]:0"]).await;
    assert!(ports["admin"].as_str().unwrap().starts_with("127.0.0.1:"), "{ports}");
    let log = || std::fs::read_to_string(program.1.path().join("log")).unwrap();
    until("it says so", async || log().contains("--admin-token-file")).await;
    let (_folder, token) = file("token");
    let (program, ports) =
        Program::start(&["--origin", "http://127.0.0.1:9", "--admin", "[::]:0", "--admin-token-file", &token]).await;
    assert!(!ports["admin"].as_str().unwrap().starts_with("127."), "{ports}");
    until("it serves", async || std::fs::read_to_string(program.1.path().join("log")).unwrap().contains("serving"))
        .await;
    assert!(!std::fs::read_to_string(program.1.path().join("log")).unwrap().contains("--admin-token-file"));
}

#[tokio::test]
async fn a_fifo_among_the_files_does_not_stop_the_others_from_being_read_again() {
    let groups = |name: &str| {
        format!(
            "version: 1\ngroups:\n- name: {name}\n  match: {{hosts: [h]}}\n  origin: {{url: \"http://127.0.0.1:9\"}}\n"
        )
    };
    let ((_folder, token), (_other, config)) = (file("one"), file(&groups("one")));
    let running = Running::start(&["--config", &config, "--admin-token-file", &token]).await;
    let fifo = |path: &str| {
        std::fs::remove_file(path).unwrap();
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    fifo(&token);
    std::fs::write(&config, groups("two")).unwrap();
    let ask = async |token: &str| {
        send(running.ports.admin, "GET", "/groups", &[("authorization", &format!("Bearer {token}"))], "").await
    };
    until("the groups are taken", async || ask("one").await.json()["groups"][0]["name"] == "two").await;
    fifo(&config);
    std::fs::remove_file(&token).unwrap();
    std::fs::write(&token, "two").unwrap();
    until("the token is taken", async || ask("two").await.status == 200).await;
    assert_eq!(ask("two").await.json()["groups"][0]["name"], "two");
}

#[tokio::test]
async fn requests_in_progress_end_before_the_coordinator_does() {
    let origin = Origin::start().await;
    let mut running = Running::start(&["--origin", &origin.url]).await;
    let ports = running.ports;
    let waiting = tokio::spawn(async move { get(ports.data, "/wait").await });
    until("the request is in progress", async || origin.asked.load(Ordering::SeqCst) == 1).await;
    running.stop();
    until("it says that it stops", async || get(ports.status, "/readyz").await.status == 503).await;
    assert_eq!(get(ports.data, "/a").await.status, 200, "other peers learn of the end later");
    assert!(!waiting.is_finished());
    origin.released.notify_one();
    assert_eq!(waiting.await.unwrap().body, "hello");
    running.ended().await;
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_the_end_up() {
    let mut running = Running::start(&["--origin", "http://127.0.0.1:9", "--drain-timeout", "1h"]).await;
    let idle = tokio::net::TcpStream::connect(running.ports.data).await.unwrap();
    until("it is accepted", async || running.metrics().await.contains("meshcache_connections{port=\"data\"} 1")).await;
    running.stop();
    running.ended().await;
    drop(idle);
}

/// The real program on free ports; killed when it goes out of scope.
struct Program(std::process::Child, tempfile::TempDir);

impl Program {
    async fn start(arguments: &[&str]) -> (Self, serde_json::Value) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ports.json");
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshcache-coordinator"));
        std::env::vars().filter(|(name, _)| name.starts_with("MESHCACHE_")).for_each(|(name, _)| {
            command.env_remove(name);
        });
        for port in ["--listen", "--admin", "--status", "--peer-listen"] {
            if !arguments.contains(&port) {
                command.args([port, "127.0.0.1:0"]);
            }
        }
        command
            .args(arguments)
            .arg("--ports-file")
            .arg(&file)
            .stderr(Stdio::from(std::fs::File::create(folder.path().join("log")).unwrap()))
            .process_group(0);
        let program = Self(command.spawn().unwrap(), folder);
        until("the ports file is there", async || file.exists()).await;
        let ports = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        (program, ports)
    }

    fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.0), signal).unwrap();
    }

    /// Waits for its exit status.
    async fn ended(&mut self) -> Option<i32> {
        until("it ends", async || self.0.try_wait().unwrap().is_some()).await;
        self.0.wait().unwrap().code()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.1.path().join("log")).unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn the_program_logs_its_ports_and_ends_with_success_on_sigterm() {
    let (mut program, ports) =
        Program::start(&["--origin", "http://127.0.0.1:9", "--log-format", "json", "--name", "me"]).await;
    let status = ports["status"].as_str().unwrap().parse().unwrap();
    assert_eq!(get(status, "/readyz").await.status, 200);
    program.signal(rustix::process::Signal::HUP);
    until("SIGHUP reads the groups again", async || program.log().contains("groups reloaded")).await;
    program.signal(rustix::process::Signal::TERM);
    assert_eq!(program.ended().await, Some(0), "{}", program.log());
    let log = program.log();
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect();
    let serving = lines.iter().find(|line| line["message"] == "serving").unwrap();
    assert_eq!(
        (&serving["name"], &serving["data"], &serving["groups"]),
        (&serde_json::json!("me"), &ports["data"], &serde_json::json!("default"))
    );
    assert_eq!(lines.last().unwrap()["message"], "stopped");
}

#[tokio::test]
async fn the_first_lines_say_where_page_metrics_and_data_are_and_the_first_miss_what_it_wants() {
    // A response without a word about freshness.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx").await;
        }
    });
    let (program, ports) = Program::start(&["--origin", &origin]).await;
    let [data, admin, status] = ["data", "admin", "status"].map(|port| ports[port].as_str().unwrap());
    for line in [
        format!("page: http://{admin}/ (this machine alone"),
        format!("metrics: http://{status}/metrics"),
        format!("data: http://{data}/ for"),
    ] {
        until("it says where its ports are", async || program.log().contains(&line)).await;
    }
    for path in ["/a?secret", "/b", "/a"] {
        assert_eq!(send(data.parse().unwrap(), "GET", path, &[("host", "shop.test")], "").await.status, 200);
    }
    let line = "default: /a said nothing about freshness: not stored; set freshness.default (meshcache why http://shop.test/a)";
    until("it says what the first miss wants", async || program.log().contains(line)).await;
    assert_eq!(program.log().matches("said nothing about freshness").count(), 1, "{}", program.log());
}

#[tokio::test]
async fn a_second_signal_ends_the_program_at_once() {
    let origin = Origin::start().await;
    let (mut program, ports) = Program::start(&["--origin", &origin.url, "--drain-timeout", "1h"]).await;
    let data = ports["data"].as_str().unwrap().parse().unwrap();
    let waiting = tokio::spawn(async move { get(data, "/wait").await });
    until("a request is in progress", async || origin.asked.load(Ordering::SeqCst) == 1).await;
    program.signal(rustix::process::Signal::INT);
    until("it drains", async || program.log().contains("stopping")).await;
    assert!(program.0.try_wait().unwrap().is_none());
    program.signal(rustix::process::Signal::INT);
    assert_eq!(program.ended().await, Some(1));
    waiting.abort();
}

/// The lines of the access log, as JSON.
fn access_lines(log: &str) -> Vec<serde_json::Value> {
    let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.filter(|line| line["message"] == "access").collect()
}

#[tokio::test]
async fn the_access_log_has_a_line_for_each_request_or_for_each_that_failed() {
    let origin = Origin::start().await;
    for which in ["all", "errors"] {
        let (mut program, ports) =
            Program::start(&["--origin", &origin.url, "--log-format", "json", "--access-log", which]).await;
        let data = ports["data"].as_str().unwrap().parse().unwrap();
        let trace = [("traceparent", "00-0000000000000000000000000000000a-000000000000000b-00"), ("host", "shop.test")];
        for path in ["/a?token=secret", "/a?token=secret"] {
            assert_eq!(send(data, "GET", path, &trace, "").await.status, 200);
        }
        assert_eq!(send(data, "GET", "/a", &[("cache-control", "only-if-cached")], "").await.status, 504);
        assert_eq!(send(data, "GET", "/b", &[("meshcache-wire", "99; group=default")], "").await.status, 204);
        program.signal(rustix::process::Signal::TERM);
        assert_eq!(program.ended().await, Some(0), "{}", program.log());
        let log = program.log();
        assert!(!log.contains("secret"), "{log}");
        let mut lines = access_lines(&log);
        if which == "errors" {
            assert_eq!(lines.len(), 1, "{lines:#?}");
            lines.drain(..).for_each(|line| assert_eq!(line["reason"], "only-if-cached"));
            continue;
        }
        let fields = ["method", "host", "path", "from", "group", "outcome", "reason", "status", "bytes", "trace_id"];
        let seen: Vec<_> = lines.iter().map(|line| fields.map(|field| line[field].clone())).collect();
        let id = "0000000000000000000000000000000a";
        let none = serde_json::Value::Null;
        assert_eq!(
            seen[0],
            [
                &json!("GET"),
                &json!("shop.test"),
                &json!("/a"),
                &json!("client"),
                &json!("default"),
                &json!("miss"),
                &none,
                &json!(200),
                &json!(5),
                &json!(id)
            ]
            .map(Clone::clone)
        );
        assert_eq!(seen[1][5], "hit");
        assert_eq!((&seen[2][5], &seen[2][6], &seen[2][7]), (&json!("error"), &json!("only-if-cached"), &json!(504)));
        assert_eq!((&seen[3][3], &seen[3][2]), (&json!("proxy"), &json!("/b")));
        assert_eq!(lines[0]["key"].as_str().map(str::len), Some(32));
        for line in &lines[..3] {
            assert!(line["head_ms"].as_f64().unwrap() <= line["whole_ms"].as_f64().unwrap(), "{line}");
        }
    }
}
