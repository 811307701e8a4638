//! The two hosts of the filter: Envoy's Wasm runtime, and Envoy itself, which loads the native module.

use serde_json::{Value, json};

const NATIVE: &str = "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter";

/// The native module as envoy/native.yaml names it.
pub(crate) const MODULE: &str = "target/native/libmeshcache_envoy.so";

/// Where the filter runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// The default.
    Wasm,
    /// With `MESHCACHE_FILTER=native`.
    Native,
}

impl Host {
    /// The one that `MESHCACHE_FILTER` names.
    pub fn chosen() -> Host {
        match std::env::var("MESHCACHE_FILTER").as_deref() {
            Ok("native") => Host::Native,
            Ok("wasm" | "") | Err(_) => Host::Wasm,
            Ok(other) => panic!("MESHCACHE_FILTER={other}: write native or wasm"),
        }
    }

    /// Whether a test is left out, which it then says. The reason goes with it: what is so different there.
    pub fn leaves_out(self, why: &str) -> bool {
        let is_left_out = Host::chosen() == self;
        if is_left_out {
            eprintln!("left out with MESHCACHE_FILTER={self:?}: {why}");
        }
        is_left_out
    }
}

/// Tells which host a filter's `typed_config` is for.
fn host_of(typed_config: &Value) -> Host {
    if typed_config["@type"] == NATIVE { Host::Native } else { Host::Wasm }
}

/// Makes the Wasm filter in a `typed_config` the native one, with the same configuration.
pub(crate) fn make_native(typed_config: &mut Value) {
    if host_of(typed_config) == Host::Native {
        return;
    }
    let configuration = typed_config["config"]["configuration"].take();
    *typed_config = json!({
        "@type": NATIVE,
        "dynamic_module_config": {"module": {"local": {"filename": MODULE}}, "do_not_close": true},
        "filter_name": "meshcache",
        "filter_config": configuration,
    });
    change(typed_config, |_| ());
}

/// Changes the JSON of a filter. For the native one `hot_bytes_per_worker` becomes `hot_bytes` of four workers.
pub(crate) fn change(typed_config: &mut Value, change: impl Fn(&mut Value)) {
    let host = host_of(typed_config);
    let text = match host {
        Host::Wasm => &mut typed_config["config"]["configuration"]["value"],
        Host::Native => &mut typed_config["filter_config"]["value"],
    };
    let configuration = text.as_str().expect("the filter's configuration is a string");
    let mut configuration: Value = serde_json::from_str(configuration).expect("the filter's configuration is JSON");
    change(&mut configuration);
    if host == Host::Native
        && let Some(one) = configuration.as_object_mut().and_then(|fields| fields.remove("hot_bytes_per_worker"))
    {
        configuration["hot_bytes"] = four_times(&one);
    }
    *text = configuration.to_string().into();
}

/// Four times a size: a number, or a number and its unit.
fn four_times(size: &Value) -> Value {
    let Some(text) = size.as_str() else { return json!(4 * size.as_u64().expect("a size is a number or a text")) };
    let (number, unit) = text.split_at(text.find(|one: char| !one.is_ascii_digit()).unwrap_or(text.len()));
    json!(format!("{}{unit}", 4 * number.parse::<u64>().expect("a size starts with a number")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EnvoyConfig;

    #[test]
    fn the_front_example_made_native_is_the_native_example() {
        // Whoever reads a configuration writes it in the same way again.
        let of = |file| EnvoyConfig::example(file).host(Host::Native).filter(|_| ()).bootstrap;
        assert_eq!(of("front.yaml"), of("native.yaml"));
    }

    #[test]
    fn a_test_that_sets_the_hot_bytes_of_a_worker_sets_those_of_four() {
        for (one, four) in [(json!("512KiB"), "\"2048KiB\""), (json!("0"), "\"0\""), (json!(3), "12")] {
            let config =
                EnvoyConfig::example("native.yaml").filter(|filter| filter["hot_bytes_per_worker"] = one.clone());
            let text = config.bootstrap.to_string().replace("\\\"", "\"");
            assert!(text.contains(&format!("\"hot_bytes\":{four}")) && !text.contains("per_worker"), "{text}");
        }
    }
}
