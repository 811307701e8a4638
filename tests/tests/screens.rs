//! `why`, `top`, `tail` and `stat` as people and programs see them: the real program in a terminal or behind a pipe,
//! before real coordinators.
//!
//! `UPDATE=1` writes docs/pictures/ anew from what these tests see.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdout, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use meshcache_tests::{
    Ask, Coordinators, Groups, Origin, Reply, Shared, Terminal, artifact,
    process::{Signal, ending},
    run,
    wait::{SOON, await_some},
};
use rustix::process::{Pid, kill_process};
use serde_json::{Value, json};

const HOT: &str = "/develop/app.yaml";
const PRIVATE: &str = "/cart";

/// Three coordinators in front of one service, which people ask all the time.
struct Scene {
    coordinators: Coordinators,
    _origin: Origin,
}

static SCENE: Shared<Scene> = Shared::new();

impl Scene {
    async fn set(coordinators: usize) -> Scene {
        let origin = Origin::start().await;
        origin.always("*", Reply::fresh(60, "x".repeat(1200)));
        origin.always(PRIVATE, Reply::ok("mine").header("cache-control", "private"));
        let group =
            |name: &str, host: &str| json!({"name": name, "match": {"hosts": [host]}, "origin": {"url": origin.url()}});
        let groups =
            Groups { document: json!({"groups": [group("config", "config.test"), group("shop", "shop.test")]}) };
        Scene { coordinators: Coordinators::start(coordinators, &groups.yaml(), &[]).await, _origin: origin }
    }

    async fn shared() -> Arc<Scene> {
        SCENE.get(async || Scene::set(3).await).await
    }

    /// The program with what it needs to find the first coordinator.
    fn tool(&self, arguments: &[&str]) -> Command {
        let admin = self.coordinators.all[0].ports.admin.to_string();
        let mut command = tool(arguments);
        command.args(["--admin", &admin, "--admin-token-file", &self.coordinators.file("admin-token")]);
        command
    }

    /// People ask until this is dropped: mostly for one thing.
    fn people(&self) -> People {
        let to = self.coordinators.all[0].ports.data;
        People(tokio::spawn(async move {
            let mut every = tokio::time::interval(Duration::from_millis(20));
            for number in 0_u64.. {
                every.tick().await;
                let (host, path) = match number % 10 {
                    0 => ("shop.test", PRIVATE.to_owned()),
                    1 => ("config.test", format!("/develop/{}.yaml", number % 70)),
                    _ => ("config.test", HOT.to_owned()),
                };
                // A server that starts anew has no answer for a moment.
                let _ = Ask::get(host, &path).send(to).await;
            }
        }))
    }
}

struct People(tokio::task::JoinHandle<()>);

impl Drop for People {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The program without the variables of a developer's own shell.
fn tool(arguments: &[&str]) -> Command {
    let mut command = Command::new(artifact::coordinator());
    let ours =
        std::env::vars_os().map(|(name, _)| name).filter(|name| name.to_string_lossy().starts_with("MESHCACHE_"));
    ours.for_each(|name| drop(command.env_remove(name)));
    command.env_remove("NO_COLOR").args(arguments);
    command
}

/// Runs it behind a pipe to its end: its status, and what it wrote to standard output and to standard error.
async fn piped(mut command: Command) -> (i32, String, String) {
    let output = tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).output().unwrap()).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().expect("it ends by itself"), text(&output.stdout), text(&output.stderr))
}

/// Writes a picture for docs/, when that is wanted.
fn keep_picture(name: &str, terminal: &Terminal) {
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(artifact::file("docs/pictures")).unwrap();
        std::fs::write(artifact::file(&format!("docs/pictures/{name}.svg")), terminal.picture()).unwrap();
    }
}

