//! `meshcache groups`: the groups, and what each of them saves.

use crate::{
    failed::Failed,
    output::{Output, Status},
    server::Server,
    text::{self, Align, escaped},
};
use clap::Args;
use meshcache_admin::{Coordinator, GroupState, Mesh, Saved};
use serde::Serialize;

pub(crate) const EXAMPLES: &str = "\
Examples:
  meshcache groups
  meshcache groups -o json | jq '.groups[] | {name, saved}'";

/// The flags: none of its own.
#[derive(Clone, Debug, Args)]
pub struct Flags {}

/// All groups, over all coordinators.
#[derive(Debug, Default, Serialize)]
struct Groups {
    groups: Vec<Group>,
    saved: Saved,
    /// Coordinators that gave no answer.
    unreached: Vec<String>,
}

/// One group, over all coordinators.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    name: String,
    mode: String,
    r#match: serde_json::Value,
    origin: String,
    saved: Saved,
    entries: u64,
    bytes: u64,
    loading: u64,
    waiting: u64,
    not_for_proxies: Option<String>,
    /// What `mode: observe` says; none: it does not observe.
    verdict: Option<String>,
    /// Coordinators that have other rules for it, or do not have it.
    differs_at: Vec<String>,
}

/// Asks, and writes a line for each group.
pub async fn run(_: Flags, server: &Server, output: &Output) -> Result<Status, Failed> {
    let mesh: Mesh = server.get("/mesh").await?;
    let groups = summed(&mesh);
    output.answer(&groups, as_text)?;
    Ok(Status::of(&groups.unreached))
}

/// Sums over coordinators, in the order in which the first one tries the groups.
fn summed(mesh: &Mesh) -> Groups {
    let mut sums = Groups { saved: mesh.saved, ..Groups::default() };
    let mut names: Vec<&str> = Vec::new();
    for Coordinator { name, state, .. } in &mesh.coordinators {
        match state {
            None => sums.unreached.push(name.clone()),
            Some(state) => {
                for group in &state.groups {
                    if !names.contains(&group.name.as_str()) {
                        names.push(&group.name);
                    }
                }
            }
        }
    }
    sums.groups = names.into_iter().map(|name| sum(mesh, name)).collect();
    sums
}

fn sum(mesh: &Mesh, name: &str) -> Group {
    let of = |coordinator: &Coordinator| {
        let state = coordinator.state.as_ref()?;
        Some(state.groups.iter().find(|group| group.name == name).cloned().unwrap_or_default())
    };
    let told: Vec<(&str, GroupState)> =
        mesh.coordinators.iter().filter_map(|one| Some((one.name.as_str(), of(one)?))).collect();
    // The rules of the first one that has it.
    let first = told.iter().map(|(_, group)| group).find(|group| group.name == name).cloned().unwrap_or_default();
    let differs = |group: &GroupState| group.digest != first.digest || group.mode != first.mode;
    let total = |of: fn(&GroupState) -> u64| told.iter().fold(0, |sum: u64, (_, group)| sum.saturating_add(of(group)));
    Group {
        name: name.to_owned(),
        saved: told.iter().map(|(_, group)| group.saved).sum(),
        entries: total(|group| group.entries),
        bytes: total(|group| group.bytes),
        loading: total(|group| group.loading),
        waiting: total(|group| group.waiting),
        verdict: told.iter().find_map(|(_, group)| Some(group.observed.as_ref()?.verdict.text.clone())),
        differs_at: told.iter().filter(|(_, group)| differs(group)).map(|(at, _)| (*at).to_owned()).collect(),
        mode: first.mode,
        r#match: first.r#match,
        origin: first.origin,
        not_for_proxies: first.not_for_proxies,
    }
}

fn as_text(groups: &Groups) -> String {
    let columns = [
        ("GROUP", Align::Left),
        ("MODE", Align::Left),
        ("REQUESTS", Align::Right),
        ("SAVED", Align::Right),
        ("HERDS", Align::Right),
        ("STORED", Align::Right),
        ("BYTES", Align::Right),
        ("ORIGIN", Align::Left),
    ];
    let row = |group: &Group| {
        vec![
            group.name.clone(),
            group.mode.clone(),
            text::number(group.saved.requests),
            share(group.saved),
            text::number(group.saved.herds),
            text::number(group.entries),
            text::bytes(group.bytes),
            group.origin.clone(),
        ]
    };
    let mut made = text::table(&columns, &groups.groups.iter().map(row).collect::<Vec<_>>());
    made.push_str(&format!("{}\n", groups.saved));
    for group in &groups.groups {
        let notes = [
            group.not_for_proxies.as_ref().map(|why| format!("proxies do not have it: {why}")),
            group.verdict.as_ref().map(|verdict| format!("observed: {verdict}")),
            (!group.differs_at.is_empty()).then(|| format!("other rules at {}", group.differs_at.join(", "))),
        ];
        for note in notes.iter().flatten() {
            made.push_str(&escaped(&format!("{}: {note}", group.name)));
            made.push('\n');
        }
    }
    if !groups.unreached.is_empty() {
        made.push_str(&escaped(&format!("no answer from {}", groups.unreached.join(", "))));
        made.push('\n');
    }
    made
}

/// The share that was saved, rounded down; none: there was nothing to save.
fn share(Saved { requests, saved, .. }: Saved) -> String {
    let saved = u64::try_from(saved).unwrap_or(0).min(requests);
    let tenths = u128::from(saved).saturating_mul(1000).checked_div(u128::from(requests));
    tenths.map_or_else(String::new, |tenths| format!("{}.{} %", tenths / 10, tenths % 10))
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshcache_admin::CoordinatorState;

    fn mesh(of: &[(&str, Option<(&str, u64)>)]) -> Mesh {
        let coordinator = |(name, group): &(&str, Option<(&str, u64)>)| Coordinator {
            name: (*name).into(),
            state: group.map(|(digest, requests)| CoordinatorState {
                groups: vec![GroupState {
                    name: "g".into(),
                    mode: "on".into(),
                    digest: digest.into(),
                    saved: Saved { requests, saved: 90, ..Saved::default() },
                    ..GroupState::default()
                }],
                ..CoordinatorState::default()
            }),
            ..Coordinator::default()
        };
        Mesh { coordinators: of.iter().map(coordinator).collect(), ..Mesh::default() }
    }

    #[test]
    fn a_group_is_summed_over_those_that_answer_and_the_others_are_named() {
        let groups = summed(&mesh(&[("a", Some(("d", 100))), ("b", Some(("e", 100))), ("c", None)]));
        let told = as_text(&groups);
        assert!(told.contains("\ng      on         200  90.0 %"), "{told}");
        assert!(told.ends_with("g: other rules at b\nno answer from c\n"), "{told}");
    }
}
