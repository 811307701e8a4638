//! A coordinator in a cluster, found and reached through the Kubernetes API.

mod choice;
mod forward;
mod refusal;

pub(super) use forward::Forward;

use crate::{
    failed::{Failed, NoAnswer, chain},
    output::told,
    server::{address::Address, flags::ServerFlags},
};
use choice::Choice;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{
    Api, Client, Config,
    api::ListParams,
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use refusal::{refused, unmade};
use std::{
    io::{self, IsTerminal},
    path::Path,
    time::Duration,
};
use tokio::time::timeout;

/// How long the API may take for all of it.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long connecting to it may take.
const CONNECT: Duration = Duration::from_secs(5);
/// The labels by which the chart marks coordinators' Pods.
const LABELS: &str = "app.kubernetes.io/component=coordinator";
/// The key of the administrators' tokens in the chart's Secret.
const ADMIN: &str = "admin";

/// Finds the release's coordinators, and the token for them if none is given.
pub(super) async fn find(flags: &ServerFlags, token: Option<String>) -> Result<(Forward, Option<String>), Failed> {
    match timeout(PATIENCE, found(flags, token)).await {
        Ok(found) => found,
        Err(_) => Err(NoAnswer::new(format!("the Kubernetes API gave no answer in {} s", PATIENCE.as_secs())).into()),
    }
}

async fn found(flags: &ServerFlags, token: Option<String>) -> Result<(Forward, Option<String>), Failed> {
    let (config, context) = config(flags).await?;
    let namespace = flags.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let client = Client::try_from(config)
        .map_err(|error| NoAnswer::new(format!("no client for the Kubernetes API: {}", unmade(&error))))?;
    let place = format!("namespace {namespace} ({context})");
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let listed = pods
        .list(&ListParams::default().labels(LABELS))
        .await
        .map_err(|error| refused(&error, "list", "pods", &namespace, "--admin HOST:PORT names a server without it"))?;
    let Choice { release, pods: ready, port, secret } = choice::choose(&listed.items, flags.release.as_deref())
        .map_err(|why| NoAnswer::new(format!("{place}: {why}")))?;
    let token = match (token, secret) {
        (None, Some(name)) => Some(token_of(&Api::namespaced(client, &namespace), &name, &namespace).await?),
        (token, _) => token,
    };
    if io::stderr().is_terminal() {
        told(&format!("asks release {release} in {place}"));
    }
    Ok((Forward::new(pods, namespace, ready, port), token))
}

/// The configuration of a client, and what it is called.
async fn config(flags: &ServerFlags) -> Result<(Config, String), Failed> {
    let has_kubeconfig = flags.has_kubeconfig(std::env::var_os("KUBECONFIG"), std::env::home_dir());
    let (mut config, name) = match Config::incluster_env() {
        Ok(config) if !has_kubeconfig => (config, "this Pod's cluster".to_owned()),
        _ => kubeconfig(flags).await?,
    };
    config.connect_timeout = Some(CONNECT);
    // Requests that are told as they end may be silent for long.
    config.read_timeout = None;
    Ok((config, name))
}

async fn kubeconfig(flags: &ServerFlags) -> Result<(Config, String), Failed> {
    let read = flags.kubeconfig.as_deref().map_or_else(Kubeconfig::read, |path: &Path| Kubeconfig::read_from(path));
    let file = read.map_err(|error| no_kubeconfig(&error, flags))?;
    let context = flags.context.clone().or_else(|| file.current_context.clone()).unwrap_or_default();
    if !file.contexts.iter().any(|known| known.name == context) {
        let names: Vec<&str> = file.contexts.iter().map(|known| known.name.as_str()).collect();
        let why = if context.is_empty() {
            "has no current context".to_owned()
        } else {
            format!("has no context `{context}`")
        };
        return Err(Failed::Flags(format!("the kubeconfig {why}: --context names one of: {}", names.join(", "))));
    }
    let options = KubeConfigOptions { context: Some(context.clone()), ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(file, &options).await.map_err(|error| no_kubeconfig(&error, flags))?;
    Ok((config, format!("context {context}")))
}

fn no_kubeconfig(error: &KubeconfigError, flags: &ServerFlags) -> Failed {
    let why = chain(error);
    NoAnswer::new(if flags.is_of_cluster() {
        format!("kubeconfig: {why}")
    } else {
        format!(
            "no server: nobody listens at {}, and there is no kubeconfig ({why}); --admin HOST:PORT names one",
            Address::local()
        )
    })
    .into()
}

async fn token_of(secrets: &Api<Secret>, name: &str, namespace: &str) -> Result<String, Failed> {
    let help = "--admin-token-file FILE has the token without it";
    let secret =
        secrets.get(name).await.map_err(|error| refused(&error, "get", &format!("secrets/{name}"), namespace, help))?;
    let text = secret.data.unwrap_or_default().remove(ADMIN).map(|bytes| bytes.0).unwrap_or_default();
    let line = String::from_utf8_lossy(&text).lines().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned);
    line.ok_or_else(|| {
        NoAnswer::new(format!("Secret {name} in {namespace} has no token under `{ADMIN}`: {help}")).into()
    })
}
