//! The coordinators' configuration: envoy/groups.yaml with the test's own origins filled in, or changed for a test.

use serde_json::{Value, json};

use crate::artifact;

/// The host of the example group `shop`.
pub const SHOP: &str = "shop.example.com";

/// A configuration in the making.
#[derive(Clone, Debug)]
pub struct Groups {
    /// The whole document, for changes that have no method here.
    pub document: Value,
}

impl Groups {
    /// envoy/groups.yaml as it stands.
    pub fn example() -> Groups {
        Groups::parse(&std::fs::read_to_string(artifact::file("envoy/groups.yaml")).unwrap())
    }

    /// Any other YAML.
    pub fn parse(yaml: &str) -> Groups {
        Groups { document: serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("groups: {error}")) }
    }

    /// One more group, first of all: every path of the host `NAME.test`, loaded from where `shop` is; `fields` are its
    /// own, and may replace these.
    pub fn plus(mut self, name: &str, fields: Value) -> Groups {
        let origin = self.document["groups"][0]["origin"]["url"].clone();
        let mut group = json!({"name": name, "match": {"hosts": [format!("{name}.test")]}, "origin": {"url": origin}});
        for (field, value) in fields.as_object().expect("fields are an object") {
            match (group[field].as_object_mut(), value) {
                // An origin's limits beside its URL.
                (Some(old), Value::Object(new)) if field == "origin" => old.extend(new.clone()),
                _ => group[field] = value.clone(),
            }
        }
        self.document["groups"].as_array_mut().expect("a list of groups").insert(0, group);
        self
    }

    /// Replaces an origin wherever it stands.
    pub fn origins(mut self, old: &str, new: &str) -> Groups {
        for group in self.document["groups"].as_array_mut().expect("a list of groups") {
            if group["origin"]["url"] == old {
                group["origin"]["url"] = json!(new);
            }
        }
        self
    }

    /// Sets a group's origin.
    pub fn origin(self, group: &str, url: &str) -> Groups {
        self.set(group, "/origin/url", json!(url))
    }

    /// Sets a field of a group by its JSON pointer, such as `/freshness/default`; what is missing on the way is made.
    pub fn set(mut self, group: &str, pointer: &str, value: Value) -> Groups {
        let mut groups = self.document["groups"].as_array_mut().expect("a list of groups").iter_mut();
        let group = groups.find(|own| own["name"] == group).unwrap_or_else(|| panic!("no group {group}"));
        let field = pointer.split('/').skip(1).fold(group, |part, name| &mut part[name]);
        *field = value;
        self
    }

    /// The text of `--config`. It is JSON, which is YAML too.
    pub fn yaml(&self) -> String {
        self.document.to_string()
    }
}
