//! Instances as the API lists them, and those that match.

use crate::config::seeds::GceMatch;
use serde::Deserialize;
use std::{collections::BTreeMap, fmt::Write, net::IpAddr};

/// A page of a list, of one zone or of all.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page {
    #[serde(default)]
    items: Option<Items>,
    pub(super) next_page_token: Option<String>,
}

/// A zone's list, or the lists of all zones by `zones/NAME`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Items {
    Zone(Vec<Instance>),
    Zones(BTreeMap<String, ZoneList>),
}

#[derive(Debug, Deserialize)]
struct ZoneList {
    instances: Option<Vec<Instance>>,
}

/// What is asked of an instance. All of it may be missing or null.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Instance {
    status: Option<String>,
    tags: Option<Tags>,
    metadata: Option<Metadata>,
    network_interfaces: Option<Vec<Interface>>,
}

#[derive(Debug, Default, Deserialize)]
struct Tags {
    items: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
struct Metadata {
    items: Option<Vec<Item>>,
}

#[derive(Debug, Deserialize)]
struct Item {
    key: Option<String>,
    value: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Interface {
    name: Option<String>,
    #[serde(rename = "networkIP")]
    ip: Option<String>,
}

/// The URL of a page. Only what is needed is asked for: metadata may hold long scripts.
pub(super) fn list_url(api: &str, project: &str, zone: Option<&str>, metadata: bool, next: Option<&str>) -> String {
    let metadata = if metadata { ",metadata/items" } else { "" };
    let fields = format!("(status,tags/items,networkInterfaces(name,networkIP){metadata})");
    let api = api.trim_end_matches('/');
    let mut url = match zone {
        Some(zone) => {
            format!("{api}/compute/v1/projects/{project}/zones/{zone}/instances?fields=nextPageToken,items{fields}")
        }
        None => {
            format!(
                "{api}/compute/v1/projects/{project}/aggregated/instances?fields=nextPageToken,items/*/instances{fields}"
            )
        }
    };
    url.push_str("&filter=status%3DRUNNING");
    if let Some(next) = next {
        url.push_str("&pageToken=");
        for byte in next.bytes() {
            // Writing to a string does not fail.
            let _ =
                if byte.is_ascii_alphanumeric() { write!(url, "{}", byte as char) } else { write!(url, "%{byte:02X}") };
        }
    }
    url
}

impl Page {
    /// The addresses of those that run and have all that is asked.
    pub(super) fn addresses<'a>(&'a self, matching: &'a GceMatch) -> impl Iterator<Item = IpAddr> + 'a {
        let (zone, zones) = match &self.items {
            Some(Items::Zone(list)) => (list.as_slice(), None),
            Some(Items::Zones(zones)) => (&[][..], Some(zones)),
            None => (&[][..], None),
        };
        let zones = zones.into_iter().flat_map(BTreeMap::values).flat_map(|zone| zone.instances.iter().flatten());
        zone.iter().chain(zones).filter(|instance| instance.matches(matching)).filter_map(|one| one.address(matching))
    }
}

impl Instance {
    fn matches(&self, matching: &GceMatch) -> bool {
        let tags = self.tags.iter().flat_map(|tags| &tags.items).flatten();
        let metadata = self.metadata.iter().flat_map(|metadata| &metadata.items).flatten();
        let has_tag = |tag: &str| tags.clone().any(|own| own == tag);
        let has = |key: &str, value: &str| {
            metadata
                .clone()
                .any(|own| own.key.as_deref() == Some(key) && own.value.as_deref().unwrap_or_default() == value)
        };
        self.status.as_deref() == Some("RUNNING")
            && matching.tags.iter().all(|tag| has_tag(tag.as_str()))
            && matching.metadata.iter().all(|pair| has(&pair.key, &pair.value))
    }

    /// The address of the interface that is asked for, or of the only one.
    fn address(&self, matching: &GceMatch) -> Option<IpAddr> {
        let interfaces = self.network_interfaces.as_deref().unwrap_or_default();
        let named = interfaces.iter().find(|one| one.name.as_deref() == Some(matching.interface.as_str()));
        let only = interfaces.first().filter(|_| interfaces.len() == 1);
        named.or(only)?.ip.as_deref()?.parse().ok()
    }
}