#[test]
fn stat_shows_the_mesh_and_q_gives_the_terminal_back() {
    run(async {
        let scene = Scene::shared().await;
        let _people = scene.people();
        let mut terminal = Terminal::start(scene.tool(&["stat"]), 80, 24);
        terminal.shows("3 coordinators").await;
        assert!(terminal.is_full_screen() && !terminal.is_as_before());
        let is_asked = |row: &String| {
            row.starts_with("requests") && row.split_whitespace().nth(1).is_some_and(|now| now != "-" && now != "0.0")
        };
        let rows = terminal.sees("requests a second", |rows| rows.iter().any(is_asked)).await;
        assert!(rows[1].starts_with("saved ") && rows[1].contains(" requests"), "{rows:#?}");
        assert!(rows.iter().any(|row| row.starts_with("peer-2") && row.contains("yes")), "{rows:#?}");
        terminal
            .sees("an average", |rows| {
                rows.iter().any(|row| row.starts_with("  saved") && row.matches('%').count() == 4)
            })
            .await;
        keep_picture("stat", &terminal);
        terminal.press("q");
        let status = terminal.exit().await;
        assert!(status.success() && terminal.is_as_before(), "{}", ending(status));
    });
}

#[test]
fn a_signal_and_ctrl_c_give_the_terminal_back_too() {
    run(async {
        let scene = Scene::shared().await;
        for end in ["TERM", "HUP", "ctrl-c"] {
            let mut terminal = Terminal::start(scene.tool(&["stat"]), 80, 24);
            terminal.shows("3 coordinators").await;
            match end {
                "TERM" => terminal.signal(Signal::TERM),
                "HUP" => terminal.signal(Signal::HUP),
                _ => terminal.press("\u{3}"),
            }
            let status = terminal.exit().await;
            assert!(status.success() && terminal.is_as_before(), "{end}: {}", ending(status));
        }
    });
}

#[test]
fn a_window_that_changes_its_size_is_drawn_anew() {
    run(async {
        let scene = Scene::shared().await;
        let terminal = Terminal::start(scene.tool(&["stat"]), 80, 24);
        terminal.sees("keys in the last row", |rows| rows[23].starts_with("q quit")).await;
        terminal.resize(60, 12);
        terminal.sees("keys in the last row of fewer", |rows| rows.len() == 12 && rows[11].starts_with("q quit")).await;
        terminal.resize(120, 40);
        terminal.sees("keys in the last row of more", |rows| rows.len() == 40 && rows[39].starts_with("q quit")).await;
    });
}

#[test]
fn no_color_is_heard_in_full_screens_too() {
    run(async {
        let scene = Scene::shared().await;
        let green = "fill=\"#8fd16f\"";
        let coloured = Terminal::start(scene.tool(&["stat"]), 80, 24);
        coloured.sees("the lease", |rows| rows.iter().any(|row| row.contains("yes"))).await;
        assert!(coloured.picture().contains(green));
        let mut tool = scene.tool(&["stat"]);
        tool.env("NO_COLOR", "1");
        let pale = Terminal::start(tool, 80, 24);
        pale.sees("the lease", |rows| rows.iter().any(|row| row.contains("yes"))).await;
        assert!(!pale.picture().contains(green));
    });
}

#[test]
fn behind_a_pipe_stat_is_a_block_or_an_object() {
    run(async {
        let scene = Scene::shared().await;
        Ask::get("config.test", HOT).send(scene.coordinators.all[0].ports.data).await.unwrap();
        let (status, text, _) = piped(scene.tool(&["stat", "--every", "500ms"])).await;
        assert_eq!(status, 0, "{text}");
        assert!(text.starts_with("saved ") && text.contains("\npeer-0 ") && !text.contains('\u{1b}'), "{text}");
        let (_, text, _) =
            piped(scene.tool(&["stat", "--every", "500ms", "-n", "2", "-o", "json", "--group", "config"])).await;
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(lines.len() == 2 && lines[1]["counts"]["requests"].as_f64() >= Some(1.0), "{text}");
        let (status, _, why) = piped(scene.tool(&["stat", "--group", "nope"])).await;
        assert!(status == 2 && why.contains("no group `nope`"), "{status} {why}");
    });
}

