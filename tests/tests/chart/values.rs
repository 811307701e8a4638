//! The values: each in the README with its default, each misspelt one refused wherever it stands.

use std::{collections::BTreeSet, io::Write};

use meshcache_tests::{Coordinator, artifact, chart};
use serde_json::{Value, json};

/// The chart's own values.
fn defaults() -> Value {
    let values = std::fs::read_to_string(chart::folder().join("values.yaml")).unwrap();
    chart::read(&values).remove(0)
}

/// What helm holds values against.
fn schema() -> Value {
    serde_json::from_slice(&std::fs::read(chart::folder().join("values.schema.json")).unwrap()).unwrap()
}

/// Each value that is no group of values, by its path.
fn leaves(value: &Value, at: &str, all: &mut Vec<(String, Value)>) {
    match value.as_object() {
        Some(fields) if !fields.is_empty() && !at.ends_with("labels") => fields.iter().for_each(|(name, inner)| {
            leaves(inner, &if at.is_empty() { name.clone() } else { format!("{at}.{name}") }, all)
        }),
        _ => all.push((at.to_owned(), value.clone())),
    }
}

#[test]
fn the_readme_has_every_value_with_its_default_and_no_other() {
    let readme = std::fs::read_to_string(chart::folder().join("README.md")).unwrap();
    let rows = readme.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split('|');
        let (name, default) = (cells.next()?.trim().trim_end_matches('`'), cells.next()?.trim().trim_matches('`'));
        // A row without a default is about all that is under it.
        (!default.is_empty()).then(|| (name.to_owned(), chart::read(default).pop().unwrap_or(Value::Null)))
    });
    let mut rows: Vec<(String, Value)> = rows.collect();
    let mut all = Vec::new();
    leaves(&defaults(), "", &mut all);
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    all.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(all.len() > 60);
    assert_eq!(rows, all);
}

#[test]
fn the_readme_says_of_each_value_what_the_schema_tells_editors() {
    let readme = std::fs::read_to_string(chart::folder().join("README.md")).unwrap();
    let schema = schema();
    let mut all = Vec::new();
    leaves(&defaults(), "", &mut all);
    for (name, _) in all {
        let pointer: String = name.split('.').map(|part| format!("/properties/{part}")).collect();
        let described = schema.pointer(&format!("{pointer}/description")).and_then(Value::as_str);
        let described = described.unwrap_or_else(|| panic!("the schema has no description of {name}"));
        let start = format!("| `{name}` | ");
        let row = readme.lines().find(|line| line.starts_with(&start)).unwrap();
        // A link of the page is its words in an editor.
        let mut said = row[start.len()..].split_once("| ").unwrap().1.trim_end_matches(" |").to_owned();
        while let Some((before, link)) = said.split_once("](") {
            let (open, words) = before.rsplit_once('[').unwrap();
            said = format!("{open}{words}{}", link.split_once(')').unwrap().1);
        }
        assert_eq!(said, described, "{name}");
    }
}

#[test]
fn the_defaults_and_null_for_each_of_them_are_values() {
    chart::objects(&defaults().to_string()).unwrap();
}

#[test]
fn a_misspelt_value_is_refused_at_every_level() {
    fn levels(value: &Value, at: &[String], all: &mut Vec<Vec<String>>) {
        let Some(fields) = value.as_object() else { return };
        // What people name themselves has no spelling.
        if fields.is_empty() || at.last().is_some_and(|name| name == "labels") {
            return;
        }
        all.push(at.to_vec());
        fields.iter().for_each(|(name, inner)| levels(inner, &[at, std::slice::from_ref(name)].concat(), all));
    }
    let mut all = Vec::new();
    levels(&defaults(), &[], &mut all);
    assert!(all.len() > 15, "{all:?}");
    for level in all {
        let wrong = level.iter().rev().fold(json!({"misspelt": true}), |inner, name| json!({name: inner}));
        let error = chart::objects(&wrong.to_string()).expect_err(&wrong.to_string());
        assert!(
            error.contains("misspelt") && level.iter().all(|name| error.contains(name.as_str())),
            "{wrong}: {error}"
        );
    }
}

#[tokio::test]
async fn the_schema_has_the_fields_of_a_group_that_the_program_has() {
    fn levels(schema: &Value, at: &[&str], all: &mut Vec<(Vec<String>, BTreeSet<String>)>) {
        let Some(fields) = schema["properties"].as_object() else { return };
        all.push((at.iter().map(ToString::to_string).collect(), fields.keys().cloned().collect()));
        fields.iter().for_each(|(name, inner)| levels(inner, &[at, &[name]].concat(), all));
    }
    let mut all = Vec::new();
    levels(&schema()["$defs"]["group"], &[], &mut all);
    assert!(all.len() > 10, "{all:?}");
    for (level, fields) in all {
        let mut group = json!({"name": "g", "match": {"service": "s.n"}, "origin": {"url": "http://o"}});
        let mut at = &mut group;
        for name in &level {
            at = &mut at[name];
        }
        at["misspelt"] = json!(1);
        let mut file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        file.write_all(json!({"version": 1, "groups": [group]}).to_string().as_bytes()).unwrap();
        let (_, said) = Coordinator::run(&["check", "--config", file.path().to_str().unwrap()]).await;
        // The program says which fields there are.
        let (_, expected) = said
            .split_once("unknown field `misspelt`")
            .and_then(|(_, said)| said.split_once(", expected one of "))
            .unwrap_or_else(|| panic!("{level:?}: {said}"));
        assert_eq!(fields, expected.lines().next().unwrap().split(", ").map(str::to_owned).collect(), "{level:?}");
    }
}

