//! `requests_seconds`: plain clients' requests as kubecache's dashboards show them.

use parking_lot::Mutex;
use prometheus::{HistogramOpts, HistogramVec, Registry};
use std::{collections::HashSet, fmt, str::FromStr, time::Duration};

/// The most paths that have series of their own.
const MAX_PATHS: usize = 1000;
/// The longest of them, bytes.
const MAX_PATH: usize = 256;
/// The most series. Later ones have the path of those that are left out, then no series at all.
const MAX_SERIES: usize = 4000;
/// The label of what has no series of its own.
const OTHER: &str = "other";
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "QUERY"];
/// The upper bounds of kubecache's buckets, seconds.
const SECONDS: [f64; 22] = [
    0.00001, 0.000025, 0.00005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0,
    50.0, 100.0, 250.0, 500.0, 1000.0,
];

/// The upper bounds of a histogram's buckets, seconds, ascending.
#[derive(Clone, Debug, PartialEq)]
pub struct Buckets(Vec<f64>);

impl Default for Buckets {
    fn default() -> Self {
        Self(SECONDS.to_vec())
    }
}

impl Buckets {
    /// Checks the bounds. An empty list is that of Prometheus' clients.
    pub fn new(bounds: Vec<f64>) -> Result<Self, String> {
        if bounds.is_empty() {
            return Ok(Self(prometheus::DEFAULT_BUCKETS.to_vec()));
        }
        match bounds
            .iter()
            .zip(bounds.iter().skip(1))
            .find(|(bound, next)| bound.partial_cmp(next) != Some(std::cmp::Ordering::Less))
        {
            None if !bounds.iter().any(|bound| bound.is_nan()) => Ok(Self(bounds)),
            None => Err("a bucket's bound is a number".into()),
            Some((bound, next)) => Err(format!("the bounds of buckets ascend, and {next} comes after {bound}")),
        }
    }
}

impl FromStr for Buckets {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bound = |item: &str| {
            item.trim().parse().map_err(|_| format!("`{}` is not a number (example: 0.1,1,10)", item.trim()))
        };
        Self::new(text.split(',').map(bound).collect::<Result<_, _>>()?)
    }
}

