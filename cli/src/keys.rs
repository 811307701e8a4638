//! `meshcache keys`: what is stored.

use crate::{
    failed::Failed,
    output::{Output, Status},
    query::Query,
    server::Server,
    text::{self, Align},
};
use clap::Args;
use meshcache_admin::{KeysAnswer, StoredKey};

pub(crate) const EXAMPLES: &str = "\
Examples:
  meshcache keys --group config-server
  meshcache keys --group shop --prefix /catalog/ --limit 1000
  meshcache keys -o json | jq -r '.keys[].url'";

/// The flags.
#[derive(Clone, Debug, Args)]
pub struct Flags {
    /// Only of this group
    #[arg(short, long, value_name = "GROUP")]
    group: Option<String>,
    /// Only whose path begins so
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// At most so many, 1 to 10000
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    limit: u16,
}

/// Asks, and writes a line for each response.
pub async fn run(flags: Flags, server: &Server, output: &Output) -> Result<Status, Failed> {
    let path = Query::of("/keys")
        .and("group", flags.group.as_deref())
        .and("prefix", flags.prefix.as_deref())
        .and("limit", Some(&flags.limit.to_string()))
        .path();
    let answer: KeysAnswer = server.get(&path).await?;
    output.answer(&answer, as_text)?;
    let shown = u64::try_from(answer.keys.len()).unwrap_or(u64::MAX);
    if shown < answer.total {
        output.note(&format!(
            "{} of {}: --limit, --group and --prefix say which",
            text::number(shown),
            text::number(answer.total)
        ));
    }
    if !answer.unreached.is_empty() {
        output.note(&format!("no answer from {}", answer.unreached.join(", ")));
    }
    Ok(Status::of(&answer.unreached))
}

fn as_text(answer: &KeysAnswer) -> String {
    let columns = [
        ("STATUS", Align::Left),
        ("AGE", Align::Right),
        ("FRESH FOR", Align::Right),
        ("BYTES", Align::Right),
        ("KEPT AS", Align::Left),
        ("AT", Align::Left),
        ("GROUP", Align::Left),
        ("URL", Align::Left),
    ];
    let row = |key: &StoredKey| {
        vec![
            key.status.to_string(),
            text::seconds(key.age),
            match u64::try_from(key.ttl) {
                Ok(ttl) => text::seconds(ttl),
                Err(_) => format!("-{}", text::seconds(key.ttl.unsigned_abs())),
            },
            text::bytes(key.bytes),
            key.kept_as.clone(),
            key.at.clone(),
            key.group.clone(),
            key.url.clone(),
        ]
    };
    text::table(&columns, &answer.keys.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_key_holds_cannot_reach_the_terminal_and_a_stale_one_is_below_zero() {
        let key =
            StoredKey { url: "http://h/\u{1b}[2J".into(), ttl: -90, age: 150, status: 200, ..StoredKey::default() };
        let told = as_text(&KeysAnswer { keys: vec![key], ..KeysAnswer::default() });
        assert!(told.contains("200     2m30s     -1m30s"), "{told}");
        assert!(told.ends_with("http://h/\\u{1b}[2J\n"), "{told}");
    }
}
