//! The library, beside the libraries that its users know: golang/groupcache and the crate groupcache. Each side is a program of its own in
//! `tests/library`, with one command line.

use crate::{
    built,
    figure::{Figure, Target, Unit, median},
    report::Report,
    rounds::ratios,
};
use meshcache_tests::{artifact, port};
use std::{
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

/// The keys that a peer stores.
const KEYS: u64 = 20_000;
/// The gets of a herd.
const HERD: &str = "1000";
/// The size of a value whose memory counts, bytes.
const SMALL: &str = "100";

/// The name of a row, its unit, the most that it may be of golang/groupcache's, and what measures it.
type Row<'a> = (&'a str, Unit, Option<f64>, &'a dyn Fn(&Side) -> f64);

/// One library's program.
pub(crate) struct Side {
    name: &'static str,
    program: PathBuf,
}

impl Side {
    /// Runs one measurement to its end.
    fn measure(&self, words: &[&str]) -> f64 {
        self.says(words).trim().parse().unwrap()
    }

    /// Runs the program to its end. Returns what it said.
    pub(crate) fn says(&self, words: &[&str]) -> String {
        let output = Command::new(&self.program).args(words).stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success(), "{} {words:?}: {}", self.name, output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs one measurement beside an owner that stores all keys. Returns it with the loads that the owner made meanwhile.
    fn beside_owner(&self, keys: u64, word: &str, rest: &[&str]) -> (f64, f64) {
        let at = port::unused().to_string();
        let mut owner = Owner(
            Command::new(&self.program)
                .args(["owner", &at, &keys.to_string()])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap(),
        );
        let mut said = BufReader::new(owner.0.stdout.take().unwrap());
        let mut ready = String::new();
        said.read_line(&mut ready).unwrap();
        assert_eq!(ready, "ready\n", "{}", self.name);
        let words: Vec<&str> = [word, &at].into_iter().chain(rest.iter().copied()).collect();
        let measured = self.measure(&words);
        drop(owner.0.stdin.take());
        let mut loads = String::new();
        said.read_to_string(&mut loads).unwrap();
        (measured, loads.trim().parse().unwrap())
    }
}

/// A process that ends with its value.
struct Owner(Child);

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// All rows.
pub(crate) async fn run(report: &Report) {
    report.step("the library, and those that its users know");
    let sides = [
        Side { name: "meshcache", program: built::library() },
        golang(),
        Side { name: "groupcache 0.3", program: rust() },
    ];
    let gets = report.scaled(10_000_000).to_string();
    let entries = report.scaled(1_000_000).to_string();
    let keys = report.scaled(10 * KEYS);
    let asked = keys.to_string();
    let rows: [Row<'_>; 5] = [
        ("local get", Unit::Nanos, Some(0.5), &|side| side.measure(&["local", &gets])),
        ("peer get, one at a time", Unit::Micros, Some(0.5), &|side| side.beside_owner(keys, "peer", &[&asked, "1"]).0),
        ("peer get, 32 at once", Unit::Micros, Some(0.5), &|side| side.beside_owner(keys, "peer", &[&asked, "32"]).0),
        ("herd of 1,000, load of 50 ms: last value", Unit::Micros, None, &|side| {
            let (millis, loads) = side.beside_owner(0, "herd", &[HERD]);
            assert_eq!(loads, 1.0, "{}: loads of a herd", side.name);
            millis * 1000.0
        }),
        ("memory of a value of 100 bytes", Unit::Count, Some(0.5), &|side| side.measure(&["memory", &entries, SMALL])),
    ];
    for (name, unit, most, measure) in rows {
        let mut measured = sides.each_ref().map(|_| Vec::new());
        for _ in 0..report.effort.rounds {
            for (side, values) in sides.iter().zip(&mut measured) {
                values.push(measure(side));
            }
        }
        for (side, values) in sides.iter().zip(&measured) {
            println!("    {name}: {:<20} {}", side.name, unit.text(median(values)));
        }
        let [own, go, rust] = &measured;
        let target = most.map_or(Target::Beside, |most| Target::AtMost(most, None));
        report.add(Figure::new(&format!("{name} / golang/groupcache"), Unit::Ratio, ratios(own, go), target));
        report.add(Figure::new("  / the crate groupcache", Unit::Ratio, ratios(own, rust), Target::Beside));
        report.add(Figure::new("  measured", unit, own.clone(), Target::Beside));
    }
}

/// golang/groupcache.
pub(crate) fn golang() -> Side {
    Side { name: "golang/groupcache", program: go() }
}

fn go() -> PathBuf {
    let program = artifact::repository().join("target/library/golang");
    let folder = artifact::file("tests/library/golang");
    run_to_end(Command::new("go").current_dir(folder).arg("build").arg("-o").arg(&program).arg("."));
    program
}

fn rust() -> PathBuf {
    let target = artifact::repository().join("target/library/groupcache-rs");
    let folder = artifact::file("tests/library/groupcache-rs");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    run_to_end(
        Command::new(cargo)
            .current_dir(folder)
            .args(["build", "--quiet", "--release", "--locked", "--target-dir"])
            .arg(&target),
    );
    target.join("release/library-groupcache-rs")
}

fn run_to_end(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}
