//! `meshcache-coordinator kubecache`: kubecache's environment, and what it stands for here.
//!
//! Pure: variables in, arguments and groups out. docs/kubecache.md has each variable.

mod backend;
mod discovery;
mod go_values;
mod groups;
mod listeners;
mod print;
#[cfg(test)]
mod tests;
mod traces;
mod variables;
mod without_effect;

pub use variables::{BadVariable, Note};

use crate::{
    config::extra_ports::ExtraPorts,
    telemetry::{request_metrics::Buckets, traces::TraceSettings},
};
use listeners::Listeners;
use std::collections::BTreeMap;
use variables::Variables;

/// The drain timeout: a pod has 30 s by default.
const DRAIN: &str = "20s";

/// What kubecache's environment stands for.
#[derive(Clone, Debug, PartialEq)]
pub struct Kubecache {
    /// The arguments of serving, without the program and the groups.
    pub arguments: Vec<String>,
    /// The groups, as YAML for `--config`.
    pub groups: String,
    /// The listeners that only this command has.
    pub extra: ExtraPorts,
    /// Whether the peer port answers without a token: there is no MESHCACHE_PEER_TOKEN_FILE.
    pub is_open: bool,
    /// How traces are exported; `None`: they are not.
    pub traces: Option<TraceSettings>,
    /// What there is to say of the variables.
    pub notes: Vec<Note>,
}

impl Kubecache {
    /// Reads the environment. Variables that are not kubecache's do not count, but for `MESHCACHE_*`, by which
    /// arguments that kubecache has no variable for are given.
    pub fn read(environment: &BTreeMap<String, String>) -> Result<Self, BadVariable> {
        let mut from = Variables::new(environment);
        if let Some(name) = ["MESHCACHE_CONFIG", "MESHCACHE_ORIGIN"].into_iter().find(|name| from.is_set(name)) {
            return Err(BadVariable::new(name, "kubecache's variables say what is cached: leave it out"));
        }
        let groups = groups::yaml(&mut from)?;
        let listeners = Listeners::read(&mut from)?;
        let discovery = discovery::read(&mut from)?;
        let store_bytes =
            from.value("GROUPCACHE_SIZE_BYTES", "a number of bytes", 100_000_000, |text| text.parse::<i64>().ok())?;
        let level = if from.bool("DEBUG_LOG", true)? { "debug" } else { "info" };
        let traces = traces::read(&mut from)?;
        without_effect::read(&mut from)?;
        let is_open = !from.is_set("MESHCACHE_PEER_TOKEN_FILE");
        if is_open {
            from.warn("no MESHCACHE_PEER_TOKEN_FILE: whoever reaches the peer port may ask it, as at kubecache, and a purge reaches this pod alone");
        }

        let mut arguments = Arguments { from: &from, list: Vec::new() };
        arguments.add("--listen", "LISTEN_ADDR", listeners.data);
        arguments.add("--peer-listen", "GROUPCACHE_PORT", listeners.peer);
        arguments.add("--admin", "", listeners.admin);
        arguments.add("--status", "", listeners.status);
        arguments.add("--store-bytes", "GROUPCACHE_SIZE_BYTES", u64::try_from(store_bytes).unwrap_or(0));
        arguments.add("--log-level", "DEBUG_LOG", level);
        arguments.add("--drain-timeout", "", DRAIN);
        if let Some(discovery) = discovery {
            arguments.add("--discovery", "", "pods");
            arguments.add("--discovery-selector", "KUBEGROUP_LABEL_SELECTOR", discovery.selector);
            if let Some(namespace) = discovery.namespace {
                arguments.add("--discovery-namespace", "KUBEGROUP_FORCE_NAMESPACE_DEFAULT", namespace);
            }
        }
        if let Some(buckets) = &listeners.buckets {
            arguments.add("--request-metrics", "PROMETHEUS_ENABLE", "kubecache");
            if *buckets != Buckets::default() {
                arguments.add("--request-buckets", "METRICS_BUCKETS_LATENCY_HTTP", buckets);
            }
        }
        let arguments = arguments.list;
        Ok(Self { arguments, groups, extra: listeners.extra, is_open, traces, notes: from.notes })
    }
}

/// Arguments in the making.
struct Arguments<'a> {
    from: &'a Variables<'a>,
    list: Vec<String>,
}

impl Arguments<'_> {
    /// Adds an argument. A variable of kubecache that is set comes first, then the argument's own `MESHCACHE_*`
    /// variable, which counts where the argument is not given, then kubecache's default.
    fn add(&mut self, flag: &str, variable: &str, value: impl ToString) {
        let own = format!("MESHCACHE_{}", flag.trim_start_matches('-').replace('-', "_").to_uppercase());
        if self.from.is_set(variable) || !self.from.is_set(&own) {
            self.list.extend([flag.to_owned(), value.to_string()]);
        }
    }
}
