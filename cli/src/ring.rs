//! `meshcache ring`: the coordinators, whether they agree, and who owns a URL.

use crate::{
    failed::Failed,
    output::{Output, Status},
    server::Server,
    text::{self, Align, escaped},
};
use clap::Args;
use meshcache_admin::{Coordinator, CoordinatorState, Mesh, Why, WhyRequest};
use serde::Serialize;
use std::collections::BTreeSet;

pub(crate) const EXAMPLES: &str = "\
Examples:
  meshcache ring
  meshcache ring http://config-server.platform/develop

Status: 0 all coordinators answer and agree, 3 some do not.";

/// The flags.
#[derive(Clone, Debug, Args)]
pub struct Flags {
    /// Whose owner is shown: http[s]://HOST[:PORT]/PATH[?QUERY]
    #[arg(value_name = "URL")]
    url: Option<String>,
}

/// What is told of the ring.
#[derive(Debug, Serialize)]
struct Ring {
    coordinators: Vec<Coordinator>,
    /// What is not as it should be, a line each.
    problems: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<Owners>,
}

/// Who has a URL's key.
#[derive(Debug, Serialize)]
struct Owners {
    url: String,
    group: Option<String>,
    owner: Option<String>,
    next: Option<String>,
}

/// Asks, and writes a line for each coordinator.
pub async fn run(flags: Flags, server: &Server, output: &Output) -> Result<Status, Failed> {
    let mesh: Mesh = server.get("/mesh").await?;
    let url = match flags.url {
        None => None,
        Some(url) => {
            let asked = WhyRequest { url, ..WhyRequest::default() };
            let Why { url, group, owner, next, .. } = server.post("/why", &asked).await?;
            Some(Owners { url, group, owner, next })
        }
    };
    let ring = Ring { problems: problems(&mesh), coordinators: mesh.coordinators, url };
    output.answer(&ring, as_text)?;
    Ok(Status::of(&ring.problems))
}

/// Says what is not as it should be. Pure.
fn problems(mesh: &Mesh) -> Vec<String> {
    let mut found = Vec::new();
    for Coordinator { name, state, unreached, .. } in &mesh.coordinators {
        match state {
            None => found.push(format!("{name} gives no answer: {}", unreached.as_deref().unwrap_or("no reason told"))),
            Some(state) => {
                if let Some(why) = &state.not_ready {
                    found.push(format!("{name} is not ready: {why}"));
                }
                if let Some(why) = &state.config.refused {
                    found.push(format!("{name} serves the configuration before, since it refused the new one: {why}"));
                }
                if !state.has_lease {
                    found.push(format!("{name} has no lease: it answers nothing from its store (docs/purge.md)"));
                }
            }
        }
    }
    let differ = |what: &str, of: fn(&CoordinatorState) -> &str| {
        let all: Vec<(&str, &str)> =
            mesh.coordinators.iter().filter_map(|one| Some((of(one.state.as_ref()?), one.name.as_str()))).collect();
        let values: BTreeSet<&str> = all.iter().map(|(value, _)| *value).collect();
        let who = |value: &&str| {
            let names: Vec<&str> = all.iter().filter(|(one, _)| one == value).map(|(_, name)| *name).collect();
            format!("{} at {}", short(value), names.join(", "))
        };
        (values.len() > 1).then(|| format!("{what}: {}", values.iter().map(who).collect::<Vec<_>>().join("; ")))
    };
    found.extend(differ("rings differ", |state| &state.ring));
    found.extend(differ("configurations differ", |state| &state.config.digest));
    found
}

/// As much of a digest as people compare.
fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

fn as_text(ring: &Ring) -> String {
    let columns = [
        ("COORDINATOR", Align::Left),
        ("STATE", Align::Left),
        ("VERSION", Align::Left),
        ("UP", Align::Right),
        ("STORED", Align::Right),
        ("BYTES", Align::Right),
        ("MEMORY", Align::Right),
        ("PROXIES", Align::Right),
        ("RING", Align::Left),
        ("CONFIG", Align::Left),
        ("DATA", Align::Left),
    ];
    let row = |one: &Coordinator| {
        let Some(state) = &one.state else {
            let mut cells = vec![one.name.clone(), "no answer".to_owned()];
            cells.resize(columns.len() - 1, String::new());
            cells.push(one.data.clone());
            return cells;
        };
        let sum =
            |of: fn(&meshcache_admin::GroupState) -> u64| state.groups.iter().map(of).fold(0, u64::saturating_add);
        vec![
            one.name.clone(),
            if state.not_ready.is_some() { "not ready" } else { "ready" }.to_owned(),
            state.version.clone(),
            text::seconds(state.up_seconds),
            text::number(sum(|group| group.entries)),
            text::bytes(sum(|group| group.bytes)),
            if state.memory_bytes == 0 { String::new() } else { text::bytes(state.memory_bytes) },
            text::number(state.proxy_count),
            short(&state.ring).to_owned(),
            short(&state.config.digest).to_owned(),
            one.data.clone(),
        ]
    };
    let mut made = text::table(&columns, &ring.coordinators.iter().map(row).collect::<Vec<_>>());
    for problem in &ring.problems {
        made.push_str(&escaped(problem));
        made.push('\n');
    }
    if let Some(Owners { url, group, owner, next }) = &ring.url {
        let line = match (group, owner) {
            (Some(group), Some(owner)) => {
                let next = next.as_ref().map_or_else(String::new, |next| format!(", next {next}"));
                format!("{url}: group {group}, owner {owner}{next}")
            }
            (Some(group), None) => format!("{url}: group {group}, nobody owns it (meshcache why says more)"),
            (None, _) => format!("{url}: no group takes it"),
        };
        made.push_str(&escaped(&line));
        made.push('\n');
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshcache_admin::ConfigState;

    fn coordinator(name: &str, ring: &str, digest: &str) -> Coordinator {
        let config = ConfigState { digest: digest.into(), ..ConfigState::default() };
        let state = CoordinatorState { ring: ring.into(), has_lease: true, config, ..CoordinatorState::default() };
        Coordinator { name: name.into(), state: Some(state), ..Coordinator::default() }
    }

    #[test]
    fn coordinators_that_disagree_or_give_no_answer_are_named() {
        let mut mesh =
            Mesh { coordinators: vec![coordinator("a", "1", "x"), coordinator("b", "1", "x")], ..Mesh::default() };
        assert!(problems(&mesh).is_empty());
        mesh.coordinators.push(coordinator("c", "2", "y"));
        mesh.coordinators.push(Coordinator {
            name: "d".into(),
            unreached: Some("timeout".into()),
            ..Coordinator::default()
        });
        assert_eq!(
            problems(&mesh),
            [
                "d gives no answer: timeout",
                "rings differ: 1 at a, b; 2 at c",
                "configurations differ: x at a, b; y at c"
            ]
        );
    }

    #[test]
    fn a_url_has_an_owner_and_a_next_peer() {
        let url = |group: Option<&str>, owner: Option<&str>| {
            let [group, owner] = [group, owner].map(|one| one.map(str::to_owned));
            let url = Owners { url: "http://h/".into(), group, owner, next: Some("b".into()) };
            as_text(&Ring { coordinators: Vec::new(), problems: Vec::new(), url: Some(url) })
                .lines()
                .nth(1)
                .unwrap()
                .to_owned()
        };
        assert_eq!(url(Some("g"), Some("a")), "http://h/: group g, owner a, next b");
        assert_eq!(url(None, None), "http://h/: no group takes it");
    }
}
