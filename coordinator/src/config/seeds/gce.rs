//! Which instances of Google Compute Engine are coordinators.

use std::{fmt, str::FromStr};

/// What the instances of coordinators have. Tags and metadata are not both empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GceMatch {
    /// Their project; `None`: this instance's.
    pub project: Option<GceName>,
    /// Their zones.
    pub zones: Zones,
    /// Network tags, all of which they have.
    pub tags: Vec<GceName>,
    /// Metadata, all of which they have.
    pub metadata: Vec<Pair>,
    /// The network interface whose address is taken, where there are several.
    pub interface: GceName,
}

/// The zones in which instances are listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Zones {
    /// All of the project.
    All,
    /// This instance's.
    Own,
    /// These.
    Named(Vec<GceName>),
}

impl GceMatch {
    /// `zones`: none for all.
    pub(super) fn from_flags(
        project: Option<GceName>,
        zones: Vec<GceName>,
        tags: Vec<GceName>,
        metadata: Vec<Pair>,
    ) -> Result<Self, String> {
        let zones = if zones.is_empty() { Zones::All } else { Zones::Named(zones) };
        Self { project, zones, tags, metadata, interface: GceName::first_interface() }
            .checked("--discovery gce needs --discovery-tags TAG,... or --discovery-metadata KEY=VALUE,...")
    }

    /// Itself, if it tells coordinators from other instances: they are sent the peer token.
    pub(super) fn checked(self, needs: impl fmt::Display) -> Result<Self, String> {
        if self.tags.is_empty() && self.metadata.is_empty() {
            return Err(format!("{needs}: which instances are coordinators"));
        }
        Ok(self)
    }
}

/// The name of a project, a zone, a tag or a network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GceName(String);

impl GceName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of an instance's first network interface.
    pub(super) fn first_interface() -> Self {
        Self("nic0".into())
    }
}

impl FromStr for GceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.:".contains(&b);
        if (1..=128).contains(&text.len()) && text.bytes().all(fits) && !text.starts_with('.') {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("`{text}` is not a name (lower case letters, digits, `-`, `.`, `:`)"))
        }
    }
}

/// A key of an instance's metadata, and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The key.
    pub key: String,
    /// The value.
    pub value: String,
}

impl FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| format!("`{text}` is not KEY=VALUE"))?;
        Ok(Self { key: key.to_owned(), value: value.to_owned() })
    }
}
