//! The filter's configuration in Envoy. All else arrives with the feed.

use crate::state::listener_config::{Routes, Side};
use meshcache_protocol::units::Size;
use serde::Deserialize;

/// A host of the filter. Its memory for hot responses has a field of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterHost {
    /// A Wasm module, with a hot cache in each worker thread.
    Wasm,
    /// A dynamic module, with one hot cache.
    Native,
}

/// The filter's configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The Envoy cluster of the coordinators' data ports.
    pub cluster: String,
    /// Memory for hot responses: of each worker thread in Wasm, of the process in a dynamic module. 0: no hot cache. A
    /// few MiB hold the keys that a proxy asks for most.
    pub hot_bytes: Size,
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

/// The configuration as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenConfig {
    cluster: String,
    hot_bytes_per_worker: Option<Size>,
    hot_bytes: Option<Size>,
    groups: Option<Vec<String>>,
    side: Option<Side>,
    routes: Routes,
}

impl Default for WrittenConfig {
    fn default() -> Self {
        Self {
            cluster: "meshcache".into(),
            hot_bytes_per_worker: None,
            hot_bytes: None,
            groups: None,
            side: None,
            routes: Routes::Plain,
        }
    }
}

impl Config {
    /// Reads a configuration. None at all is the default one. The error is one line that names the field.
    pub fn read(json: &[u8], host: FilterHost) -> Result<Self, String> {
        let json = if json.trim_ascii().is_empty() { b"{}" } else { json };
        let config: WrittenConfig = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if config.cluster.is_empty() {
            return Err("`cluster` is empty: it names the Envoy cluster of the coordinators".into());
        }
        let hot_bytes = match (host, config.hot_bytes_per_worker, config.hot_bytes) {
            (FilterHost::Wasm, _, Some(_)) => {
                return Err("`hot_bytes` is the dynamic module's: a Wasm module has `hot_bytes_per_worker`".into());
            }
            (FilterHost::Native, Some(_), _) => {
                return Err("`hot_bytes_per_worker` is the Wasm module's: here all workers share `hot_bytes`".into());
            }
            (FilterHost::Wasm, size, None) => size.unwrap_or(Size(4 << 20)),
            (FilterHost::Native, None, size) => size.unwrap_or(Size(16 << 20)),
        };
        if host == FilterHost::Wasm && hot_bytes.0 > 512 << 20 {
            return Err(format!(
                "`hot_bytes_per_worker` is {hot_bytes}: a Wasm module has at most 1 GiB of memory; 512MiB is the most"
            ));
        }
        let WrittenConfig { cluster, groups, side, routes, .. } = config;
        Ok(Self { cluster, hot_bytes, groups, side, routes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_written_has_its_default() {
        let default = Config {
            cluster: "meshcache".into(),
            hot_bytes: Size(4 << 20),
            groups: None,
            side: None,
            routes: Routes::Plain,
        };
        assert_eq!(Config::read(b"", FilterHost::Wasm), Ok(default.clone()));
        assert_eq!(Config::read(br#"{"groups": null}"#, FilterHost::Wasm), Ok(default.clone()));
        let native = Config { hot_bytes: Size(16 << 20), ..default };
        assert_eq!(Config::read(b"", FilterHost::Native), Ok(native));
        let all = br#"{"cluster": "c", "hot_bytes_per_worker": "0", "groups": ["a"], "side": "inbound", "routes": "rewriting"}"#;
        assert_eq!(
            Config::read(all, FilterHost::Wasm),
            Ok(Config {
                cluster: "c".into(),
                hot_bytes: Size(0),
                groups: Some(vec!["a".into()]),
                side: Some(Side::Inbound),
                routes: Routes::Rewriting
            })
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
            (r#"{"hot_bytes": "4MiB"}"#, "hot_bytes_per_worker"),
            ("[", "line 1"),
        ] {
            assert!(Config::read(json.as_bytes(), FilterHost::Wasm).unwrap_err().contains(name), "{json}");
        }
        let refused = Config::read(br#"{"hot_bytes_per_worker": "4MiB"}"#, FilterHost::Native).unwrap_err();
        assert!(refused.starts_with("`hot_bytes_per_worker`") && refused.ends_with("`hot_bytes`"), "{refused}");
        assert!(Config::read(br#"{"hot_bytes": "1GiB"}"#, FilterHost::Native).is_ok());
    }
}
