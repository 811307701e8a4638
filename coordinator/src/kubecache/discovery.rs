//! How the other pods are found: by the label of KUBEGROUP_LABEL_SELECTOR.

use super::variables::{BadVariable, Variables};

/// The pods of one label, in one namespace.
pub(super) struct Discovery {
    pub(super) selector: String,
    /// `None`: the pod's own.
    pub(super) namespace: Option<&'static str>,
}

/// Returns how pods are found; `None`: there is no cluster, and this one serves alone. kubecache ends where it finds
/// none.
pub(super) fn read(from: &mut Variables<'_>) -> Result<Option<Discovery>, BadVariable> {
    let selector = from.text("KUBEGROUP_LABEL_SELECTOR")?.unwrap_or("app=kubecache").to_owned();
    let namespace = from.bool("KUBEGROUP_FORCE_NAMESPACE_DEFAULT", false)?.then_some("default");
    if namespace.is_none() && !from.is_set("KUBERNETES_SERVICE_HOST") && !from.is_set("KUBECONFIG") {
        from.warn(
            "no Kubernetes cluster (KUBERNETES_SERVICE_HOST, KUBECONFIG): this one serves alone, where kubecache ends",
        );
        return Ok(None);
    }
    Ok(Some(Discovery { selector, namespace }))
}
