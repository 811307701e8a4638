//! What the chart's hooks do: make the tokens, and put the filter on proxies after the coordinators have it.

use crate::{
    clock,
    config::service_ref::ServiceRef,
    http::get,
    kube::{
        client,
        endpoint_slices::{is_ready, port},
    },
};
use k8s_openapi::{
    ByteString,
    api::{core::v1::Secret, discovery::v1::EndpointSlice},
};
use kube::{
    Api, Client, Error, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
};
use serde_json::Value;
use std::{collections::BTreeMap, net::SocketAddr, path::Path, time::Duration};
use tokio::time::{Instant, sleep};

/// What stands in a plugin for the digest of the module.
const DIGEST: &str = "SHA256";
/// When a plugin was last attached, Unix milliseconds. Istio's agents give up on a module that they could not fetch,
/// and try again only when a plugin changes; of annotations, some versions of Istio look only at those that have its
/// name.
const ATTACHED: &str = "meshcache.istio.io/attached";
/// What helm writes on what is a release's own.
const RELEASE: [&str; 2] = ["meta.helm.sh/release-name", "meta.helm.sh/release-namespace"];
/// How often coordinators are asked whether they have the module.
const AGAIN: Duration = Duration::from_secs(2);

/// Makes a Secret with new tokens, unless there is one. Whether it was made.
pub async fn create_tokens(secret: &ServiceRef) -> Result<bool, String> {
    let (client, namespace) = client(secret.namespace.as_deref()).await?;
    let mut made = Secret::default();
    made.metadata.name = Some(secret.name.clone());
    made.metadata.labels = Some(BTreeMap::from([("app.kubernetes.io/part-of".to_owned(), "meshcache".to_owned())]));
    made.data = Some(BTreeMap::from([("peer".to_owned(), token()?), ("admin".to_owned(), token()?)]));
    match Api::<Secret>::namespaced(client, &namespace).create(&PostParams::default(), &made).await {
        Ok(_) => Ok(true),
        Err(Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(failed("create", secret, &error)),
    }
}

/// Removes the Secret that `create_tokens` made. Whether there was one.
pub async fn delete_tokens(secret: &ServiceRef) -> Result<bool, String> {
    let (client, namespace) = client(secret.namespace.as_deref()).await?;
    match Api::<Secret>::namespaced(client, &namespace).delete(&secret.name, &DeleteParams::default()).await {
        Ok(_) => Ok(true),
        Err(Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(failed("delete", secret, &error)),
    }
}

/// Puts the filter on proxies: waits until every ready coordinator serves the module with this digest, then applies
/// each plugin. The plugins' names.
pub async fn attach(
    plugins: &Path,
    service: &ServiceRef,
    digest: &str,
    patience: Duration,
) -> Result<Vec<String>, String> {
    let plugins = read(plugins)?;
    let (client, namespace) = client(service.namespace.as_deref()).await?;
    let end = Instant::now() + patience;
    while let Err(why) = all_serve(&client, &namespace, service, digest).await {
        if Instant::now() >= end {
            return Err(format!("the filter was not attached: {why}"));
        }
        tracing::info!(why, "waiting");
        sleep(AGAIN).await;
    }
    let mut done = Vec::new();
    for plugin in plugins.into_iter().map(|plugin| stamped(with_digest(plugin, digest), clock::wall())) {
        let at = place(&plugin);
        let api = api(&client, &plugin);
        if let Some(whose) = foreign(&api, &plugin).await.map_err(|error| failed("read WasmPlugin", &at, &error))? {
            return Err(format!(
                "WasmPlugin {at} belongs to somebody else ({whose}): it is left as it is; give the entry of istio.attach another name"
            ));
        }
        let parameters = PatchParams::apply("meshcache").force();
        api.patch(&plugin.name_any(), &parameters, &Patch::Apply(&plugin))
            .await
            .map_err(|error| failed("apply WasmPlugin", &at, &error))?;
        done.push(at);
    }
    Ok(done)
}

/// Takes the filter off proxies: removes each plugin that is not to be kept. The names of those that were there. One
/// that is somebody else's stays; one that cannot be removed keeps no other from being.
pub async fn detach(plugins: &Path, keep: &[String]) -> Result<Vec<String>, String> {
    // The first release, or one without plugins, leaves no file.
    let plugins = if plugins.exists() { read(plugins)? } else { Vec::new() };
    let mut done = Vec::new();
    let gone: Vec<_> = plugins.into_iter().filter(|plugin| !keep.contains(&place(plugin))).collect();
    if gone.is_empty() {
        return Ok(done);
    }
    let (client, _) = client(None).await?;
    let mut failures = Vec::new();
    for plugin in gone {
        let (at, api) = (place(&plugin), api(&client, &plugin));
        let removed = match foreign(&api, &plugin).await {
            Ok(None) => api.delete(&plugin.name_any(), &DeleteParams::default()).await.map(|_| None),
            other => other,
        };
        match removed {
            Ok(None) => done.push(at),
            Ok(Some(whose)) => tracing::warn!(plugin = at, whose, "is somebody else's: it stays"),
            Err(Error::Api(status)) if status.code == 404 => {}
            // Its Role is in its own namespace: where that was deleted, both are gone, and the API asks for the right
            // first.
            Err(Error::Api(status)) if status.code == 403 => {
                tracing::warn!(
                    plugin = at,
                    error = status.message,
                    "no right to remove it: it is gone if its namespace is; else remove it by hand"
                );
            }
            Err(error) => failures.push(failed("delete WasmPlugin", &at, &error)),
        }
    }
    if failures.is_empty() { Ok(done) } else { Err(failures.join("; ")) }
}

/// Whose a plugin is that stands in the place of one of ours.
async fn foreign(api: &Api<DynamicObject>, plugin: &DynamicObject) -> Result<Option<String>, Error> {
    match api.get_opt(&plugin.name_any()).await {
        Ok(there) => Ok(there.and_then(|there| another(&there, plugin))),
        // Nor is it said here by a Role that has no such right.
        Err(Error::Api(status)) if status.code == 403 => Ok(None),
        Err(error) => Err(error),
    }
}

/// The release whose name is on a plugin, if it is not that of another one.
fn another(there: &DynamicObject, ours: &DynamicObject) -> Option<String> {
    let of = |plugin: &DynamicObject| RELEASE.map(|name| plugin.annotations().get(name).cloned());
    let [name, namespace] = of(there);
    let whose = || {
        name.zip(namespace)
            .map_or_else(|| "of no release".to_owned(), |(name, namespace)| format!("of release {name} in {namespace}"))
    };
    (of(there) != of(ours)).then(whose)
}

/// Whether there are ready coordinators and all of them serve the module; why not.
async fn all_serve(client: &Client, namespace: &str, service: &ServiceRef, digest: &str) -> Result<(), String> {
    let labels = ListParams::default().labels(&super::selector(service));
    let slices = Api::<EndpointSlice>::namespaced(client.clone(), namespace)
        .list(&labels)
        .await
        .map_err(|error| failed("list the endpoints of", service, &error))?;
    let all = status_ports(&slices.items);
    if all.is_empty() {
        return Err(format!("{service} has no ready endpoint"));
    }
    for at in all {
        let url = format!("http://{at}/filter/{digest}.wasm");
        get::get(&url).await.map_err(|why| format!("{url}: {why}"))?;
    }
    Ok(())
}

fn status_ports(slices: &[EndpointSlice]) -> Vec<SocketAddr> {
    let of = |slice: &EndpointSlice| {
        let port = port(slice.ports.as_deref().unwrap_or_default(), "http-status");
        let ready = slice.endpoints.iter().filter(|endpoint| is_ready(endpoint.conditions.as_ref()));
        let addresses = ready.filter_map(|endpoint| endpoint.addresses.first()?.parse().ok()).collect::<Vec<_>>();
        addresses.into_iter().filter_map(move |ip| Some(SocketAddr::new(ip, port?)))
    };
    slices.iter().flat_map(of).collect()
}

fn read(file: &Path) -> Result<Vec<DynamicObject>, String> {
    let text = std::fs::read(file).map_err(|error| format!("{}: cannot be read: {error}", file.display()))?;
    serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", file.display()))
}

fn with_digest(mut plugin: DynamicObject, digest: &str) -> DynamicObject {
    if let Some(spec) = plugin.data.get_mut("spec").and_then(Value::as_object_mut) {
        for field in ["url", "sha256"] {
            if let Some(Value::String(text)) = spec.get_mut(field) {
                *text = text.replace(DIGEST, digest);
            }
        }
    }
    plugin
}

/// `now`: Unix milliseconds.
fn stamped(mut plugin: DynamicObject, now: u64) -> DynamicObject {
    plugin.annotations_mut().insert(ATTACHED.to_owned(), now.to_string());
    plugin
}

fn api(client: &Client, plugin: &DynamicObject) -> Api<DynamicObject> {
    let kind = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("extensions.istio.io", "v1alpha1", "WasmPlugin"),
        "wasmplugins",
    );
    Api::namespaced_with(client.clone(), &plugin.namespace().unwrap_or_default(), &kind)
}

fn place(plugin: &DynamicObject) -> String {
    format!("{}/{}", plugin.namespace().unwrap_or_default(), plugin.name_any())
}

/// 256 bits that nobody can guess.
fn token() -> Result<ByteString, String> {
    let mut bytes = [0; 32];
    rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| "the system gives no random bytes".to_owned())?;
    Ok(ByteString(bytes.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()))
}

