//! docs/vm.md, from nothing to a cached service: its files and commands as they stand, on three hosts in namespaces of
//! their own, with real coordinators, a real Envoy and a real name server (dnsmasq, which `scripts/setup vm` brings).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod hosts;
mod page;

use hosts::Hosts;
use meshcache_tests::artifact;
use page::{Step, fits, steps};

#[tokio::test]
async fn the_page_for_vms_leads_from_nothing_to_a_cached_service() {
    if !hosts::may_be_made() {
        eprintln!("there is no dnsmasq here: scripts/setup vm");
        return;
    }
    let page = std::fs::read_to_string(artifact::file("docs/vm.md")).unwrap();
    let mut hosts = Hosts::start(&[("cache-1", "10.0.0.1"), ("cache-2", "10.0.0.2"), ("web-1", "10.0.0.3")]).await;
    for step in steps(&page) {
        match step {
            Step::Zone(records) => hosts.serve_names(&records),
            Step::File { hosts: all, path, text } => all.iter().for_each(|host| hosts.write(host, &path, &text)),
            Step::Command { host, line, output } => command(&mut hosts, &host, &line, &output).await,
        }
    }
    let service = hosts.log("web-1", "shop");
    // What the proxy passed until it knew the coordinators comes from its own host.
    let loads = service.lines().filter(|line| line.starts_with("10.0.0.") && line.contains("GET /index.html")).count();
    assert_eq!(loads, 2, "one, and one after the purge:\n{service}");
}

/// Runs a command of the page; systemd is played by the test.
async fn command(hosts: &mut Hosts, host: &str, line: &str, shown: &[String]) {
    eprintln!("{host}$ {line}");
    if let Some(unit) = line.strip_prefix("systemctl enable --now ") {
        hosts.start_unit(host, unit);
    } else if let Some(unit) = line.strip_prefix("systemctl stop ") {
        hosts.stop_unit(host, unit).await;
    } else if let Some(rest) = line.strip_prefix("systemd-run --unit ") {
        let (unit, rest) = rest.split_once(" --working-directory ").unwrap();
        let (folder, program) = rest.split_once(' ').unwrap();
        hosts.start_program(host, unit, &format!("cd {folder} && exec {program}"));
    } else if shown.is_empty() {
        hosts.run(host, line);
    } else {
        eprintln!("{}", hosts.run_until(host, line, |output| fits(output, shown)).await);
    }
}
