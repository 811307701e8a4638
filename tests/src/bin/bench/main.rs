//! The benchmark: each figure beside a peer or a floor of the same sitting, taken in turns.
//!
//! `bench [--quick] [FIGURE...]`: all figures, or those named. It exits with 1 when one is missed. `stream` is measured only when it is named.

// A measurement that cannot be made ends its figure at the line that saw it; the others go on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{process::ExitCode, sync::Arc, time::Duration};

use report::Report;
use rounds::Effort;

mod built;
mod change;
mod cores;
mod cpu;
mod feed;
mod figure;
mod gone;
mod held;
mod herd;
mod hit;
mod hot;
mod large;
mod library;
mod memory;
mod mesh;
mod miss;
mod nginx;
mod pass;
mod passing;
mod plot;
mod purge;
mod question;
mod report;
mod rest;
mod ring;
mod rounds;
mod scripted_origin;
mod size;
mod slow_origin;
mod soak;
mod store;
mod stream;
mod sweep;
mod workers;

const FIGURES: [&str; 21] = [
    "size", "ring", "hot", "workers", "question", "passing", "rest", "gone", "hit", "miss", "pass", "store", "held",
    "large", "soak", "herd", "purge", "change", "feed", "library", "stream",
];
/// What is not measured unless it is asked for.
const NAMED_ONLY: &str = "stream";
// Short turns: what disturbs the machine for a while then befalls all sides of a round.
const FULL: Effort = Effort { rounds: 15, turn: Duration::from_millis(500), connections: 32 };
const QUICK: Effort = Effort { rounds: 5, turn: Duration::from_millis(300), connections: 32 };

fn main() -> ExitCode {
    let (options, mut names): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with('-'));
    let known = |name: &String| FIGURES.contains(&name.as_str()) || stream::PARTS.contains(&name.as_str());
    let unknown = !names.iter().all(known) || options.iter().any(|option| option != "--quick");
    if unknown {
        eprintln!("usage: bench [--quick] [FIGURE...]\nfigures: {}", FIGURES.join(" "));
        eprintln!("parts of {NAMED_ONLY}: {}", stream::PARTS.join(" "));
        return ExitCode::from(2);
    }
    if names.is_empty() {
        names = FIGURES.iter().filter(|name| **name != NAMED_ONLY).map(ToString::to_string).collect();
    }
    if let Some(at) = names.iter().position(|name| name == NAMED_ONLY) {
        names.splice(at..=at, stream::PARTS.map(str::to_owned));
    }
    built::build();
    // The report has the message; the table is no place for backtraces.
    std::panic::set_hook(Box::new(|_| {}));
    let (effort, scale) = if options.is_empty() { (FULL, 1.0) } else { (QUICK, 0.1) };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let ok = runtime.block_on(async {
        tokio::select! {
            ok = measure(names, Report::new(effort, scale)) => ok,
            // Whatever runs ends with this process.
            _ = tokio::signal::ctrl_c() => false,
        }
    });
    runtime.shutdown_background();
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn measure(names: Vec<String>, report: Report) -> bool {
    let report = Arc::new(report);
    for name in names {
        // A task of its own, so that a panic ends only this figure.
        let (figure_name, own) = (name.clone(), report.clone());
        if let Err(error) = tokio::spawn(async move { figure(&figure_name, &own).await }).await {
            let panic = error.try_into_panic().ok();
            let text = panic.as_ref().and_then(|panic| {
                panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied())
            });
            report.failed(&name, text.unwrap_or("it does not say why"));
        }
    }
    report.end()
}

async fn figure(name: &str, report: &Report) {
    match name {
        "size" => size::run(report).await,
        "ring" => ring::run(report).await,
        "hot" => hot::run(report).await,
        "question" => question::run(report).await,
        "passing" => passing::run(report).await,
        "workers" => workers::run(report).await,
        "rest" => rest::run(report).await,
        "held" => held::run(report).await,
        "gone" => gone::run(report).await,
        "hit" => hit::run(report).await,
        "miss" => miss::run(report).await,
        "pass" => pass::run(report).await,
        "store" => store::run(report).await,
        "large" => large::run(report).await,
        "soak" => soak::run(report).await,
        "purge" => purge::run(report).await,
        "change" => change::run(report).await,
        "feed" => feed::run(report).await,
        "library" => library::run(report).await,
        "herd" => herd::run(report).await,
        part => stream::run(part, report).await,
    }
}
