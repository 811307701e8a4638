//! A Kubernetes API for a test, and Pods that are processes of this machine, at the addresses that the API has for
//! them.

use std::{
    io::Write,
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::chart;

/// The cluster that KUBECONFIG names, and one namespace in it. Dropping it removes the namespace.
pub struct Cluster {
    /// The namespace that is the test's own.
    pub namespace: String,
    folder: tempfile::TempDir,
}

impl Cluster {
    /// A namespace in the cluster, with these labels (`a=b`).
    pub fn namespace(stem: &str, labels: &[&str]) -> Cluster {
        assert!(std::env::var_os("KUBECONFIG").is_some(), "there is no cluster: run `make test-kube`");
        static NTH: AtomicUsize = AtomicUsize::new(0);
        let namespace = format!("{stem}-{}-{}", std::process::id(), NTH.fetch_add(1, Ordering::Relaxed));
        let cluster = Cluster { namespace, folder: tempfile::tempdir().unwrap() };
        cluster.kubectl(&["create", "namespace", &cluster.namespace]);
        // Without it the namespace takes no Pod. Controllers that have just lost their API server make it only when
        // they ask again.
        cluster.kubectl(&["wait", "--for=create", "serviceaccount/default", "--timeout=90s"]);
        for label in labels {
            cluster.kubectl(&["label", "namespace", &cluster.namespace, label]);
        }
        cluster
    }

    /// Returns the output of kubectl in this namespace; panics where it fails.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.try_kubectl(arguments, "").unwrap_or_else(|error| panic!("kubectl {}: {error}", arguments.join(" ")))
    }

    /// Returns the output of kubectl with this standard input. A warning of the API server is an error, too.
    pub fn try_kubectl(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        let mut command = chart::kubectl();
        command.arg("--namespace").arg(&self.namespace).args(arguments);
        let (stdout, stderr, success) = run(command, input);
        if success && !warns(&stderr) { Ok(stdout) } else { Err(format!("{stderr}{stdout}")) }
    }

    /// Applies objects on the server's side: unknown fields are errors, and so is a warning.
    pub fn apply(&self, objects: &[&Value], more: &[&str]) -> Result<String, String> {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        self.try_kubectl(
            &[&["apply", "--server-side", "--validate=strict", "-f", "-"], more].concat(),
            &list.to_string(),
        )
    }

    /// A kubeconfig with no more rights than this service account has.
    pub fn config_of(&self, account: &str) -> PathBuf {
        self.config(account, None)
    }

    /// A kubeconfig for clients that reach the API as Pods do, by its Service.
    pub fn config_in_pod(&self, account: &str) -> PathBuf {
        self.config(account, Some("https://kubernetes.default.svc"))
    }

    fn config(&self, account: &str, server: Option<&str>) -> PathBuf {
        let token = self.kubectl(&["create", "token", account, "--duration=1h"]);
        let mut config: Value =
            serde_json::from_str(&self.kubectl(&["config", "view", "--raw", "--minify", "--output=json"])).unwrap();
        if let Some(server) = server {
            config["clusters"][0]["cluster"]["server"] = server.into();
        }
        config["users"] = json!([{"name": "account", "user": {"token": token.trim()}}]);
        config["contexts"] = json!([{"name": "account", "context": {"cluster": config["clusters"][0]["name"], "user": "account", "namespace": self.namespace}}]);
        config["current-context"] = "account".into();
        let file = self.folder.path().join(format!("{account}.kubeconfig"));
        std::fs::write(&file, config.to_string()).unwrap();
        file
    }

    /// Makes Istio's kinds of objects known, as its own chart would.
    pub fn istio_kinds(&self) {
        let file = std::env::var_os("KUBE_CACHE")
            .map(|cache| PathBuf::from(cache).join("crd-all.gen.yaml"))
            .filter(|file| file.exists());
        if let Some(file) = file {
            self.kubectl(&["apply", "--server-side", "-f", file.to_str().unwrap()]);
        }
        self.kubectl(&[
            "wait",
            "--for=condition=Established",
            "crd/wasmplugins.extensions.istio.io",
            "crd/envoyfilters.networking.istio.io",
            "--timeout=60s",
        ]);
    }

    /// The arguments of a Pod's first container, whose ConfigMaps and Secrets are written to `folder` instead of where
    /// it has them.
    pub fn arguments(&self, spec: &Value, folder: &Path) -> Vec<String> {
        let container = &spec["containers"][0];
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let mut places = Vec::new();
        for volume in list(&spec["volumes"]) {
            let name = volume["name"].as_str().unwrap();
            let Some(mount) = list(&container["volumeMounts"]).into_iter().find(|mount| mount["name"] == name) else {
                continue;
            };
            let at = folder.join(name);
            std::fs::create_dir_all(&at).unwrap();
            let (kind, object) = match (volume["configMap"]["name"].as_str(), volume["secret"]["secretName"].as_str()) {
                (Some(name), _) => ("configmap", name),
                (None, Some(name)) => ("secret", name),
                (None, None) => continue,
            };
            let data = self.object(kind, object).unwrap_or_default();
            for (file, text) in data["data"].as_object().into_iter().flatten() {
                let text = text.as_str().unwrap();
                let text = if kind == "secret" { base64(text) } else { text.as_bytes().to_vec() };
                std::fs::write(at.join(file), text).unwrap();
            }
            places.push((mount["mountPath"].as_str().unwrap().to_owned(), at.to_str().unwrap().to_owned()));
        }
        let there = |argument: &Value| {
            places.iter().fold(argument.as_str().unwrap().to_owned(), |text, (from, to)| text.replace(from, to))
        };
        list(&container["args"]).iter().map(there).collect()
    }

    /// A folder that goes away with the namespace.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Creates a Pod that is at an address of this machine, not ready.
    pub fn pod(&self, name: &str, labels: &Value, address: IpAddr) {
        self.pod_of("default", name, labels, address);
    }

    /// Starts one with a service account of its own.
    pub fn pod_of(&self, account: &str, name: &str, labels: &Value, address: IpAddr) {
        // By these names the Service finds its ports: where a Pod lacks one, it has no endpoint.
        let ports = [("http2", 8080), ("http-admin", 8081), ("http-status", 8082), ("tcp-peer", 8083)]
            .map(|(name, port)| json!({"name": name, "containerPort": port}));
        let spec = json!({"nodeName": "node", "serviceAccountName": account, "containers": [{"name": "c", "image": "none", "ports": ports}]});
        let pod =
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec});
        self.apply(&[&pod], &[]).unwrap();
        self.ready(name, address, false);
    }

    /// Gives a Pod that a controller made to the node, as a scheduler would.
    pub fn bind(&self, name: &str) {
        let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": {"apiVersion": "v1", "kind": "Node", "name": "node"}});
        let path = format!("/api/v1/namespaces/{}/pods/{name}/binding", self.namespace);
        self.try_kubectl(&["create", "--raw", &path, "-f", "-"], &binding.to_string()).unwrap();
    }

    /// An object as the API has it, if it has it.
    pub fn object(&self, kind: &str, name: &str) -> Option<Value> {
        let said = self.try_kubectl(&["get", kind, name, "--output=json", "--ignore-not-found"], "").ok()?;
        serde_json::from_str(&said).ok()
    }

    /// Says whether a Pod is ready, as its kubelet would.
    pub fn ready(&self, name: &str, address: IpAddr, ready: bool) {
        let condition = json!({"type": "Ready", "status": if ready { "True" } else { "False" }});
        let status = json!({"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": [condition]}});
        self.kubectl(&["patch", "pod", name, "--subresource=status", "--type=merge", "--patch", &status.to_string()]);
    }

    /// Removes a Pod at once.
    pub fn remove(&self, name: &str) {
        // kubectl warns that the process is not waited for, which is intended here.
        let mut command = chart::kubectl();
        command.args([
            "--namespace",
            &self.namespace,
            "delete",
            "pod",
            name,
            "--grace-period=0",
            "--force",
            "--wait=false",
        ]);
        let (_, stderr, success) = run(command, "");
        assert!(success, "{stderr}");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut command = chart::kubectl();
        command.args(["delete", "namespace", &self.namespace, "--wait=false"]);
        run(command, "");
    }
}

