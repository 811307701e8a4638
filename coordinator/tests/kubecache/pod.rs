//! A pod: the program in kubecache's mode.

use crate::{
    plane::{Origin, Seen},
    support::{Reply, get, until},
};
use serde_json::Value;
use std::{
    net::SocketAddr,
    process::{Command, Stdio},
};

/// A pod: the real program, killed when it goes out of scope.
pub(crate) struct Pod {
    pub(crate) process: std::process::Child,
    folder: tempfile::TempDir,
    pub(crate) ports: Value,
}

pub(crate) fn program(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshcache-coordinator"));
    command.arg("kubecache").env_clear().envs(variables.iter().copied());
    command
}

impl Pod {
    pub(crate) async fn start(variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ports.json");
        let mut command = program(&[
            ("LISTEN_ADDR", "127.0.0.1:0"),
            ("HEALTH_ADDR", "127.0.0.1:0"),
            ("METRICS_ADDR", "127.0.0.1:0"),
            ("GROUPCACHE_PORT", ":0"),
            ("MESHCACHE_ADMIN", "127.0.0.1:0"),
            ("MESHCACHE_STATUS", "127.0.0.1:0"),
        ]);
        command.envs(variables.iter().copied()).env("MESHCACHE_PORTS_FILE", &file);
        let process =
            command.stderr(Stdio::from(std::fs::File::create(folder.path().join("log")).unwrap())).spawn().unwrap();
        let mut pod = Self { process, folder, ports: Value::Null };
        until("the ports file is there", async || {
            assert!(pod.process.try_wait().unwrap().is_none(), "{}", pod.log());
            file.exists()
        })
        .await;
        pod.ports = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        pod
    }

    pub(crate) async fn before(origin: &Origin, variables: &[(&str, &str)]) -> Self {
        let url = origin.url();
        Self::start(&[&[("BACKEND_URL", url.as_str())], variables].concat()).await
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    pub(crate) fn port(&self, name: &str) -> SocketAddr {
        let address: SocketAddr =
            self.ports[name].as_str().unwrap_or_else(|| panic!("{name}: {}", self.ports)).parse().unwrap();
        // The peer port listens everywhere.
        SocketAddr::from(([127, 0, 0, 1], address.port()))
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        get(self.port("data"), path).await
    }

    pub(crate) async fn metrics(&self) -> String {
        get(self.port("metrics"), "/metrics").await.body
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Answers with what came: method, target, names of fields, and the body.
pub(crate) fn echo(seen: &Seen) -> String {
    let names: Vec<&str> = seen.headers.keys().map(http::HeaderName::as_str).collect();
    format!("{} {} [{}] {}", seen.method, seen.target, names.join(" "), String::from_utf8_lossy(&seen.body))
}

/// Seconds for which a response from the cache is fresh, by Cache-Status.
pub(crate) fn ttl(reply: &Reply) -> u64 {
    let status = reply.header("cache-status");
    let ttl = status.split("ttl=").nth(1).unwrap_or_else(|| panic!("not from the cache: {reply:?}"));
    ttl.split(';').next().unwrap().parse().unwrap()
}
