//! How the other coordinators are found, and what the Kubernetes API is asked for.

use crate::config::service_ref::{ServiceRef, is_label};
use clap::ValueEnum;
use std::{fmt, str::FromStr};

/// How the other coordinators are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Discovery {
    /// By `--peers`.
    Static,
    /// By the EndpointSlices of a Service.
    Kube,
    /// By the labels of Pods.
    Pods,
    /// By a name in DNS.
    Dns,
    /// By `--seeds`.
    Gossip,
    /// By the instances of Google Compute Engine.
    Gce,
    /// Refused: by the instances of EC2.
    #[value(hide = true)]
    Ec2,
}

/// The objects that name the peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KubeSource {
    /// The endpoints of a Service.
    Service(ServiceRef),
    /// Pods, all of which use this process's port numbers.
    Pods {
        /// `None`: the namespace of this process.
        namespace: Option<Namespace>,
        /// Their labels.
        labels: LabelSelector,
    },
}

impl KubeSource {
    /// The flags' source; `None`: the Kubernetes API is not asked. The error says what to write.
    pub(super) fn from_flags(
        discovery: Discovery,
        service: Option<ServiceRef>,
        labels: Option<LabelSelector>,
        namespace: Option<Namespace>,
    ) -> Result<Option<Self>, String> {
        match (discovery, service, labels, namespace) {
            (Discovery::Kube, Some(service), None, None) => Ok(Some(Self::Service(service))),
            (Discovery::Pods, None, Some(labels), namespace) => Ok(Some(Self::Pods { namespace, labels })),
            (Discovery::Kube, None, ..) => Err("--discovery kube needs --discovery-service [NAMESPACE/]NAME".into()),
            (Discovery::Pods, _, None, _) => Err("--discovery pods needs --discovery-selector LABEL=VALUE".into()),
            (kind, Some(_), ..) if kind != Discovery::Kube => Err("--discovery-service is for --discovery kube".into()),
            (kind, _, Some(_), _) if kind != Discovery::Pods => {
                Err("--discovery-selector is for --discovery pods".into())
            }
            (.., Some(_)) => Err("--discovery-namespace is for --discovery pods".into()),
            _ => Ok(None),
        }
    }
}

/// The name of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace(String);

impl Namespace {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Namespace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if is_label(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("`{text}` is not the name of a namespace (lower case letters, digits, `-`)"))
        }
    }
}

/// A label selector, as kubectl takes it: `app=kubecache`, `app=a,tier!=b`, `app in (a,b),!old`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelSelector(String);

impl LabelSelector {
    /// The selector as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LabelSelector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match conditions(text).find(|condition| !is_condition(condition)) {
            Some(bad) => Err(format!(
                "`{bad}` is no condition on a label: write LABEL=VALUE, LABEL!=VALUE, `LABEL in (A,B)`, LABEL or !LABEL, comma separated"
            )),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The conditions of a selector. A comma in parentheses separates values.
fn conditions(text: &str) -> impl Iterator<Item = &str> {
    let mut is_inside = false;
    text.split(move |c| {
        is_inside = (is_inside || c == '(') && c != ')';
        c == ',' && !is_inside
    })
    .map(str::trim)
}

fn is_condition(text: &str) -> bool {
    if let Some(label) = text.strip_prefix('!') {
        return is_key(label.trim());
    }
    for operator in ["!=", "==", "=", ">", "<"] {
        if let Some((label, value)) = text.split_once(operator) {
            return is_key(label.trim()) && is_value(value.trim());
        }
    }
    let Some((label, set)) = text.split_once(char::is_whitespace) else { return is_key(text) };
    let set = set.trim_start();
    let values = set.strip_prefix("notin").or_else(|| set.strip_prefix("in")).map(str::trim);
    values
        .and_then(|values| values.strip_prefix('(')?.strip_suffix(')'))
        .is_some_and(|values| is_key(label) && values.split(',').all(|value| is_value(value.trim())))
}

/// Whether a text is a label's name, with or without a prefix.
fn is_key(text: &str) -> bool {
    let (prefix, name) = text.split_once('/').unwrap_or(("a", text));
    !name.is_empty() && is_value(name) && prefix.len() <= 253 && prefix.split('.').all(is_label)
}

fn is_value(text: &str) -> bool {
    let ends = |c: char| c.is_ascii_alphanumeric();
    text.len() <= 63
        && text.chars().all(|c| ends(c) || "-_.".contains(c))
        && text.starts_with(ends) == text.ends_with(ends)
        && (text.is_empty() || text.starts_with(ends))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_is_what_kubectl_takes() {
        for good in [
            "app=kubecache",
            "app==a",
            "app.kubernetes.io/name=a,tier!=b",
            "a in (b, c),d notin (e)",
            "a",
            "!a",
            "a=",
            "n>1",
        ] {
            assert_eq!(good.parse::<LabelSelector>().map(|read| read.to_string()), Ok(good.to_owned()));
        }
        for (bad, named) in [
            ("", "``"),
            ("app=a,", "``"),
            ("app:a", "`app:a`"),
            ("app=a b", "`app=a b`"),
            ("x=1,app in a,b", "`app in a`"),
            ("a in (b", "`a in (b`"),
            ("-a=b", "`-a=b`"),
            ("a/b/c=d", "`a/b/c=d`"),
            ("app=ä", "`app=ä`"),
        ] {
            let said = bad.parse::<LabelSelector>().unwrap_err();
            assert!(said.starts_with(named), "{bad}: {said}");
        }
    }

    #[test]
    fn each_flag_belongs_to_one_kind_of_discovery() {
        let (service, labels) = (|| "s".parse().ok(), || "a=b".parse().ok());
        let namespace = || "n".parse().ok();
        let said =
            |discovery, service, labels, namespace| KubeSource::from_flags(discovery, service, labels, namespace);
        assert_eq!(said(Discovery::Static, None, None, None), Ok(None));
        assert!(matches!(said(Discovery::Kube, service(), None, None), Ok(Some(KubeSource::Service(_)))));
        assert!(matches!(said(Discovery::Pods, None, labels(), namespace()), Ok(Some(KubeSource::Pods { .. }))));
        for (refused, words) in [
            (said(Discovery::Pods, None, None, namespace()), "needs --discovery-selector LABEL=VALUE"),
            (said(Discovery::Kube, None, labels(), None), "needs --discovery-service [NAMESPACE/]NAME"),
            (said(Discovery::Pods, service(), labels(), None), "--discovery-service is for --discovery kube"),
            (said(Discovery::Static, None, labels(), None), "--discovery-selector is for --discovery pods"),
            (said(Discovery::Kube, service(), None, namespace()), "--discovery-namespace is for --discovery pods"),
        ] {
            let refused = refused.unwrap_err();
            assert!(refused.ends_with(words), "{refused}");
        }
    }
}