/// Whether the API server warned of anything; but Istio says of every EnvoyFilter that it is one. kubectl begins such a
/// line with the word; helm has it logged, among other lines with that word which are only about its own watches that
/// end.
pub(crate) fn warns(said: &str) -> bool {
    let is_one =
        |line: &str| line.starts_with("Warning:") || line.contains("warnings.go:") || line.contains("would violate");
    said.lines().any(|line| is_one(line) && !line.contains("EnvoyFilter exposes internal implementation details"))
}

/// Whether addresses of Pods can be this machine's own: where `tests/kube/run` made a network for that.
pub fn network() -> Option<String> {
    std::env::var("KUBE_NETWORK").ok()
}

/// Whether tests with Pods that answer can run here. If not, it says so.
pub fn can_run() -> bool {
    if network().is_none() {
        eprintln!("left out: the addresses of this cluster's Pods are not this machine's");
    }
    network().is_some()
}

/// An address of this machine of the sixth version, where it has one.
pub fn network6() -> Option<IpAddr> {
    std::env::var("KUBE_NETWORK6").ok().map(|address| address.parse().unwrap())
}

/// Stops the API server, or starts it again. Only that which `tests/kube/up` runs.
pub fn api_server(runs: bool) {
    let up =
        std::env::var("KUBE_UP").ok().and_then(|pid| Pid::from_raw(pid.parse().ok()?)).expect("KUBE_UP: tests/kube/up");
    kill_process(up, if runs { Signal::USR2 } else { Signal::USR1 }).unwrap();
}

/// Encodes the data of a Secret as the API has it.
fn base64(text: &str) -> Vec<u8> {
    let mut command = Command::new("base64");
    command.arg("--decode");
    let (said, error, success) = run(command, text);
    assert!(success, "{error}");
    said.into_bytes()
}

pub(crate) fn run(mut command: Command, input: &str) -> (String, String, bool) {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.success())
}
