//! Before: hits of this build and of an older one (`MESHCACHE_BEFORE_BIN`), in turns.

use std::path::PathBuf;

use meshcache_tests::{Coordinator, artifact};

use crate::{
    figure::{Figure, Target, Unit},
    mesh::{ask, warm},
    nginx::Nginx,
    report::Report,
    rounds::{Effort, Side, take},
};

const ROUNDS: usize = 60;

pub(super) async fn run(report: &Report) {
    report.step("hits of this build and of the one before, in turns");
    let Some(before) = std::env::var_os("MESHCACHE_BEFORE_BIN").map(PathBuf::from) else {
        println!("    left out: MESHCACHE_BEFORE_BIN names no build before");
        return;
    };
    let origin = Nginx::origin().await;
    let url = origin.url();
    let now = Coordinator::of_program(&artifact::coordinator(), &["--origin", &url]).await;
    let before = Coordinator::of_program(&before, &["--origin", &url]).await;
    for kib in [1, 64] {
        let ask = ask(&format!("/{kib}k"));
        for coordinator in [&now, &before] {
            warm(coordinator.ports.data, &ask, "a hit", |answer| answer.cache_status().contains("; hit")).await;
        }
        let asks = [ask];
        let sides = [
            Side::new("this build", now.ports.data, &asks, &[&now.process]),
            Side::new("the build before", before.ports.data, &asks, &[&before.process]),
        ];
        let rounds = report.scaled(ROUNDS as u64).max(5) as usize;
        let [ours, theirs] = take(sides, Effort { rounds, ..report.effort }).await;
        let name = format!("hit {kib} KiB / the build before");
        report.add(Figure::new(&name, Unit::Ratio, ours.over(&theirs), Target::AtMost(1.05, None)));
    }
}
