//! Held: how much of a store's limit is bodies, beside the build before (`MESHCACHE_BEFORE_BIN`) and golang/groupcache with the same feed.

use std::path::{Path, PathBuf};

use meshcache_tests::{Coordinator, Origin, Reply, artifact};

use crate::{
    figure::{Figure, Target, Unit},
    library,
    report::Report,
    sweep::sweep,
};

/// The limit. What does not grow with it (threads, allocator) must not count.
const LIMIT: u64 = 128 << 20;
/// Values of either size: how many bodies are more than the limit holds, and the share of it that has to be bodies.
const SIZES: [(usize, u64, Target); 2] = [
    (1024, LIMIT * 5 / 4 / 1024, Target::AtLeast(0.75, Some(0.8))),
    (100, LIMIT / 2 / 100, Target::AtLeast(0.28, Some(0.35))),
];
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

    fn bodies(&self, bytes: usize) -> f64 {
        self.entries * bytes as f64 / LIMIT as f64
    }
}

/// Both sizes.
pub(crate) async fn run(report: &Report) {
    let before = std::env::var_os("MESHCACHE_BEFORE_BIN").map(PathBuf::from);
    for (bytes, values, target) in SIZES {
        report.step(&format!("store of {} MiB, fed with {values} values of {bytes} bytes", LIMIT >> 20));
        let held = fed(&artifact::coordinator(), bytes, values).await;
        report.add(Figure::once(
            &format!("bodies held / limit, values of {bytes} bytes"),
            Unit::Ratio,
            held.bodies(bytes),
            target,
        ));
        let most = Target::AtMost(1.1, None);
        report.add(Figure::once("  memory above idle / limit", Unit::Ratio, held.memory / LIMIT as f64, most));
        if let Some(before) = &before {
            let old = fed(before, bytes, values).await;
            report.add(Figure::once(
                "  entries at equal memory / the build before",
                Unit::Ratio,
                held.per_byte() / old.per_byte(),
                if bytes == 1024 { MORE } else { Target::Beside },
            ));
            report.add(Figure::once(
                "  bodies held by the build before",
                Unit::Ratio,
                old.bodies(bytes),
                Target::Beside,
            ));
        }
        let go = groupcache(bytes);
        report.add(Figure::once(
            "  entries at equal memory / golang/groupcache",
            Unit::Ratio,
            held.per_byte() / go.per_byte(),
            Target::Beside,
        ));
        let memory = go.memory / LIMIT as f64;
        report.add(Figure::once("  golang/groupcache: memory above idle / limit", Unit::Ratio, memory, Target::Beside));
    }
}

/// Answers with five fields, 120 bytes of values, for paths of 24 bytes.
async fn fed(program: &Path, bytes: usize, values: u64) -> Held {
    let origin = Origin::start().await;
    // The origin adds a Date of 29 bytes.
    let reply = Reply::fresh(86400, vec![b'x'; bytes])
        .header("content-type", "text/plain; charset=utf-8")
        .header("etag", "\"5d8c72a5edda8d6a5edda8\"")
        .header("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT");
    origin.forget_heads().always("*", reply);
    let coordinator =
        Coordinator::of_program(program, &["--origin", &origin.url(), "--store-bytes", &LIMIT.to_string()]).await;
    let idle = coordinator.process.rss();
    sweep(&[coordinator.ports.data], 16, values, |n| format!("/values/{n:016}")).await;
    let entries = coordinator.metrics().await.sum("groupcache_cache_items", &[("type", "main")]);
    println!("    {}: {entries:.0} entries", program.display());
    Held { entries, memory: coordinator.process.peak_rss().saturating_sub(idle) as f64 }
}

/// golang/groupcache has no heads: by its own count a value is its key and its bytes.
fn groupcache(bytes: usize) -> Held {
    let values = LIMIT * 5 / 4 / bytes as u64;
    let words = ["fill".to_owned(), LIMIT.to_string(), values.to_string(), bytes.to_string()];
    let text = library::golang().says(&words.each_ref().map(String::as_str));
    let numbers: Vec<f64> = text.split_whitespace().map(|number| number.parse().unwrap()).collect();
    let [entries, memory] = numbers[..] else { panic!("golang/groupcache said {text:?}") };
    Held { entries, memory }
}
