//! The Helm chart as people use it: what helm says, and the objects that it renders.

use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Output},
};

use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::artifact;

/// `HELM_BIN`, else what `scripts/setup chart` fetched.
pub fn helm() -> Command {
    Command::new(tool("HELM_BIN", ".tools/helm"))
}

/// `KUBECTL_BIN`, else what `scripts/setup chart` fetched.
pub fn kubectl() -> Command {
    Command::new(tool("KUBECTL_BIN", ".tools/kubectl"))
}

/// The folder of the chart.
pub fn folder() -> PathBuf {
    artifact::file("charts/meshcache")
}

/// Renders the chart with these values (YAML): helm's output, or why it refuses.
pub fn run(arguments: &[&str], values: &str) -> Result<String, String> {
    say(helm(), arguments, values)
}

fn say(mut helm: Command, arguments: &[&str], values: &str) -> Result<String, String> {
    let file = yaml(values);
    let (verb, rest) = arguments.split_first().expect("a verb of helm");
    let output = helm.arg(verb).args(rest).arg(folder()).arg("--values").arg(file.path()).output().unwrap();
    said(&output)
}

fn yaml(text: &str) -> NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

/// The objects of a release `cache` in the namespace `mesh`.
pub fn objects(values: &str) -> Result<Vec<Value>, String> {
    objects_in("mesh", values)
}

/// The objects of a release `cache` in a namespace.
pub fn objects_in(namespace: &str, values: &str) -> Result<Vec<Value>, String> {
    release("cache", namespace, &[], values)
}

/// The objects of any release. `more`: arguments of `helm template`.
pub fn release(name: &str, namespace: &str, more: &[&str], values: &str) -> Result<Vec<Value>, String> {
    let text = run(&[&["template", name, "--namespace", namespace], more].concat(), values)?;
    Ok(read(&text))
}

/// The objects of an upgrade of the release `cache` in the namespace `mesh` of the cluster whose API has this URL, in
/// which the chart may look things up.
pub fn upgraded(api: &str, values: &str) -> Result<Vec<Value>, String> {
    let cluster = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "c", "user": ""}}],
        "clusters": [{"name": "c", "cluster": {"server": api}}]});
    let config = yaml(&cluster.to_string());
    let mut helm = helm();
    helm.env("KUBECONFIG", config.path());
    Ok(read(&say(
        helm,
        &[
            "template",
            "cache",
            "--namespace",
            "mesh",
            "--is-upgrade",
            "--dry-run=server",
            "--disable-openapi-validation",
        ],
        values,
    )?))
}

/// Returns helm's notes after it has installed the release `cache` in the namespace `mesh`.
pub fn notes(values: &str) -> Result<String, String> {
    let said = run(&["install", "cache", "--namespace", "mesh", "--dry-run=client"], values)?;
    let (_, notes) = said.split_once("NOTES:\n").ok_or("no notes")?;
    Ok(notes.to_owned())
}

/// The objects in a YAML stream.
pub fn read(text: &str) -> Vec<Value> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

fn said(output: &Output) -> Result<String, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr) + &text(&output.stdout)) }
}

fn tool(variable: &str, fetched: &str) -> PathBuf {
    let path = std::env::var_os(variable).map_or_else(|| artifact::file(fetched), PathBuf::from);
    assert!(path.exists(), "{} is missing: run `scripts/setup chart`, or set {variable}", path.display());
    path
}
