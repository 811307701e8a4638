//! The chart's hooks: they make the tokens, and attach the filter to proxies after the coordinators have it.

use crate::{
    clock,
    config::service_ref::ServiceRef,
    http::get,
    kube::{
        client::{client, selector},
        endpoint_slices::{is_ready, port},
        hook_error::HookError,
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
use meshcache_cli::failed::chain;
use serde_json::Value;
use std::{collections::BTreeMap, fmt::Display, net::SocketAddr, path::Path, time::Duration};
use tokio::time::{Instant, sleep};

/// The placeholder of the module's digest in a plugin.
const DIGEST: &str = "SHA256";
/// The annotation with the time at which a plugin was last attached, Unix milliseconds. Istio's agents give up on a
/// module that they could not fetch, and try again only when a plugin changes; of annotations, some versions of Istio
/// compare only those with its name.
const ATTACHED: &str = "meshcache.istio.io/attached";
/// The annotations by which helm marks the objects of a release.
const RELEASE: [&str; 2] = ["meta.helm.sh/release-name", "meta.helm.sh/release-namespace"];
/// The pause before coordinators are asked again for the module.
const INTERVAL: Duration = Duration::from_secs(2);

/// Makes a Secret with new tokens, unless there is one. Returns whether it was made.
pub async fn create_tokens(secret: &ServiceRef) -> Result<bool, HookError> {
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

/// Removes the Secret that `create_tokens` made. Returns whether there was one.
pub async fn delete_tokens(secret: &ServiceRef) -> Result<bool, HookError> {
    let (client, namespace) = client(secret.namespace.as_deref()).await?;
    match Api::<Secret>::namespaced(client, &namespace).delete(&secret.name, &DeleteParams::default()).await {
        Ok(_) => Ok(true),
        Err(Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(failed("delete", secret, &error)),
    }
}

/// Attaches the filter to proxies: waits until every ready coordinator serves the module with this digest, then applies
/// each plugin. Returns the plugins' names.
pub async fn attach(
    plugins: &Path,
    service: &ServiceRef,
    digest: &str,
    patience: Duration,
) -> Result<Vec<String>, HookError> {
    let plugins = read(plugins)?;
    let (client, namespace) = client(service.namespace.as_deref()).await?;
    let end = Instant::now() + patience;
    while let Err(why) = check_module(&client, &namespace, service, digest).await {
        if Instant::now() >= end {
            return Err(HookError::NotAttached(Box::new(why)));
        }
        tracing::info!(%why, "waiting");
        sleep(INTERVAL).await;
    }
    let mut done = Vec::new();
    for plugin in plugins.into_iter().map(|plugin| stamped(with_digest(plugin, digest), clock::wall())) {
        let name = full_name(&plugin);
        let api = api(&client, &plugin);
        if let Some(owner) =
            foreign_owner(&api, &plugin).await.map_err(|error| failed("read WasmPlugin", &name, &error))?
        {
            return Err(HookError::Foreign { plugin: name, owner });
        }
        let parameters = PatchParams::apply("meshcache").force();
        api.patch(&plugin.name_any(), &parameters, &Patch::Apply(&plugin))
            .await
            .map_err(|error| failed("apply WasmPlugin", &name, &error))?;
        done.push(name);
    }
    Ok(done)
}

/// Detaches the filter from proxies: removes each plugin that is not to be kept. Returns the names of those that were
/// there. A plugin of another release stays; one that cannot be removed does not keep the others.
pub async fn detach(plugins: &Path, keep: &[String]) -> Result<Vec<String>, HookError> {
    // The first release, or one without plugins, leaves no file.
    let plugins = if plugins.exists() { read(plugins)? } else { Vec::new() };
    let mut done = Vec::new();
    let gone: Vec<_> = plugins.into_iter().filter(|plugin| !keep.contains(&full_name(plugin))).collect();
    if gone.is_empty() {
        return Ok(done);
    }
    let (client, _) = client(None).await?;
    let mut failures = Vec::new();
    for plugin in gone {
        let (name, api) = (full_name(&plugin), api(&client, &plugin));
        let removed = match foreign_owner(&api, &plugin).await {
            Ok(None) => api.delete(&plugin.name_any(), &DeleteParams::default()).await.map(|_| None),
            other => other,
        };
        match removed {
            Ok(None) => done.push(name),
            Ok(Some(owner)) => tracing::warn!(plugin = name, owner, "plugin belongs to another release: it stays"),
            Err(Error::Api(status)) if status.code == 404 => {}
            // Its Role is in its own namespace: where that was deleted, both are gone, and the API checks the right
            // first.
            Err(Error::Api(status)) if status.code == 403 => {
                tracing::warn!(
                    plugin = name,
                    error = status.message,
                    "no right to remove the plugin: it is gone if its namespace is; else remove it by hand"
                );
            }
            Err(error) => failures.push(failed("delete WasmPlugin", &name, &error)),
        }
    }
    if failures.is_empty() { Ok(done) } else { Err(HookError::Several(failures)) }
}

/// The owner of the plugin of that name, if it is not our release.
async fn foreign_owner(api: &Api<DynamicObject>, plugin: &DynamicObject) -> Result<Option<String>, Error> {
    match api.get_opt(&plugin.name_any()).await {
        Ok(there) => Ok(there.and_then(|there| other_owner(&there, plugin))),
        // A Role without the right to read it cannot tell.
        Err(Error::Api(status)) if status.code == 403 => Ok(None),
        Err(error) => Err(error),
    }
}

/// The release whose annotations are on a plugin, if it is not that of ours.
fn other_owner(there: &DynamicObject, ours: &DynamicObject) -> Option<String> {
    let of = |plugin: &DynamicObject| RELEASE.map(|name| plugin.annotations().get(name).cloned());
    let [name, namespace] = of(there);
    let owner = || {
        name.zip(namespace)
            .map_or_else(|| "of no release".to_owned(), |(name, namespace)| format!("of release {name} in {namespace}"))
    };
    (of(there) != of(ours)).then(owner)
}

/// Checks that there are ready coordinators and all of them serve the module.
async fn check_module(client: &Client, namespace: &str, service: &ServiceRef, digest: &str) -> Result<(), HookError> {
    let labels = ListParams::default().labels(&selector(service));
    let slices = Api::<EndpointSlice>::namespaced(client.clone(), namespace)
        .list(&labels)
        .await
        .map_err(|error| failed("list the endpoints of", service, &error))?;
    let all = status_ports(&slices.items);
    if all.is_empty() {
        return Err(HookError::NoEndpoint(service.clone()));
    }
    for at in all {
        let url = format!("http://{at}/filter/{digest}.wasm");
        get::get(&url).await.map_err(|why| HookError::NotServed { url: url.clone(), why })?;
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

fn read(file: &Path) -> Result<Vec<DynamicObject>, HookError> {
    let text = std::fs::read(file).map_err(|error| HookError::Unreadable(file.to_owned(), error))?;
    serde_json::from_slice(&text).map_err(|error| HookError::Invalid(file.to_owned(), error))
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

fn full_name(plugin: &DynamicObject) -> String {
    format!("{}/{}", plugin.namespace().unwrap_or_default(), plugin.name_any())
}

/// A token of 256 random bits.
fn token() -> Result<ByteString, HookError> {
    let mut bytes = [0; 32];
    rustls::crypto::ring::default_provider().secure_random.fill(&mut bytes).map_err(|_| HookError::NoRandomness)?;
    Ok(ByteString(bytes.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()))
}

fn failed(action: &'static str, object: impl Display, error: &Error) -> HookError {
    let cause = match error {
        Error::Api(status) => format!("{} ({})", status.message, status.code),
        other => chain(other),
    };
    HookError::Request { action, object: object.to_string(), cause }
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
        assert_eq!(full_name(&plugin), "n/p");
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
        assert_eq!(other_owner(&of("m", "meshcache"), &ours), None);
        assert_eq!(other_owner(&of("m", "other"), &ours).unwrap(), "of release m in other");
        assert_eq!(other_owner(&plugin(json!({})), &ours).unwrap(), "of no release");
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
