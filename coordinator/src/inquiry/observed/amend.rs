//! What to change in a group so that a part of requests is in its key: in words, and as YAML.

use meshcache_protocol::{
    Groups,
    groups::{Config, GroupConfig, KeyHost, KeyRules},
    observe::{HOST, ROUTE},
};
use serde_json::{Map, Value};

/// Returns what to do about a part, in words.
pub(super) fn words(part: &str, config: &GroupConfig) -> String {
    match part.split_once(' ') {
        Some(("header", name)) => format!("add {name} to key.headers"),
        Some(("cookie", name)) => format!("add {name} to key.cookies"),
        Some(("query", name)) if config.key.query.exclude.iter().any(|pattern| pattern.matches(name)) => {
            format!("take {name} out of key.query.exclude")
        }
        Some(("query", name)) => format!("add {name} to key.query.include"),
        _ if part == ROUTE => "set key.route, since the routes differ".to_owned(),
        _ if part == HOST => "set key.host to client, since the hosts differ".to_owned(),
        _ => format!("{part} is missing in the key"),
    }
}

/// Returns the group's `key` with all of these parts, as YAML. `None`: the group would be refused with it.
pub(super) fn yaml(parts: &[&str], config: &GroupConfig) -> Option<String> {
    let mut amended = config.clone();
    for part in parts {
        add(&mut amended.key, part)?;
    }
    let key =
        without_defaults(serde_json::to_value(&amended.key).ok()?, &serde_json::to_value(KeyRules::default()).ok()?);
    let groups = vec![amended];
    Groups::new(Config { groups, ..Config::default() }).ok()?;
    serde_saphyr::to_string(&Map::from_iter([("key".to_owned(), key)])).ok()
}

fn add(key: &mut KeyRules, part: &str) -> Option<()> {
    match part.split_once(' ') {
        Some(("header", name)) => add_name(&mut key.headers, name),
        Some(("cookie", name)) => add_name(&mut key.cookies, name),
        Some(("query", name)) => {
            let query = &mut key.query;
            query.exclude.retain(|pattern| !pattern.matches(name));
            if !query.include.is_empty() && !query.include.iter().any(|pattern| pattern.matches(name)) {
                query.include.push(serde_json::from_value(name.into()).ok()?);
            }
        }
        _ if part == ROUTE => key.route = true,
        _ if part == HOST => key.host = KeyHost::Client,
        _ => return None,
    }
    Some(())
}

fn add_name(names: &mut Vec<String>, name: &str) {
    if !names.iter().any(|own| own == name) {
        names.push(name.to_owned());
    }
}

/// Returns an object without the fields that are as they would be anyway.
fn without_defaults(value: Value, default: &Value) -> Value {
    let Value::Object(fields) = value else { return value };
    let rest = fields.into_iter().filter(|(name, own)| default.get(name) != Some(own));
    let rest = rest.map(|(name, own)| {
        let own = default.get(&name).map_or(own.clone(), |default| without_defaults(own, default));
        (name, own)
    });
    Value::Object(rest.collect())
}
