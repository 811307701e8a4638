//! Namespaces of metrics: words that stand before names, as kubecache's users have configured them.

use prometheus::proto::MetricFamily;
use std::fmt;

/// The namespaces of kubecache's metrics. An empty one changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// Stands before `requests_seconds` and `groupcache_*`.
    pub own: String,
    /// Stands before `kubegroup_*`.
    pub kubegroup: String,
}

impl fmt::Display for Namespaces {
    /// What there is, to stand behind an address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, what) in [(&self.own, "requests_seconds and groupcache_*"), (&self.kubegroup, "kubegroup_*")] {
            if !name.is_empty() {
                write!(f, ", `{name}_` before {what}")?;
            }
        }
        Ok(())
    }
}

impl Namespaces {
    /// Whether a text may stand before a metric's name, or is empty.
    pub fn is_one(text: &str) -> bool {
        !text.starts_with(|c: char| c.is_ascii_digit())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_:".contains(&b))
    }

    /// Renames the families that kubecache has.
    pub(super) fn apply(&self, families: &mut [MetricFamily]) {
        for family in families {
            let namespace = match family.name() {
                name if name.starts_with("kubegroup_") => &self.kubegroup,
                name if name.starts_with("groupcache_") || name == "requests_seconds" => &self.own,
                _ => continue,
            };
            if !namespace.is_empty() {
                family.set_name(format!("{namespace}_{}", family.name()));
            }
        }
    }
}
