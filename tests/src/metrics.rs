//! A page of Prometheus metrics as numbers by name and labels.

use std::collections::BTreeMap;

/// The samples of one page: `name{label="value",...}` with the labels in order of their names, and the value.
#[derive(Clone, Debug, Default)]
pub struct Metrics(pub BTreeMap<String, f64>);

impl Metrics {
    /// Reads the text format; lines that are no samples are left out.
    pub fn parse(page: &str) -> Metrics {
        Metrics(page.lines().filter_map(sample).collect())
    }

    /// The sample with exactly these labels; 0 when it is not there, as a counter that never counted.
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels = labels.iter().map(|(label, value)| (label.to_string(), value.to_string())).collect();
        self.0.get(&series(name, labels)).copied().unwrap_or(0.0)
    }

    /// The sum over all samples of a name that have at least these labels.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let wanted: Vec<String> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let samples = self.0.iter().filter(|(series, _)| {
            let (own, labels) = series.split_once('{').unwrap_or((series, ""));
            own == name && wanted.iter().all(|label| labels.contains(label.as_str()))
        });
        samples.map(|(_, value)| value).sum()
    }

    /// Whether any sample has this name.
    pub fn has(&self, name: &str) -> bool {
        self.0.keys().any(|series| series.split('{').next() == Some(name))
    }

    /// The series that grew since `before`, and by how much.
    pub fn since(&self, before: &Metrics) -> Metrics {
        let grown = self.0.iter().map(|(series, value)| (series.clone(), value - before.0.get(series).unwrap_or(&0.0)));
        Metrics(grown.filter(|(_, value)| *value != 0.0).collect())
    }
}

fn sample(line: &str) -> Option<(String, f64)> {
    if line.starts_with('#') {
        return None;
    }
    // A label's value may hold spaces and brackets, so the value is looked for behind the last bracket.
    let (series_text, rest) = match line.rfind('}') {
        Some(end) => line.split_at(end + 1),
        None => line.split_once(' ')?,
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    let Some((name, labels)) = series_text.split_once('{') else {
        return Some((series_text.to_owned(), value));
    };
    let mut pairs = Vec::new();
    let mut left = labels.strip_suffix('}')?;
    while let Some((label, text)) = left.split_once("=\"") {
        let end = closing_quote(text)?;
        pairs.push((label.trim_start_matches(',').trim().to_owned(), text[..end].to_owned()));
        left = &text[end + 1..];
    }
    Some((series(name, pairs), value))
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

fn series(name: &str, mut labels: Vec<(String, String)>) -> String {
    if labels.is_empty() {
        return name.to_owned();
    }
    labels.sort();
    let labels: Vec<String> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
    format!("{name}{{{}}}", labels.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_found_by_name_and_labels_in_any_order() {
        let page = "# TYPE a counter\na 1\nb{y=\"2\",x=\"a} \\\" b\"} 2.5\nb{x=\"c\"} 4 1700000000\n";
        let metrics = Metrics::parse(page);
        assert_eq!(metrics.get("a", &[]), 1.0);
        assert_eq!(metrics.get("b", &[("x", "a} \\\" b"), ("y", "2")]), 2.5);
        assert_eq!(metrics.sum("b", &[]), 6.5);
        assert_eq!(metrics.sum("b", &[("x", "c")]), 4.0);
        assert!(metrics.has("b") && !metrics.has("c"));
        assert_eq!(metrics.get("b", &[("x", "nobody")]), 0.0);
    }
}