impl fmt::Display for Buckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, bound) in self.0.iter().enumerate() {
            write!(f, "{}{bound}", if n == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// The histogram of plain clients' requests.
pub(crate) struct RequestMetrics {
    seconds: HistogramVec,
    seen: Mutex<Seen>,
}

/// What has series of its own.
#[derive(Default)]
struct Seen {
    paths: HashSet<Box<str>>,
    series: HashSet<(&'static str, u16, Box<str>)>,
}

impl RequestMetrics {
    pub(super) fn new(to: &Registry, Buckets(buckets): &Buckets) -> Result<Self, prometheus::Error> {
        let options = HistogramOpts::new("requests_seconds", "From a plain client's request to its response's head.");
        let seconds = HistogramVec::new(options.buckets(buckets.clone()), &["method", "status", "uri", "outcome"])?;
        to.register(Box::new(seconds.clone()))?;
        Ok(Self { seconds, seen: Mutex::default() })
    }

    /// Records a request by its response's status.
    pub(crate) fn record(&self, method: &str, status: u16, path: &str, took: Duration) {
        let method = METHODS.into_iter().find(|known| *known == method).unwrap_or(OTHER);
        let Some(uri) = self.seen.lock().label(method, status, path) else { return };
        let labels = [method, &status.to_string(), uri, outcome(status)];
        self.seconds.with_label_values(&labels).observe(took.as_secs_f64());
    }
}

impl Seen {
    /// Returns the label for a path; none: there are too many series.
    fn label<'p>(&mut self, method: &'static str, status: u16, path: &'p str) -> Option<&'p str> {
        let fits = path.len() <= MAX_PATH
            && (self.paths.contains(path) || (self.paths.len() < MAX_PATHS && self.paths.insert(path.into())));
        [path, OTHER].into_iter().skip(usize::from(!fits)).find(|path| self.admits(method, status, path))
    }

    fn admits(&mut self, method: &'static str, status: u16, path: &str) -> bool {
        // `other` may have a series for each method and status of HTTP beside those of paths.
        let most = if path == OTHER { 2 * MAX_SERIES } else { MAX_SERIES };
        let series = (method, status, path.into());
        self.series.contains(&series) || (self.series.len() < most && self.series.insert(series))
    }
}

/// kubecache's word for a status: 3xx is the client's error.
fn outcome(status: u16) -> &'static str {
    match status {
        200..=299 => "SUCCESS",
        500..=599 => "SERVER_ERROR",
        _ => "CLIENT_ERROR",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::{Encoder, TextEncoder};

    fn page(record: impl FnOnce(&RequestMetrics)) -> String {
        let registry = Registry::new();
        record(&RequestMetrics::new(&registry, &Buckets::default()).unwrap());
        let mut page = Vec::new();
        TextEncoder::new().encode(&registry.gather(), &mut page).unwrap();
        String::from_utf8(page).unwrap()
    }

    #[test]
    fn a_request_is_in_the_22_buckets_with_kubecaches_words() {
        let page = page(|metrics| {
            for status in [200, 206, 301, 404, 500, 503, 101] {
                metrics.record("GET", status, "/a", Duration::from_micros(20));
            }
        });
        for (status, outcome) in [
            (206, "SUCCESS"),
            (301, "CLIENT_ERROR"),
            (404, "CLIENT_ERROR"),
            (503, "SERVER_ERROR"),
            (101, "CLIENT_ERROR"),
        ] {
            let line = format!(
                "requests_seconds_count{{method=\"GET\",outcome=\"{outcome}\",status=\"{status}\",uri=\"/a\"}} 1"
            );
            assert!(page.contains(&line), "{line}\n{page}");
        }
        let of_200 =
            page.lines().filter(|line| line.starts_with("requests_seconds_bucket") && line.contains("\"200\""));
        assert_eq!(of_200.count(), 23, "22 and +Inf");
        assert!(
            page.contains("uri=\"/a\",le=\"0.00001\"} 0\n") && page.contains("uri=\"/a\",le=\"0.000025\"} 1\n"),
            "{page}"
        );
    }

    #[test]
    fn neither_paths_nor_methods_nor_statuses_make_series_without_end() {
        let page = page(|metrics| {
            for n in 0..2000 {
                metrics.record("GET", 200, &format!("/{n}"), Duration::ZERO);
                metrics.record(&format!("M{n}"), 200, "/0", Duration::ZERO);
            }
            metrics.record("GET", 200, &"/x".repeat(1000), Duration::ZERO);
            metrics.record("GET", 200, "/999", Duration::ZERO);
        });
        let count = |word: &str| page.lines().filter(|line| line.contains("_count") && line.contains(word)).count();
        assert_eq!((count("uri=\""), count("method=\"other\"")), (1002, 1));
        assert!(page.contains("uri=\"other\"} 1001\n") && page.contains("uri=\"/999\"} 2\n"), "{page}");
        let mut seen = Seen::default();
        for status in 100..=999 {
            for n in 0..100 {
                seen.label("GET", status, &format!("/{n}"));
            }
        }
        assert_eq!(
            (seen.series.len(), seen.label("GET", 999, "/0")),
            (MAX_SERIES + 900 - MAX_SERIES / 100, Some("other"))
        );
    }

    #[test]
    fn buckets_ascend_and_are_written_as_they_are_read() {
        let text = "0.00001,0.000025,0.00005,0.001,0.0025,0.005,0.01,0.025,0.05,0.1,0.25,0.5,1,2.5,5,10,25,50,100,250,500,1000";
        assert_eq!(Buckets::default().to_string(), text);
        assert_eq!(text.parse(), Ok(Buckets::default()));
        assert_eq!("1,1".parse::<Buckets>(), Err("the bounds of buckets ascend, and 1 comes after 1".into()));
        assert_eq!("1,x".parse::<Buckets>(), Err("`x` is not a number (example: 0.1,1,10)".into()));
        assert!(Buckets::new(vec![f64::NAN]).is_err() && Buckets::new(Vec::new()).is_ok());
    }
}
