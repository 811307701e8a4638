//! The filter's configuration in Envoy. All else arrives with the feed.

use crate::state::listener_config::{Routes, Side};
use meshcache_protocol::units::Size;
use serde::Deserialize;

/// The plugin configuration in Envoy or Istio.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The Envoy cluster of the coordinators' data ports.
    pub cluster: String,
    /// Memory for hot responses in each worker thread. 0: no hot cache. A few MiB hold the keys that a proxy asks for
    /// most.
    pub hot_bytes_per_worker: Size,
    /// The only groups that this proxy serves. `None`: all on an outbound listener, none on an inbound one.
    pub groups: Option<Vec<String>>,
    /// The side of the listeners that have this configuration, as in their `traffic_direction` (unspecified:
    /// outbound). It saves asking Envoy at each hot response. If Envoy disagrees at a check, every request passes
    /// from then on. One configuration must not be on listeners of both sides. `None`: Envoy is asked.
    pub side: Option<Side>,
    /// The kind of the routes of these listeners. If they may change path, host or headers, nothing is answered here,
    /// and all is observed.
    pub routes: Routes,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cluster: "meshcache".into(),
            hot_bytes_per_worker: Size(4 << 20),
            groups: None,
            side: None,
            routes: Routes::Plain,
        }
    }
}

impl Config {
    /// Reads a configuration. None at all is the default one. The error is one line that names the field.
    pub fn read(json: &[u8]) -> Result<Self, String> {
        if json.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        let config: Self = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if config.cluster.is_empty() {
            return Err("`cluster` is empty: it names the Envoy cluster of the coordinators".into());
        }
        if config.hot_bytes_per_worker.0 > 512 << 20 {
            return Err(format!(
                "`hot_bytes_per_worker` is {}: a Wasm module has at most 1 GiB of memory; 512MiB is the most",
                config.hot_bytes_per_worker
            ));
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_written_has_its_default() {
        assert_eq!(Config::read(b""), Ok(Config::default()));
        assert_eq!(Config::read(br#"{"groups": null}"#), Ok(Config::default()));
        let all = Config::read(br#"{"cluster": "c", "hot_bytes_per_worker": "0", "groups": ["a"], "side": "inbound", "routes": "rewriting"}"#).unwrap();
        assert_eq!(
            all,
            Config {
                cluster: "c".into(),
                hot_bytes_per_worker: Size(0),
                groups: Some(vec!["a".into()]),
                side: Some(Side::Inbound),
                routes: Routes::Rewriting
            }
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (json, name) in [
            (r#"{"clutser": "c"}"#, "clutser"),
            (r#"{"hot_bytes_per_worker": "4Mb"}"#, "4Mb"),
            (r#"{"cluster": ""}"#, "cluster"),
            (r#"{"hot_bytes_per_worker": "1GiB"}"#, "512MiB"),
            (r#"{"routes": "rewritten"}"#, "rewritten"),
            ("[", "line 1"),
        ] {
            assert!(Config::read(json.as_bytes()).unwrap_err().contains(name), "{json}");
        }
    }
}
