//! Variables that have no counterpart: refused by name where they ask for what is missing, else named in a line.

use super::variables::{BadVariable, Variables};

/// Variables of kubecache that change nothing here.
const ACCEPTED: [&str; 11] = [
    "GROUPCACHE_VERSION",
    "GROUPCACHE_DISABLE_PURGE_EXPIRED",
    "GROUPCACHE_EXPIRED_KEYS_EVICTION_INTERVAL",
    "KUBEGROUP_DEBUG",
    "SECRET_ROLE_ARN",
    "FORCE_SINGLE_TASK",
    "ECS_TASK_DISCOVERY_SERVICE",
    "EMF_SEND_LOGS",
    "DOGSTATSD_EXPORT_INTERVAL",
    "DOGSTATSD_DEBUG",
    "DOGSTATSD_CLIENT_TTL",
];
/// The same, whatever follows.
const ACCEPTED_PREFIX: &str = "AUTOMEMLIMIT";

/// Reads what has no counterpart.
pub(super) fn read(from: &mut Variables<'_>) -> Result<(), BadVariable> {
    match from.text("COMPUTE")? {
        None | Some("kubernetes") => {}
        Some("ecs") => {
            return Err(BadVariable::new("COMPUTE", "ecs is not there: pods are found by the Kubernetes API alone"));
        }
        Some(other) => from.warn(format!("COMPUTE: `{other}` is taken as kubernetes, as by kubecache")),
    }
    if from.bool("EMF_ENABLE", false)? {
        return Err(BadVariable::new(
            "EMF_ENABLE",
            "CloudWatch EMF is not there: set it to false, and scrape METRICS_ADDR",
        ));
    }
    if from.bool("DOGSTATSD_ENABLE", true)? {
        from.warn("DOGSTATSD_ENABLE (by default true): nothing is sent to DogStatsD: scrape METRICS_ADDR, and set it to false");
    }
    for name in ACCEPTED {
        from.text(name)?;
    }
    let given: Vec<&str> =
        from.names().filter(|name| ACCEPTED.contains(name) || name.starts_with(ACCEPTED_PREFIX)).collect();
    if !given.is_empty() {
        from.info(format!("without effect here: {}", given.join(", ")));
    }
    Ok(())
}
