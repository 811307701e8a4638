//! The report: steps as they happen, figures as they come, the table at the end, out/bench.json and the plots.

use std::{
    fs,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use meshcache_tests::artifact;
use serde_json::{Value, json};

use crate::{
    figure::Figure,
    memory::Course,
    plot,
    rounds::{Cost, Effort},
};

/// The figures measured so far.
pub(crate) struct Report {
    /// The length and number of turns.
    pub(crate) effort: Effort,
    scale: f64,
    begun: Instant,
    out: PathBuf,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    figures: Vec<Figure>,
    failures: Vec<String>,
    costs: Vec<Value>,
}

impl Report {
    /// An empty one. `scale`: the share of the large amounts (values, requests, clients) that is really used.
    pub(crate) fn new(effort: Effort, scale: f64) -> Report {
        let out = artifact::file("out");
        fs::create_dir_all(&out).unwrap();
        Report { effort, scale, begun: Instant::now(), out, found: Mutex::default() }
    }

    /// So much of a large amount, by the scale.
    pub(crate) fn scaled(&self, amount: u64) -> u64 {
        (amount as f64 * self.scale) as u64
    }

    /// Announces the next step.
    pub(crate) fn step(&self, text: &str) {
        println!("[{:>4.0} s] {text}", self.begun.elapsed().as_secs_f64());
    }

    /// One more figure.
    pub(crate) fn add(&self, figure: Figure) {
        println!(
            "    {}",
            [figure.name.trim(), "=", &figure.measured(), &figure.wanted(), figure.verdict()].join(" ").trim()
        );
        self.found().figures.push(figure);
    }

    /// A step that came to no end.
    pub(crate) fn failed(&self, name: &str, why: &str) {
        // Some programs answer a mistake with their whole configuration.
        let why: String = why.chars().take(600).collect();
        println!("    {name} FAILED: {why}");
        self.found().failures.push(format!("{name}: {why}"));
    }

    /// A plot of costs side by side.
    pub(crate) fn bars(&self, name: &str, title: &str, costs: &[Cost]) {
        let json = |cost: &Cost| json!({"side": cost.name, "micros": cost.micros, "processes": cost.processes, "rates": cost.rates});
        self.found()
            .costs
            .push(json!({"name": name, "title": title, "costs": costs.iter().map(json).collect::<Vec<_>>()}));
        fs::write(self.out.join(format!("{name}.svg")), plot::bars(title, costs)).unwrap();
    }

    /// A plot of memory over time.
    pub(crate) fn line(&self, name: &str, title: &str, course: &Course) {
        fs::write(self.out.join(format!("{name}.svg")), plot::line(title, course)).unwrap();
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        // A figure that failed half way has still said what is true.
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prints the table and writes the files; whether all was as it must be.
    pub(crate) fn end(&self) -> bool {
        let Found { figures, failures, costs } = &*self.found();
        let name = |figure: &Figure| figure.name.chars().count();
        let widest = |of: &dyn Fn(&Figure) -> usize| figures.iter().map(of).max().unwrap_or(0).max(8);
        let (names, values, targets) =
            (widest(&name), widest(&|f| f.measured().chars().count()), widest(&|f| f.wanted().chars().count()));
        println!("\n{:names$} | {:values$} | {:targets$} |", "figure", "measured", "target");
        println!("{:-<names$}-|-{:-<values$}-|-{:-<targets$}-|-------", "", "", "");
        for figure in figures {
            println!(
                "{:names$} | {:values$} | {:targets$} | {}",
                figure.name,
                figure.measured(),
                figure.wanted(),
                figure.verdict()
            );
        }
        failures.iter().for_each(|failure| println!("FAILED {failure}"));
        let all_figures: Vec<Value> = figures.iter().map(Figure::json).collect();
        let all = json!({"machine": machine(), "rounds": self.effort.rounds, "scale": self.scale, "figures": all_figures, "costs": costs, "failures": failures});
        fs::write(self.out.join("bench.json"), format!("{all:#}\n")).unwrap();
        println!(
            "\n{:.0} s; medians, with the least and the largest of {} rounds; all of it in out/bench.json, plots in out/*.svg",
            self.begun.elapsed().as_secs_f64(),
            self.effort.rounds
        );
        failures.is_empty() && figures.iter().all(|figure| figure.ok() != Some(false))
    }
}

fn machine() -> Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    json!({"cpu": model.trim_start_matches([' ', '\t', ':']), "cores": cores, "kernel": read("/proc/sys/kernel/osrelease").trim()})
}
