//! The examples as programs of somebody else, outside of the workspace.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
};

/// Ends with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_examples_run_as_programs_outside_of_the_workspace() {
    let library = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (folder, workspace) = (tempfile::tempdir().unwrap(), library.parent().unwrap());
    let manifest = format!(
        r#"[package]
name = "stranger"
version = "1.0.0"
edition = "2024"

[dependencies]
meshcache = {{ path = "{}" }}
axum = {{ version = "0.8", default-features = false, features = ["http1", "http2", "tokio"] }}
tokio = {{ version = "1", features = ["macros", "net", "rt-multi-thread", "signal"] }}

[workspace]

# As in the workspace: else not one dependency could be used again.
[profile.dev]
debug = "line-tables-only"
"#,
        library.display()
    );
    std::fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
    // The versions that are here already.
    std::fs::copy(workspace.join("Cargo.lock"), folder.path().join("Cargo.lock")).unwrap();
    std::fs::create_dir_all(folder.path().join("src/bin")).unwrap();
    for example in ["thumbnails.rs", "axum.rs"] {
        std::fs::copy(library.join("examples").join(example), folder.path().join("src/bin").join(example)).unwrap();
    }
    // What others have compiled of the dependencies is used again.
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), Into::into);
    let cargo = |arguments: &[&str]| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(folder.path()).env("CARGO_TARGET_DIR", &target).arg("--offline").args(arguments);
        cargo
    };
    assert!(cargo(&["build", "--bins"]).status().unwrap().success());
    let output = cargo(&["run", "--quiet", "--bin", "thumbnails"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let count = |part: &str| text.lines().filter(|line| line.contains(part)).count();
    assert_eq!(
        (count("draws cat.jpg"), count("has a small cat.jpg"), count("no notes.txt: not found")),
        (1, 3, 3),
        "{text}"
    );
    assert_eq!((count("removed 2"), count("a new cat")), (1, 3), "{text}");

    let server = Command::new(target.join("debug/axum")).stdout(Stdio::piped()).spawn().unwrap();
    let mut server = Running(server);
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let (address, path) = line.trim().strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut client = TcpStream::connect(address).unwrap();
    write!(client, "GET /{path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("a small cat.jpg"), "{answer}");
}
