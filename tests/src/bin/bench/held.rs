//! Held: how much of a store's limit is bodies, beside the build before (`MESHCACHE_BEFORE_BIN`) and golang/groupcache with the same feed.

use std::path::{Path, PathBuf};

use meshcache_tests::{Coordinator, Origin, Reply, artifact};

use crate::{
    figure::{Figure, Target, Unit},
    library,
    report::Report,
    sweep::sweep,
};

/// The limit, MiB. It is never less than the second: what does not grow with it (threads, allocator) must not count.
const LIMIT: (u64, u64) = (128, 32);
/// The sizes of values, the share of the limit that has to be bodies, and the bodies that are fed: more of the limit than any store holds.
const SIZES: [(u64, Target, f64); 2] =
    [(1024, Target::AtLeast(0.75, Some(0.8)), 1.25), (100, Target::AtLeast(0.28, Some(0.35)), 0.5)];
/// A store that holds more at equal memory than the build before, at 1 KiB.
const MORE: Target = Target::AtLeast(1.7, None);

/// What a store holds, and in how much memory.
struct Held {
    entries: f64,
    memory: f64,
}

impl Held {
    fn per_byte(&self) -> f64 {
        self.entries / self.memory
    }

    fn bodies(&self, bytes: u64, limit: u64) -> f64 {
        self.entries * bytes as f64 / limit as f64
    }
}

/// Both sizes.
pub(crate) async fn run(report: &Report) {
    let before = std::env::var_os("MESHCACHE_BEFORE_BIN").map(PathBuf::from);
    let limit = report.scaled(LIMIT.0).max(LIMIT.1) << 20;
    for (bytes, target, share) in SIZES {
        let values = (limit as f64 * share) as u64 / bytes;
        report.step(&format!("store of {} MiB, fed with {values} values of {bytes} bytes", limit >> 20));
        let held = fed(&artifact::coordinator(), limit, bytes, values).await;
        report.add(Figure::once(
            &format!("bodies held / limit, values of {bytes} bytes"),
            Unit::Ratio,
            held.bodies(bytes, limit),
            target,
        ));
        let most = Target::AtMost(1.1, None);
        report.add(Figure::once("  memory above idle / limit", Unit::Ratio, held.memory / limit as f64, most));
        if let Some(before) = &before {
            let old = fed(before, limit, bytes, values).await;
            report.add(Figure::once(
                "  entries at equal memory / the build before",
                Unit::Ratio,
                held.per_byte() / old.per_byte(),
                if bytes == 1024 { MORE } else { Target::Beside },
            ));
            report.add(Figure::once(
                "  bodies held by the build before",
                Unit::Ratio,
                old.bodies(bytes, limit),
                Target::Beside,
            ));
        }
        let go = groupcache(limit, bytes);
        report.add(Figure::once(
            "  entries at equal memory / golang/groupcache",
            Unit::Ratio,
            held.per_byte() / go.per_byte(),
            Target::Beside,
        ));
        let memory = go.memory / limit as f64;
        report.add(Figure::once("  golang/groupcache: memory above idle / limit", Unit::Ratio, memory, Target::Beside));
    }
}

/// Answers with five fields, 120 bytes of values, for paths of 24 bytes.
async fn fed(program: &Path, limit: u64, bytes: u64, values: u64) -> Held {
    let origin = Origin::start().await;
    // The origin adds a Date of 29 bytes.
    let reply = Reply::fresh(86400, "x".repeat(bytes as usize))
        .header("content-type", "text/plain; charset=utf-8")
        .header("etag", "\"5d8c72a5edda8d6a5edda8\"")
        .header("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT");
    origin.forget_heads().always("*", reply);
    let coordinator =
        Coordinator::of_program(program, &["--origin", &origin.url(), "--store-bytes", &limit.to_string()]).await;
    let idle = coordinator.process.rss();
    sweep(&[coordinator.ports.data], 16, values, |n| format!("/values/{n:016}")).await;
    let entries = coordinator.metrics().await.sum("groupcache_cache_items", &[("type", "main")]);
    println!("    {}: {entries:.0} entries", program.display());
    Held { entries, memory: coordinator.process.peak_rss().saturating_sub(idle) as f64 }
}

/// golang/groupcache has no heads: by its own count a value is its key and its bytes.
fn groupcache(limit: u64, bytes: u64) -> Held {
    let values = limit * 5 / 4 / bytes;
    let words = ["fill".to_owned(), limit.to_string(), values.to_string(), bytes.to_string()];
    let text = library::golang().says(&words.each_ref().map(String::as_str));
    let numbers: Vec<f64> = text.split_whitespace().map(|number| number.parse().unwrap()).collect();
    let [entries, memory] = numbers[..] else { panic!("golang/groupcache said {text:?}") };
    Held { entries, memory }
}
