//! `cachecluster.ini`, the configuration of gce-cache-cluster.

use crate::config::{
    regular_file,
    seeds::gce::{GceMatch, GceName, Pair, Zones},
};
use std::{path::Path, str::FromStr};

/// Reads which instances are coordinators. The error names file, line, section and key.
pub(super) fn read(file: &Path, peer_port: u16) -> Result<GceMatch, String> {
    let place = file.display();
    let bytes = regular_file::read(file).map_err(|error| format!("{place}: {error}"))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("{place}: not UTF-8"))?;
    let read = parse(&text, peer_port).map_err(|(line, error)| format!("{place}:{line}: {error}"))?;
    if !read.unused.is_empty() {
        tracing::warn!(file = %place, keys = read.unused.join(", "), "keys without effect: peers gossip on their peer ports");
    }
    read.matching.checked(format_args!("{place}: [match] needs `tags`, or [meta] a key"))
}

/// What a file says.
struct Read {
    matching: GceMatch,
    /// Keys that have no effect here.
    unused: Vec<String>,
}

/// An error, and the number of its line.
type Wrong = (usize, String);

fn parse(text: &str, peer_port: u16) -> Result<Read, Wrong> {
    let interface = GceName::first_interface();
    let mut matching = GceMatch { project: None, zones: Zones::Own, tags: Vec::new(), metadata: Vec::new(), interface };
    let (mut section, mut unused) = ("", Vec::new());
    for (line, number) in text.trim_start_matches('\u{feff}').lines().zip(1..) {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            section = match name.strip_suffix(']').map(str::trim) {
                Some(name @ ("cache" | "cluster" | "match" | "meta")) => name,
                _ => return Err((number, format!("{line}: not one of [cache], [cluster], [match], [meta]"))),
            };
            continue;
        }
        let (key, value) =
            line.split_once(['=', ':']).ok_or_else(|| (number, format!("`{line}` is not KEY = VALUE")))?;
        let (key, value) = (key.trim(), self::value(value));
        let wrong = |error: String| (number, format!("[{section}] {key}: {error}"));
        let name = |text: &str| GceName::from_str(text).map_err(wrong);
        match (section, key) {
            ("cache", "port") => is_peer_port(value, peer_port).map_err(wrong)?,
            ("cache", "gc_percent" | "periodic_release") | ("cluster", "port" | "heartbeat") => {
                unused.push(format!("[{section}] {key}"));
            }
            // The key without a value is as none.
            ("match", "project" | "zone" | "network_interface" | "tags") if value.is_empty() => {}
            ("match", "project") => matching.project = Some(name(value)?),
            ("match", "zone") => matching.zones = Zones::Named(vec![name(value)?]),
            ("match", "network_interface") => matching.interface = name(value)?,
            ("match", "tags") => {
                let tags = value.split(',').map(str::trim).filter(|tag| !tag.is_empty());
                matching.tags = tags.map(name).collect::<Result<_, _>>()?;
            }
            ("meta", _) if !key.is_empty() => {
                matching.metadata.retain(|pair| pair.key != key);
                matching.metadata.push(Pair { key: key.to_owned(), value: value.to_owned() });
            }
            ("", _) => return Err((number, format!("{key}: stands in no section"))),
            _ => return Err(wrong(format!("unknown key, expected {}", keys(section)))),
        }
    }
    Ok(Read { matching, unused })
}

/// The keys of a section, for people.
fn keys(section: &str) -> &'static str {
    match section {
        "cache" => "port, gc_percent or periodic_release",
        "cluster" => "port or heartbeat",
        "match" => "project, zone, network_interface or tags",
        _ => "KEY = VALUE",
    }
}

/// The port at which peers ask each other is that of `--peer-listen`. 0: any port, for tests.
fn is_peer_port(text: &str, peer_port: u16) -> Result<(), String> {
    match text.parse::<u16>() {
        Ok(port) if port != 0 && (port == peer_port || peer_port == 0) => Ok(()),
        Ok(port) if port != 0 => {
            Err(format!("not the port of --peer-listen ({peer_port}): write --peer-listen :{port}"))
        }
        _ => Err(format!("`{text}` is not a port (1 to 65535)")),
    }
}

