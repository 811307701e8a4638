//! What `kubecache --print` prints: the groups file, with all else as comments before it.

use super::Kubecache;
use std::fmt;

impl fmt::Display for Kubecache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<String> = self.arguments.iter().map(|argument| quoted(argument)).collect();
        writeln!(f, "# kubecache's environment stands for this file, and for these arguments:")?;
        writeln!(f, "#   meshcache-coordinator --config FILE {}", shown.join(" "))?;
        writeln!(f, "# Only `meshcache-coordinator kubecache` has:")?;
        if let Some(health) = &self.extra.health {
            writeln!(f, "#   health at {health}")?;
        }
        if let Some(metrics) = &self.extra.metrics {
            writeln!(f, "#   metrics at {}{}", metrics.port, metrics.names)?;
        }
        if self.is_open {
            writeln!(f, "#   a peer port that answers without a token, and takes no purges")?;
        }
        for note in &self.notes {
            writeln!(f, "# {}", note.to_string().replace(['\n', '\r'], " "))?;
        }
        f.write_str(&self.groups)
    }
}

/// Returns an argument as a shell takes it.
fn quoted(argument: &str) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.,:/=[]".contains(&b);
    if argument.bytes().all(is_plain) { argument.to_owned() } else { format!("'{}'", argument.replace('\'', r"'\''")) }
}