#[test]
fn top_shows_what_is_asked_for_most_and_sorts_filters_and_pauses() {
    run(async {
        let scene = Scene::shared().await;
        let _people = scene.people();
        let mut terminal = Terminal::start(scene.tool(&["top"]), 100, 24);
        let is_hot = |row: &String| row.contains("config.test") && row.ends_with(HOT);
        let rows = terminal
            .sees("the hot key first", |rows| {
                rows.iter().position(is_hot).is_some_and(|at| rows[at - 1].contains("REQ/S"))
            })
            .await;
        assert!(rows[1].starts_with("saved "), "{rows:#?}");
        terminal
            .sees("rates", |rows| rows[2].contains("requests/s") && rows.iter().any(|row| row.ends_with(PRIVATE)))
            .await;
        keep_picture("top", &terminal);
        terminal.press("/cart\r");
        terminal
            .sees("the filtered row alone", |rows| {
                !rows.iter().any(is_hot) && rows.iter().any(|row| row.ends_with(PRIVATE))
            })
            .await;
        terminal.press("\u{1b}");
        terminal.shows(HOT).await;
        terminal.press("\t");
        terminal
            .sees("groups", |rows| {
                rows.iter().any(|row| row.ends_with(" config")) && rows.iter().any(|row| row.ends_with(" shop"))
            })
            .await;
        terminal.press("3");
        terminal.sees("reasons", |rows| rows.iter().any(|row| row.contains("shop private"))).await;
        terminal.press(" ");
        terminal.shows("paused").await;
        terminal.press("q");
        assert!(terminal.exit().await.success() && terminal.is_as_before());
    });
}

#[test]
fn behind_a_pipe_top_is_one_table() {
    run(async {
        let scene = Scene::shared().await;
        let _people = scene.people();
        let (status, text, why) = piped(scene.tool(&["top", "--by", "keys"])).await;
        assert_eq!(status, 0, "{text}{why}");
        assert!(
            text.lines().any(|line| line.contains("REQ/S")) && text.contains(HOT) && !text.contains('\u{1b}'),
            "{text}"
        );
        let (_, text, _) = piped(scene.tool(&["top", "--by", "groups", "-o", "json"])).await;
        let top: Value = serde_json::from_str(&text).unwrap();
        assert!(top["rows"].as_array().unwrap().iter().any(|row| row["name"] == "config"), "{text}");
    });
}

/// A program that runs behind a pipe.
struct Following {
    child: Child,
    lines: Option<BufReader<ChildStdout>>,
}

impl Following {
    fn start(mut command: Command) -> Following {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = Some(BufReader::new(child.stdout.take().unwrap()));
        Following { child, lines }
    }

    /// The next line of standard output.
    fn line(&mut self) -> String {
        let mut line = String::new();
        tokio::task::block_in_place(|| self.lines.as_mut().unwrap().read_line(&mut line).unwrap());
        line
    }

    /// The status at its end, and what it wrote to standard error.
    async fn end(mut self) -> (Option<i32>, String) {
        let status = await_some(|| self.child.try_wait().unwrap(), SOON).await.expect("it ends");
        let mut errors = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        (status.code(), errors)
    }

