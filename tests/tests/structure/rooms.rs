//! Rooms: the folders and root files of a crate's `src/`, and which of them may import which.
//!
//! docs/architecture.md has a table for each crate, below a line that names its `CRATE/src`:
//!
//! | room | what it is | may use |
//! | --- | --- | --- |
//! | `server/` | the ports | `cache/`, `http/` |
//! | `cache/` | ... | `http/` |
//! | `http/` | ... | nothing |
//!
//! Rows go down: a room uses rooms below it only. `all below` allows each of these, used or not.

use std::collections::{BTreeMap, BTreeSet};

/// The rows of a crate's table, top to bottom: a room, and what it may use (`None`: all below).
pub(crate) type Rooms = Vec<(String, Option<BTreeSet<String>>)>;

/// The tables of the page by the crates' `src` folders.
pub(crate) fn tables(page: &str, sources: &[String]) -> BTreeMap<String, Rooms> {
    let mut tables = BTreeMap::new();
    let mut of = None;
    let mut is_in_table = false;
    for line in page.lines() {
        if !line.starts_with('|') {
            is_in_table = false;
            if let Some(source) = sources.iter().find(|source| line.contains(source.as_str())) {
                of = Some(source);
            }
            continue;
        }
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        match (cells.as_slice(), of) {
            (["room", _, "may use"], _) => is_in_table = true,
            ([room, _, uses], Some(source)) if is_in_table && !room.starts_with("--") => {
                let names = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<BTreeSet<_>>();
                let uses = (*uses != "all below").then(|| names(uses));
                let rows: &mut Rooms = tables.entry(source.clone()).or_default();
                rows.extend(names(room).into_iter().map(|room| (room, uses.clone())));
            }
            _ => {}
        }
    }
    tables
}

/// The room of a file of `src/`.
pub(crate) fn room(path: &str) -> String {
    path.split_once('/').map_or_else(|| path.to_owned(), |(folder, _)| format!("{folder}/"))
}

/// Where the table and the imports `(from, to, where)` differ. `lib.rs` and `main.rs` put the rooms together and need
/// no row.
pub(crate) fn differences<'a>(
    rooms: &Rooms,
    imports: impl Iterator<Item = (&'a str, &'a str, &'a str)>,
) -> Vec<String> {
    let mut problems = Vec::new();
    let place = |name: &str| rooms.iter().position(|(room, _)| room == name);
    let mut shown: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for (from, to, line) in imports {
        let (from, to) = (room(from), room(to));
        if from != to && !matches!(from.as_str(), "lib.rs" | "main.rs") {
            shown.entry(from).or_default().entry(to).or_insert_with(|| line.to_owned());
        }
    }
    for (at, (room, uses)) in rooms.iter().enumerate() {
        for used in uses.iter().flatten() {
            match place(used) {
                None => problems.push(format!("`{room}` may use `{used}`, which is no room")),
                Some(below) if below <= at => {
                    problems.push(format!("`{room}` may use `{used}`, which is not below it"))
                }
                Some(_) if !shown.get(room).is_some_and(|shown| shown.contains_key(used)) => {
                    problems.push(format!("`{room}` may use `{used}`, and does not"));
                }
                Some(_) => {}
            }
        }
    }
    for (from, used) in &shown {
        let Some(at) = place(from) else {
            problems.push(format!("`{from}` is no room of the table"));
            continue;
        };
        for (to, line) in used {
            let is_allowed = match &rooms[at].1 {
                Some(uses) => uses.contains(to),
                None => place(to).is_some_and(|below| below > at),
            };
            if !is_allowed {
                problems.push(format!("`{from}` uses `{to}` ({line}), which the table does not say"));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "
The coordinator (`coordinator/src/`):

| room | what it is | may use |
| --- | --- | --- |
| `coordinator.rs` | wiring | all below |
| `server/` | ports | `cache/`, `http/` |
| `cache/` | lookup | `http/` |
| `http/`, `clock.rs` | messages | nothing |

| a | b | c |
| --- | --- | --- |
| `no` | room | `here` |
";

    fn problems(page: &str, imports: &[(&str, &str)]) -> Vec<String> {
        let tables = tables(page, &["coordinator/src".to_owned(), "filter/src".to_owned()]);
        assert_eq!(tables.keys().collect::<Vec<_>>(), ["coordinator/src"]);
        differences(&tables["coordinator/src"], imports.iter().map(|(from, to)| (*from, *to, "x.rs:1")))
    }

    const TRUE: [(&str, &str); 6] = [
        ("main.rs", "coordinator.rs"),
        ("coordinator.rs", "cache/mod.rs"),
        ("server/mod.rs", "server/data.rs"),
        ("server/data.rs", "cache/lookup.rs"),
        ("server/data.rs", "http/body.rs"),
        ("cache/lookup.rs", "http/body.rs"),
    ];

    #[test]
    fn a_table_that_says_what_the_imports_show_has_no_problems() {
        assert!(problems(PAGE, &TRUE).is_empty(), "{:?}", problems(PAGE, &TRUE));
    }

    #[test]
    fn an_import_that_the_table_does_not_say_is_told() {
        let up = [&TRUE[..], &[("http/body.rs", "cache/lookup.rs")]].concat();
        assert_eq!(problems(PAGE, &up), ["`http/` uses `cache/` (x.rs:1), which the table does not say"]);
        let new = [&TRUE[..], &[("new.rs", "http/body.rs")]].concat();
        assert_eq!(problems(PAGE, &new), ["`new.rs` is no room of the table"]);
        let wiring = [&TRUE[..], &[("coordinator.rs", "new.rs")]].concat();
        assert_eq!(problems(PAGE, &wiring), ["`coordinator.rs` uses `new.rs` (x.rs:1), which the table does not say"]);
    }

    #[test]
    fn what_the_table_allows_and_nothing_uses_is_told() {
        assert_eq!(problems(PAGE, &TRUE[..5]), ["`cache/` may use `http/`, and does not"]);
    }

    #[test]
    fn rows_go_down() {
        let page = PAGE.replace("| messages | nothing |", "| messages | `cache/`, `gone/` |");
        let found = problems(&page, &[&TRUE[..], &[("http/body.rs", "cache/lookup.rs")]].concat());
        assert!(found.contains(&"`http/` may use `cache/`, which is not below it".to_owned()), "{found:?}");
        assert!(found.contains(&"`http/` may use `gone/`, which is no room".to_owned()), "{found:?}");
    }
}
