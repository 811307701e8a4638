//! docs/vm.md as steps: what it tells people to write and to type.

/// One step of the page.
#[derive(Debug)]
pub(crate) enum Step {
    /// Records of the zone: names and addresses.
    Zone(Vec<(String, String)>),
    /// A file that is the same on these hosts.
    File { hosts: Vec<String>, path: String, text: String },
    /// A command on a host, and what it prints.
    Command { host: String, line: String, output: Vec<String> },
}

/// The steps of a page, in its order.
pub(crate) fn steps(page: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```").filter(|language| !language.is_empty()) else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        match language {
            "zone" => steps.push(Step::Zone(block.iter().map(|line| record(line)).collect())),
            "console" => commands(&block, &mut steps),
            _ => steps.push(file(&block)),
        }
    }
    steps
}

fn record(line: &str) -> (String, String) {
    let (name, address) = line.split_once(' ').unwrap_or_else(|| panic!("no record: {line}"));
    (name.trim_end_matches('.').to_owned(), address.trim().to_owned())
}

fn commands(block: &[&str], steps: &mut Vec<Step>) {
    for line in block {
        match (line.split_once("$ "), steps.last_mut()) {
            (Some((host, command)), _) if !host.contains(' ') => {
                steps.push(Step::Command { host: host.to_owned(), line: command.to_owned(), output: Vec::new() });
            }
            (_, Some(Step::Command { output, .. })) => output.push((*line).to_owned()),
            _ => panic!("no command: {line}"),
        }
    }
}

/// Its first line says where it stands: `# PATH on HOST, HOST`.
fn file(block: &[&str]) -> Step {
    let place = block.first().and_then(|line| line.strip_prefix("# ")?.split_once(" on "));
    let (path, hosts) = place.unwrap_or_else(|| panic!("a block without a place: {block:?}"));
    let hosts = hosts.split(", ").map(str::to_owned).collect();
    Step::File { hosts, path: path.to_owned(), text: block.join("\n") + "\n" }
}

/// Whether an output has all that the page shows, in this order. `...` stands for anything.
pub(crate) fn fits(output: &str, shown: &[String]) -> bool {
    let mut rest = output;
    shown.iter().flat_map(|line| line.split("...")).map(str::trim).all(|piece| match rest.split_once(piece) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

#[test]
fn an_output_fits_if_it_has_all_pieces_in_order() {
    let shown = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(fits("HTTP/1.1 200 OK\r\na: b; c\r\n\r\nhello", &shown("HTTP/1.1 200 OK\n...b; ...\nhello")));
    assert!(!fits("hello\nHTTP/1.1 200 OK", &shown("HTTP/1.1 200 OK\nhello")));
    assert!(fits("anything", &[]));
}
