//! The references that the sources give: docs/configuration.md and the JSON Schemas are what the types of groups say,
//! docs/reasons.md what the list of reasons says, docs/logs.md has each event that the sources log.
//! `UPDATE=1 cargo test -p meshcache-tests --test reference` writes them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod logs;

use std::fmt::Write;

use meshcache_protocol::{groups::Config, reason::Reason};
use meshcache_tests::artifact;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

/// The schema of the groups file, all in one piece: helm reads no references, and people neither.
fn schema() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<Config>().to_value();
    plain(&mut schema);
    schema["title"] = json!("Groups of meshcache");
    schema
}

/// Leaves out what helps nobody: formats of Rust's numbers, and which fields are not written again.
fn plain(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.retain(|name, value| !(name == "writeOnly" || name == "format" && value.is_string()));
            fields.values_mut().for_each(plain);
        }
        Value::Array(items) => items.iter_mut().for_each(plain),
        _ => {}
    }
}

/// Holds a file to what it should be, or writes it.
fn hold(file: &str, expected: &str) {
    let path = artifact::file(file);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = found.lines().zip(expected.lines()).position(|(found, expected)| found != expected);
    assert!(
        found == expected,
        "{file} is not what the sources say, from line {:?} on: UPDATE=1 cargo test -p meshcache-tests --test reference writes it",
        differs.map(|line| line + 1)
    );
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap() + "\n"
}

#[test]
fn the_schema_for_editors_is_that_of_the_types() {
    hold("docs/groups.schema.json", &pretty(&schema()));
}

#[test]
fn the_charts_schema_has_the_same_groups() {
    let file = "charts/meshcache/values.schema.json";
    let mut whole: Value = serde_json::from_slice(&std::fs::read(artifact::file(file)).unwrap()).unwrap();
    let mut group = schema()["properties"]["groups"]["items"].take();
    // Helm shows the whole of what is wrong: it need not know our defaults.
    without_defaults(&mut group);
    whole["$defs"]["group"] = group;
    hold(file, &pretty(&whole));
}

fn without_defaults(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            // A field may have this name, too.
            if fields.get("default").is_some_and(|value| !is_schema(value)) {
                fields.remove("default");
            }
            fields.values_mut().for_each(without_defaults);
        }
        Value::Array(items) => items.iter_mut().for_each(without_defaults),
        _ => {}
    }
}

fn is_schema(value: &Value) -> bool {
    value.as_object().is_some_and(|fields| fields.contains_key("description"))
}

/// A field in the reference.
struct Field<'a> {
    path: String,
    schema: &'a Value,
    required: bool,
}

impl Field<'_> {
    /// What it is, an example, and when to change it: the parts of its documentation.
    fn parts(&self) -> [String; 3] {
        let text = self.schema["description"].as_str().unwrap_or_default();
        let (what, more) = text.split_once("\n\nExample: ").unwrap_or((text, ""));
        let (example, when) = more.split_once(". Change it ").unwrap_or((more, ""));
        let line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        [line(what), line(example), line(when.trim_end_matches('.'))]
    }

    fn is_section(&self) -> bool {
        self.schema["properties"].is_object()
    }

    /// The words of its type.
    fn kind(&self) -> String {
        kind(self.schema)
    }

    fn default(&self) -> String {
        match &self.schema["default"] {
            _ if self.required => "required".to_owned(),
            Value::Null => String::new(),
            Value::String(text) if text.is_empty() => "`\"\"`".to_owned(),
            Value::String(text) => format!("`{text}`"),
            Value::Array(items) if items.is_empty() => "`[]`".to_owned(),
            other => format!("`{}`", other.to_string().replace("\":", "\": ").replace("\",\"", "\", \"")),
        }
    }
}

fn kind(schema: &Value) -> String {
    if let Some(title) = schema["title"].as_str() {
        return title.to_owned();
    }
    let choices = |all: &[Value]| {
        let words: Vec<String> = all
            .iter()
            .filter_map(|one| one["const"].as_str().or_else(|| one["enum"][0].as_str()).or_else(|| one.as_str()))
            .map(|word| format!("`{word}`"))
            .collect();
        words.join(", ")
    };
    if let Some(all) = schema["enum"].as_array().or_else(|| schema["oneOf"].as_array()) {
        let words = choices(all);
        return if words.is_empty() { "[rules](#a-rule-of-paths)".to_owned() } else { words };
    }
    match (schema["type"].as_str(), &schema["type"]) {
        (Some("array"), _) if schema["items"]["properties"]["match"].is_object() => {
            "list of [groups](#a-group)".to_owned()
        }
        (Some("array"), _) => match kind(&schema["items"]) {
            one if one.starts_with(['`', '[']) => format!("list of {one}"),
            one => format!("list of {one}s"),
        },
        (Some("boolean"), _) => "`true` or `false`".to_owned(),
        (Some("integer"), _) => "number".to_owned(),
        (Some("string"), _) => "text".to_owned(),
        (Some("object"), _) if schema["properties"].is_null() => "map".to_owned(),
        (_, Value::Array(all)) => {
            let other = all.iter().filter_map(Value::as_str).find(|one| *one != "null").unwrap_or("text");
            let mut only = schema.clone();
            only["type"] = json!(other);
            kind(&only)
        }
        _ => "text".to_owned(),
    }
}