fn failed(what: &str, about: impl std::fmt::Display, error: &Error) -> String {
    match error {
        Error::Api(status) => format!("cannot {what} {about}: {} ({})", status.message, status.code),
        other => format!("cannot {what} {about}: {}", super::watch::chain(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_digest_is_filled_in_where_the_chart_leaves_it_open_and_nowhere_else() {
        let read = |spec: Value| -> DynamicObject {
            serde_json::from_value(
                json!({"apiVersion": "extensions.istio.io/v1alpha1", "kind": "WasmPlugin", "metadata": {"name": "p", "namespace": "n"}, "spec": spec}),
            )
            .unwrap()
        };
        let plugin = with_digest(
            read(json!({"url": "http://c:8082/filter/SHA256.wasm", "sha256": "SHA256", "phase": "STATS"})),
            "abc",
        );
        assert_eq!(
            plugin.data["spec"],
            json!({"url": "http://c:8082/filter/abc.wasm", "sha256": "abc", "phase": "STATS"})
        );
        assert_eq!(place(&plugin), "n/p");
        assert_eq!(stamped(plugin, 7).annotations()[ATTACHED], "7");
    }

    #[test]
    fn a_plugin_belongs_to_the_release_whose_name_is_on_it() {
        let plugin = |annotations: Value| -> DynamicObject {
            let metadata = json!({"name": "p", "namespace": "n", "annotations": annotations});
            serde_json::from_value(
                json!({"apiVersion": "extensions.istio.io/v1alpha1", "kind": "WasmPlugin", "metadata": metadata}),
            )
            .unwrap()
        };
        let of = |name: &str, namespace: &str| plugin(json!({RELEASE[0]: name, RELEASE[1]: namespace, ATTACHED: "7"}));
        let ours = of("m", "meshcache");
        assert_eq!(another(&of("m", "meshcache"), &ours), None);
        assert_eq!(another(&of("m", "other"), &ours).unwrap(), "of release m in other");
        assert_eq!(another(&plugin(json!({})), &ours).unwrap(), "of no release");
    }

    #[test]
    fn only_ready_coordinators_must_have_the_module() {
        let slice: EndpointSlice =
            serde_json::from_value(json!({"metadata": {}, "addressType": "IPv6", "ports": [{"name": "http-status", "port": 8082}], "endpoints": [
                {"addresses": ["fd00::1"], "conditions": {"ready": true}},
                {"addresses": ["fd00::2"], "conditions": {"ready": false}},
                {"addresses": ["fd00::3"], "conditions": {"ready": false, "serving": true, "terminating": true}},
            ]}))
            .unwrap();
        assert_eq!(status_ports(&[slice]), ["[fd00::1]:8082".parse().unwrap()]);
        assert!(status_ports(&[]).is_empty());
    }

    #[test]
    fn no_two_tokens_are_the_same() {
        let (one, other) = (token().unwrap().0, token().unwrap().0);
        assert!(one.len() == 64 && one != other);
    }
}