/// A value without the comment behind it, and without its quotes.
fn value(text: &str) -> &str {
    let text = text.trim();
    let quoted = |quote: char| text.strip_prefix(quote)?.split_once(quote).map(|(inner, _)| inner);
    if let Some(inner) = quoted('"').or_else(|| quoted('\'')) {
        return inner;
    }
    let comment = [" #", " ;", "\t#", "\t;"].iter().filter_map(|mark| text.find(mark)).min();
    comment.and_then(|at| text.get(..at)).unwrap_or(text).trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// gce-cache-cluster's own example.
    const EXAMPLE: &str = "[cache]\nport = 9080\ngc_percent = 15\nperiodic_release = 30\n\n[cluster]\nport = 9999\nheartbeat = 250\n\n\
        [match]\nproject = my-project\nzone = us-central1-b\nnetwork_interface = nic0\ntags = http-server\n\n[meta]\nservice = test\n";

    fn said(text: &str) -> String {
        parse(text, 9080).map_or_else(|(line, error)| format!("{line}: {error}"), |_| "good".into())
    }

    #[test]
    fn the_example_of_gce_cache_cluster_is_read() {
        let Read { matching, unused } = parse(EXAMPLE, 9080).unwrap_or_else(|wrong| panic!("{wrong:?}"));
        let name = |text: &str| text.parse::<GceName>().unwrap();
        assert_eq!(
            matching,
            GceMatch {
                project: Some(name("my-project")),
                zones: Zones::Named(vec![name("us-central1-b")]),
                tags: vec![name("http-server")],
                metadata: vec![Pair { key: "service".into(), value: "test".into() }],
                interface: name("nic0"),
            }
        );
        assert_eq!(unused, ["[cache] gc_percent", "[cache] periodic_release", "[cluster] port", "[cluster] heartbeat"]);
    }

    #[test]
    fn comments_quotes_and_lists_are_as_in_the_ini_files_of_go() {
        let text =
            "\u{feff}; a\n# b\r\n[match]\r\ntags: a, b,  # both\nproject=\n[meta]\nk = \"a = b ; c\"\nx=1;2\nx=2\n";
        let Read { matching, .. } = parse(text, 9080).unwrap_or_else(|wrong| panic!("{wrong:?}"));
        assert_eq!(matching.tags.iter().map(GceName::as_str).collect::<Vec<_>>(), ["a", "b"]);
        let pairs: Vec<_> = matching.metadata.iter().map(|pair| (pair.key.as_str(), pair.value.as_str())).collect();
        assert_eq!(pairs, [("k", "a = b ; c"), ("x", "2")]);
        assert_eq!((matching.project, matching.zones), (None, Zones::Own), "this instance's own");
    }

    #[test]
    fn what_is_wrong_is_named_by_line_section_and_key() {
        for (text, line) in [
            (EXAMPLE, "good"),
            (
                "[match]\nzones = a\n",
                "2: [match] zones: unknown key, expected project, zone, network_interface or tags",
            ),
            ("[cache]\nsize = 1\n", "2: [cache] size: unknown key, expected port, gc_percent or periodic_release"),
            ("[cluster]\nname = a\n", "2: [cluster] name: unknown key, expected port or heartbeat"),
            ("\n[Match]\n", "2: [Match]: not one of [cache], [cluster], [match], [meta]"),
            ("[match\n", "1: [match: not one of [cache], [cluster], [match], [meta]"),
            ("port = 1\n", "1: port: stands in no section"),
            ("[match]\ntags\n", "2: `tags` is not KEY = VALUE"),
            (
                "[match]\nzone = a/b\n",
                "2: [match] zone: `a/b` is not a name (lower case letters, digits, `-`, `.`, `:`)",
            ),
            ("[cache]\nport = 80a\n", "2: [cache] port: `80a` is not a port (1 to 65535)"),
            (
                "[cache]\nport = 8083\n",
                "2: [cache] port: not the port of --peer-listen (9080): write --peer-listen :8083",
            ),
        ] {
            assert_eq!(said(text), line, "{text}");
        }
    }

    #[test]
    fn a_file_that_names_no_tag_and_no_metadata_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cachecluster.ini");
        std::fs::write(&file, "[match]\nzone = a\n").unwrap();
        let line =
            format!("{}: [match] needs `tags`, or [meta] a key: which instances are coordinators", file.display());
        assert_eq!(read(&file, 9080), Err(line));
    }
}
