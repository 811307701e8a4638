//! Size of the filter as proxies fetch it.

use meshcache_tests::artifact;

use crate::{
    figure::{Figure, Target, Unit},
    report::Report,
};

/// One look at the file.
pub(crate) async fn run(report: &Report) {
    let bytes = std::fs::metadata(artifact::filter()).unwrap().len();
    report.add(Figure::once("size of the filter", Unit::Bytes, bytes as f64, Target::AtMost(f64::from(1 << 20), None)));
}