    /// Ends it as Ctrl-C does.
    async fn interrupted(self) -> (Option<i32>, String) {
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

#[test]
fn tail_prints_a_line_for_each_request_that_fits() {
    run(async {
        let scene = Scene::shared().await;
        let _people = scene.people();
        let mut tail = Following::start(scene.tool(&["tail", "--group", "shop", "--reason", "private"]));
        let line = tail.line();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert!(words.len() > 8 && words[1] == "200" && words[2] == "pass" && words[3] == "private", "{line}");
        assert!(line.ends_with(" shop           GET shop.test/cart\n") && !line.contains('\u{1b}'), "{line}");
        let (status, errors) = tail.interrupted().await;
        assert!(status == Some(0) && errors.is_empty(), "{status:?} {errors}");
        let mut json = Following::start(scene.tool(&["tail", "--path", "/develop/", "-o", "json"]));
        let ended: Value = serde_json::from_str(&json.line()).unwrap();
        assert!(ended["group"] == "config" && ended["status"] == 200, "{ended}");
    });
}

#[test]
fn a_reader_that_has_enough_of_tail_is_no_failure() {
    run(async {
        let scene = Scene::shared().await;
        let _people = scene.people();
        let mut tail = Following::start(scene.tool(&["tail"]));
        tail.line();
        // As `| head -1` does.
        drop(tail.lines.take());
        let (status, errors) = tail.end().await;
        assert!(status == Some(0) && errors.is_empty(), "{status:?} {errors}");
    });
}

#[test]
fn tail_goes_on_when_the_server_starts_anew_and_says_so() {
    run(async {
        let mut scene = Scene::set(1).await;
        let _people = scene.people();
        let mut tail = Following::start(scene.tool(&["tail", "--path", HOT]));
        assert!(tail.line().ends_with("config.test/develop/app.yaml\n"));
        scene.coordinators.restart(0).await;
        // What it had of the old one comes first.
        let mut is_back = false;
        while !is_back {
            is_back = tail.line().contains(" miss ");
        }
        let (status, errors) = tail.interrupted().await;
        assert_eq!(status, Some(0), "{errors}");
        let [gone, back] = errors.lines().collect::<Vec<_>>()[..] else { panic!("{errors}") };
        assert!(gone.ends_with("; asking again") && back.ends_with(" answers again"), "{errors}");
    });
}

#[test]
fn a_tool_whose_server_is_not_there_says_so_in_one_line() {
    run(async {
        for command in [&["top"][..], &["tail"], &["stat"], &["why", "http://config.test/"]] {
            let (status, text, why) = piped(tool(&[command, &["--admin", "127.0.0.1:1"]].concat())).await;
            let expected = if command[0] == "why" { 3 } else { 1 };
            assert!(
                status == expected && text.is_empty() && why.lines().count() == 1,
                "{command:?} {status} {text} {why}"
            );
            assert!(why.contains("127.0.0.1:1"), "{why}");
        }
    });
}

#[test]
fn why_tells_the_reason_and_its_status_says_whether_the_cache_answers() {
    run(async {
        let scene = Scene::shared().await;
        let to = scene.coordinators.all[0].ports.data;
        for (host, path) in [("shop.test", PRIVATE), ("config.test", HOT)] {
            Ask::get(host, path).send(to).await.unwrap();
        }
        let (status, text, errors) = piped(scene.tool(&["why", "http://shop.test/cart"])).await;
        assert!(status == 1 && text.lines().next().unwrap().contains("private"), "{status} {text} {errors}");
        assert!(
            text.contains("the origin said 200, cache-control: private") && text.contains("group     shop"),
            "{text}"
        );
        let (status, text, _) = piped(scene.tool(&["why", "http://config.test/develop/app.yaml"])).await;
        assert!(status == 0 && text.contains("fresh for ") && text.contains("max-age"), "{status} {text}");
        let (_, text, _) = piped(scene.tool(&["why", "http://shop.test/cart", "-o", "json"])).await;
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["group"], "shop");
        let (status, _, why) = piped(scene.tool(&["why", "shop.test/cart"])).await;
        assert!(status == 2 && why.starts_with("URL: write http[s]://"), "{status} {why}");
    });
}

#[test]
fn in_a_terminal_why_has_colours_and_leaves_its_answer_there() {
    run(async {
        let scene = Scene::shared().await;
        let mut probe = Terminal::start(scene.tool(&["why", "http://shop.test/cart", "--probe"]), 100, 50);
        assert_eq!(probe.exit().await.code(), Some(1));
        probe.sees("the hops", |rows| rows.iter().any(|row| row.starts_with("probe  "))).await;
        assert!(probe.is_as_before() && probe.picture().contains("fill=\"#ff6b6b\""));
        keep_picture("why", &probe);
    });
}