/// The fields of an object.
fn fields<'a>(schema: &'a Value, at: &str) -> Vec<Field<'a>> {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = schema["properties"].as_object().into_iter().flatten();
    let path = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
    properties
        .map(|(name, schema)| Field { path: path(name), schema, required: required.contains(&name.as_str()) })
        .collect()
}

/// One section: a table of its fields, then the sections below it.
fn section(page: &mut String, title: &str, schema: &Value, at: &str) {
    let text = schema["description"].as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    write!(page, "\n## {title}\n\n{text}\n\n| field | type | default | what it is | example | change it |\n| --- | --- | --- | --- | --- | --- |\n").unwrap();
    let all = fields(schema, at);
    for field in &all {
        let name = field.path.rsplit('.').next().unwrap();
        let [what, example, when] = field.parts();
        let kind = if field.is_section() { format!("[below](#{})", anchor(&field.path)) } else { field.kind() };
        let default = if field.is_section() && !field.required { String::new() } else { field.default() };
        writeln!(page, "| `{name}` | {} | {default} | {} | {} | {when} |", cell(&kind), cell(&what), cell(&example))
            .unwrap();
    }
    for field in all.iter().filter(|field| field.is_section()) {
        section(page, &format!("`{}`", field.path), field.schema, &field.path);
    }
    for field in &all {
        let each = &field.schema["additionalProperties"];
        if each["properties"].is_object() {
            section(page, &format!("`{}.NAME`", field.path), each, &field.path);
        }
    }
    for field in all.iter().filter(|field| field.path == "match.paths") {
        rules(page, field);
    }
}

/// The rules that a list may have: each an object of one field.
fn rules(page: &mut String, field: &Field<'_>) {
    let items = &field.schema["items"];
    let rules: Vec<(&String, &Value)> = items["oneOf"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|rule| rule["properties"].as_object()?.iter().next().map(|(name, _)| (name, rule)))
        .collect();
    if rules.is_empty() {
        return;
    }
    let text = items["description"].as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    write!(page, "\n## A rule of paths\n\n{text}\n\n| rule | what it matches |\n| --- | --- |\n").unwrap();
    for (name, rule) in rules {
        let what = rule["description"].as_str().unwrap_or_default();
        writeln!(page, "| `{name}` | {} |", cell(what)).unwrap();
    }
}

fn anchor(path: &str) -> String {
    path.to_lowercase().replace('.', "")
}

/// A bar would end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[test]
fn the_reference_of_the_configuration_is_what_the_types_say() {
    let file = "docs/configuration.md";
    let found = std::fs::read_to_string(artifact::file(file)).unwrap();
    let (intro, _) = found.split_once("\n## The file\n").expect("the page has its introduction by hand");
    let schema = schema();
    let mut page = intro.to_owned();
    section(
        &mut page,
        "The file",
        &json!({"description": schema["description"], "properties": schema["properties"], "required": schema["required"]}),
        "",
    );
    let group = &schema["properties"]["groups"]["items"];
    section(&mut page, "A group", group, "");
    hold(file, &page);
}

#[test]
fn each_field_has_an_example_and_says_when_to_change_it() {
    fn walk(schema: &Value, at: &str, missing: &mut Vec<String>, seen: &mut usize) {
        for field in fields(schema, at) {
            *seen += 1;
            // What has fields of its own, rules or a map of them, says it there.
            let by_itself = !field.is_section()
                && !field.schema["items"]["properties"].is_object()
                && !field.schema["additionalProperties"].is_object();
            let [what, example, when] = field.parts();
            if what.is_empty() || by_itself && (example.is_empty() || when.is_empty()) {
                missing.push(field.path.clone());
            }
            walk(field.schema, &field.path, missing, seen);
            walk(&field.schema["items"], &field.path, missing, seen);
            walk(&field.schema["additionalProperties"], &field.path, missing, seen);
        }
    }
    let (mut missing, mut seen) = (Vec::new(), 0);
    walk(&schema(), "", &mut missing, &mut seen);
    assert!(missing.is_empty(), "no description, `Example: ..` or `Change it when ..`: {missing:?}");
    assert!(seen > 70, "{seen}");
}

#[test]
fn the_page_of_reasons_is_what_the_list_of_reasons_says() {
    let file = "docs/reasons.md";
    let found = std::fs::read_to_string(artifact::file(file)).unwrap();
    let (intro, _) = found.split_once("\n## ").expect("the page has its introduction by hand");
    let mut page = intro.to_owned();
    for (title, reasons) in Reason::SECTIONS {
        write!(page, "\n## {title}\n\n| word | what it means | what to change |\n| --- | --- | --- |\n").unwrap();
        for reason in reasons {
            writeln!(
                page,
                "| <a id=\"{0}\"></a>`{0}` | {1} | {2} |",
                reason.label(),
                reason.meaning(),
                reason.change()
            )
            .unwrap();
        }
    }
    hold(file, &page);
}
