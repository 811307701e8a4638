//! docs/logs.md has each event that a coordinator logs.

use std::{collections::BTreeSet, fmt::Write, path::Path};

use meshcache_tests::artifact;

use super::hold;

#[test]
fn the_page_of_logs_has_each_event_that_a_coordinator_logs() {
    let file = "docs/logs.md";
    let found = std::fs::read_to_string(artifact::file(file)).unwrap();
    let (begin, end) = ("\n## Every event\n", "\n## Access log\n");
    let (intro, rest) = found.split_once(begin).expect("the page has its introduction by hand");
    let (_, access) = rest.split_once(end).expect("the access log follows");
    let events = logged(&artifact::file("coordinator/src"));
    let mut page = format!("{intro}{begin}\nText in braces is filled in.\n\n| level | event |\n| --- | --- |\n");
    for (level, word) in [("error", "ERROR"), ("warn", "WARN"), ("info", "INFO")] {
        let of_level = events.iter().filter(|(of, _)| *of == level);
        let plain = |event: &str| event.replace("{{", "{").replace("}}", "}").replace("\\\"", "\"");
        of_level.for_each(|(_, event)| writeln!(page, "| {word} | `{}` |", plain(event)).unwrap());
    }
    hold(file, &format!("{page}{end}{access}"));
    // What is written by hand above names events as they are.
    let known = |word: &str| events.iter().any(|(_, event)| event.contains(word) || is_filled_in(event, word));
    let rows = intro.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| DEBUG"));
    let by_hand = rows.filter_map(|line| line.split(" | ").nth(1)).flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let unknown: Vec<&str> = by_hand.filter(|word| !word.contains(": what is wrong") && !known(word)).collect();
    assert!(unknown.is_empty(), "{file} names events that no source logs: {unknown:?}");
}

/// Whether a word may be the beginning of an event of which some is filled in.
fn is_filled_in(event: &str, word: &str) -> bool {
    let by_itself = event.split(['{', '}']).step_by(2).filter_map(|text| text.split(':').next()).map(str::trim);
    event.contains('{') && by_itself.filter(|text| text.len() > 3).any(|text| word.contains(text))
}

/// Level and message of each event in the sources of a folder, tests left out.
fn logged(folder: &Path) -> BTreeSet<(&'static str, String)> {
    let mut found = BTreeSet::new();
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.extend(logged(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod").next().unwrap();
            for level in ["error", "warn", "info"] {
                let begin = format!("{level}!(");
                let calls = code.split(&begin).skip(1);
                found.extend(calls.filter_map(message).map(|event| (level, event)));
            }
        }
    }
    found
}

/// The message of an event: the first argument that is a text and no field's value.
fn message(arguments: &str) -> Option<String> {
    let (mut depth, mut at_start, mut chars) = (0, true, arguments.chars());
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                let (mut text, mut escaped) = (String::new(), false);
                for c in chars.by_ref() {
                    match c {
                        _ if escaped => escaped = false,
                        '\\' => escaped = true,
                        '"' => break,
                        _ => {}
                    }
                    text.push(c);
                }
                // What is all filled in says nothing here.
                if depth == 0 && at_start {
                    return text.split(['{', '}']).step_by(2).any(|by_itself| !by_itself.is_empty()).then_some(text);
                }
                at_start = false;
            }
            '(' | '[' | '{' => depth += 1,
            ')' if depth == 0 => return None,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => at_start = true,
            c if c.is_whitespace() => {}
            _ => at_start = false,
        }
    }
    None
}
