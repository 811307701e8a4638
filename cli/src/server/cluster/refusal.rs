//! What the API refuses, in one line that says what to do about it.

use crate::failed::NoAnswer;
use crate::failed::chain;
use kube::Error;

/// Says which right is missing, or what else went wrong. `what`: `pods`, `pods/portforward`, `secrets/NAME`.
pub(super) fn refused(error: &Error, verb: &str, what: &str, namespace: &str, help: &str) -> NoAnswer {
    NoAnswer::new(match error {
        Error::Api(status) if status.code == 403 => {
            format!("no right in namespace {namespace}: a Role needs {}; {help}", rule(verb, what))
        }
        Error::Api(status) if status.code == 401 => {
            format!("the Kubernetes API does not know you ({}): log in again, or see the kubeconfig", status.message)
        }
        Error::Api(status) => {
            format!("the Kubernetes API: {verb} {what} in {namespace}: {} ({})", status.message, status.code)
        }
        other => format!("the Kubernetes API: {verb} {what} in {namespace}: {}", chain(other)),
    })
}

/// The rule as RBAC has it.
fn rule(verb: &str, what: &str) -> String {
    match what.split_once('/') {
        Some(("secrets", name)) => {
            format!("{{apiGroups: [\"\"], resources: [secrets], resourceNames: [{name}], verbs: [{verb}]}}")
        }
        _ => format!("{{apiGroups: [\"\"], resources: [{what}], verbs: [{verb}]}}"),
    }
}

/// Says why there is no client. A proxy's URL may have a password: kube's own line would show it.
pub(super) fn unmade(error: &Error) -> String {
    match error {
        Error::ProxyProtocolDisabled { proxy_url, .. } | Error::ProxyProtocolUnsupported { proxy_url } => format!(
            "the proxy (proxy-url of the kubeconfig, or HTTPS_PROXY) begins with `{}`: write http:// or https://",
            proxy_url.scheme_str().unwrap_or_default()
        ),
        other => chain(other),
    }
}