#[test]
fn every_value_that_the_pages_name_is_one() {
    fn paths(schema: &Value, at: &str, all: &mut Vec<String>) {
        all.push(at.to_owned());
        let fields = schema["properties"].as_object().into_iter().flatten();
        fields.for_each(|(name, inner)| paths(inner, &format!("{at}.{name}"), all));
    }
    let schema = schema();
    let mut all = Vec::new();
    paths(&schema, "", &mut all);
    paths(&schema["$defs"]["group"], "", &mut all);
    let mut named = 0;
    for page in ["docs/kubernetes.md", "docs/istio.md", "charts/meshcache/templates/NOTES.txt"] {
        let text = std::fs::read_to_string(artifact::file(page)).unwrap();
        // In code, dotted, in the chart's way of writing: `istio.module.url`, `key.route: true`.
        for code in text.split('`').skip(1).step_by(2) {
            let name = code.split(':').next().unwrap_or_default();
            let dotted = name.contains('.')
                && name.split('.').all(|part| !part.is_empty() && part.chars().all(char::is_alphanumeric));
            let file = ["yaml", "md", "rs", "io", "wasm", "txt"].iter().any(|end| name.rsplit('.').next() == Some(end));
            // Files, and names of Envoy's filters, are dotted too.
            if dotted && !file && !name.starts_with("envoy.") {
                named += 1;
                assert!(
                    all.iter().any(|path| path.ends_with(&format!(".{name}"))),
                    "{page} names `{name}`, which is no value"
                );
            }
        }
    }
    assert!(named > 15, "{named}");
}

#[test]
fn a_file_of_ones_own_can_be_mounted_for_origin_ca_and_a_registry_may_end_in_a_slash() {
    let values = "image: {registry: registry.example/}\nextraVolumes: [{name: ca, configMap: {name: origin-ca}}]\nextraVolumeMounts: [{name: ca, mountPath: /etc/meshcache/ca, readOnly: true}]\n";
    let objects = chart::objects(values).unwrap();
    let pod =
        objects.iter().find(|object| object["kind"] == "StatefulSet").unwrap()["spec"]["template"]["spec"].clone();
    let container = &pod["containers"][0];
    assert!(
        pod["volumes"].as_array().unwrap().contains(&json!({"name": "ca", "configMap": {"name": "origin-ca"}})),
        "{pod:#}"
    );
    assert!(
        container["volumeMounts"]
            .as_array()
            .unwrap()
            .contains(&json!({"name": "ca", "mountPath": "/etc/meshcache/ca", "readOnly": true}))
    );
    let image = container["image"].as_str().unwrap();
    assert!(image.starts_with("registry.example/meshcache/coordinator:"), "{image}");
}

#[test]
fn a_secret_with_credentials_of_an_origin_is_mounted_and_named_in_a_group() {
    let values = |header: &str| {
        format!(
            "extraVolumes: [{{name: prices, secret: {{secretName: prices-credentials}}}}]\n\
             extraVolumeMounts: [{{name: prices, mountPath: /etc/meshcache/prices, readOnly: true}}]\n\
             groups: [{{name: prices, match: {{hosts: [p.test]}}, callers: [\"*\"], \
             origin: {{url: \"https://p.test\", headers: {{x-api-key: {{{header}}}}}}}}}]\n"
        )
    };
    let rendered = serde_json::to_string(&chart::objects(&values("file: /etc/meshcache/prices/api-key")).unwrap());
    let rendered = rendered.unwrap();
    for part in ["\"secretName\":\"prices-credentials\"", "file: /etc/meshcache/prices/api-key"] {
        assert!(rendered.contains(part), "{part}: {rendered}");
    }
    let refused = chart::objects(&values("value: the-key-itself")).unwrap_err();
    assert!(refused.contains("x-api-key") && !refused.contains("the-key-itself"), "{refused}");
}

#[test]
fn what_comments_refer_to_is_there() {
    for file in [
        "charts/meshcache/values.yaml",
        "envoy/groups.yaml",
        "envoy/front.yaml",
        "envoy/sidecar.yaml",
        "envoy/kubernetes.yaml",
        "envoy/credentials.yaml",
        "envoy/native.yaml",
    ] {
        let text = std::fs::read_to_string(artifact::file(file)).unwrap();
        let pages: Vec<&str> = text
            .split([' ', '(', ')', '\n'])
            .map(|word| word.trim_end_matches([',', ':', ';', '.']))
            .filter(|word| word.ends_with(".md") && !word.contains("://"))
            .collect();
        for page in pages {
            let whole = std::fs::read_to_string(artifact::file(page))
                .unwrap_or_else(|error| panic!("{file} refers to {page}: {error}"));
            // `README.md, "A heading", has ..`
            let after = text.split(&format!("{page}, \"")).nth(1);
            assert!(
                after.is_none_or(|after| whole.contains(&format!("## {}", after.split('"').next().unwrap()))),
                "{file}: {page} has no such heading"
            );
        }
        assert!(!text.contains("--help` names"), "{file}: the help has flags, and no fields of groups");
    }
    assert!(std::fs::read_to_string(artifact::file("README.md")).unwrap().contains("| field of a group | default |"));
}
