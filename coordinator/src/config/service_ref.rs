//! The name of a Kubernetes object on the command line: `[NAMESPACE/]NAME`.

use std::{fmt, str::FromStr};

/// `[NAMESPACE/]NAME` of a Service or a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRef {
    /// `None`: the namespace of this process.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl FromStr for ServiceRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (namespace, name) = match text.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, text),
        };
        match [namespace.unwrap_or(name), name].into_iter().find(|part| !is_label(part)) {
            Some(part) => Err(format!(
                "`{text}` is not [NAMESPACE/]NAME of a Service: `{part}` is not a name (lower case letters, digits, `-`)"
            )),
            None => Ok(Self { namespace: namespace.map(str::to_owned), name: name.to_owned() }),
        }
    }
}

impl fmt::Display for ServiceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, name } = self;
        namespace.as_ref().map_or(Ok(()), |namespace| write!(f, "{namespace}/"))?;
        f.write_str(name)
    }
}

/// Returns whether a text is a DNS label, as names of namespaces and Services are. It goes into a label selector, where
/// a comma would add a condition.
pub(super) fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty() && text.len() <= 63 && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_named_with_or_without_its_namespace() {
        let read =
            |text: &str| text.parse::<ServiceRef>().map(|s| (s.namespace.clone(), s.name.clone(), s.to_string()));
        assert_eq!(read("cache"), Ok((None, "cache".into(), "cache".into())));
        assert_eq!(read("mesh/cache-2"), Ok((Some("mesh".into()), "cache-2".into(), "mesh/cache-2".into())));
        for bad in ["", "/", "a/", "/a", "a/b/c", "A", "a,b=c", "-a", "a-", "a.b", &"a".repeat(64)] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
