//! The tables of all coordinators as one. Pure.

use crate::inquiry::{live::table::sort, no_answer::NoAnswer};
use meshcache_admin::{Top, TopBy, TopRequest, TopRow};
use meshcache_protocol::Peer;
use std::collections::HashMap;

/// The rows of an answer where none are asked for, and at most.
const ROWS: usize = 20;
const MAX_ROWS: usize = 200;

/// Puts the rows of all coordinators together. Rates and their errors add up; a name that is not among the first 1,024
/// of a coordinator is not counted there.
pub(crate) fn merged(request: &TopRequest, answers: Vec<(Peer, Result<Top, NoAnswer>)>) -> Top {
    let mut all = Top::default();
    let mut rows: HashMap<(String, Option<String>, bool), TopRow> = HashMap::new();
    for (peer, answer) in answers {
        let Ok(top) = answer else {
            all.unreached.push(peer.name);
            continue;
        };
        // One that has just begun to count says nothing about the others.
        if top.seconds > 0.0 && (all.seconds == 0.0 || top.seconds < all.seconds) {
            all.seconds = top.seconds;
        }
        for row in top.rows {
            // One key may be in two groups, one after the other; what two groups have in common is a row of neither.
            let of_group = row.group.clone().filter(|_| request.by == TopBy::Keys);
            let sum = rows.entry((row.name.clone(), of_group, row.told)).or_insert_with(|| TopRow {
                name: row.name.clone(),
                group: row.group.clone(),
                told: row.told,
                ..TopRow::default()
            });
            if sum.group != row.group {
                sum.group = None;
            }
            add(sum, &row);
        }
    }
    all.rows = rows.into_values().collect();
    sort(request.by, &mut all.rows);
    all.rows.truncate(if request.limit == 0 { ROWS } else { request.limit.min(MAX_ROWS) });
    all
}

/// Adds a row. Means weigh by the requests that are certain.
fn add(sum: &mut TopRow, row: &TopRow) {
    let (before, more) = (sum.rate - sum.rate_error, row.rate - row.rate_error);
    let mean = |a: f64, b: f64| if before + more > 0.0 { (a * before + b * more) / (before + more) } else { a.max(b) };
    (sum.hits, sum.took) = (mean(sum.hits, row.hits), mean(sum.took, row.took));
    sum.rate += row.rate;
    sum.rate_error += row.rate_error;
    sum.bytes += row.bytes;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, rate: f64, rate_error: f64, hits: f64, took: f64) -> TopRow {
        TopRow { name: name.into(), rate, rate_error, hits, took, bytes: 1.0, ..TopRow::default() }
    }

    fn merge(by: TopBy, tops: Vec<Result<Top, NoAnswer>>) -> Top {
        let peer = |n: usize| Peer { name: format!("c{n}"), data: String::new(), peer: String::new() };
        let request = TopRequest { by, limit: 2, ..TopRequest::default() };
        merged(&request, tops.into_iter().enumerate().map(|(n, top)| (peer(n), top)).collect())
    }

    #[test]
    fn rates_and_errors_of_coordinators_add_up_and_means_weigh() {
        let one = Top {
            seconds: 10.0,
            rows: vec![row("a", 30.0, 0.0, 1.0, 1.0), row("b", 25.0, 24.0, 0.0, 1.0)],
            ..Top::default()
        };
        let other = Top {
            seconds: 4.0,
            rows: vec![row("a", 12.0, 2.0, 0.0, 5.0), row("c", 7.0, 0.0, 0.0, 9.0)],
            ..Top::default()
        };
        let all = merge(
            TopBy::Keys,
            vec![Ok(one.clone()), Ok(other.clone()), Ok(Top::default()), Err(NoAnswer("timeout".into()))],
        );
        assert_eq!((all.seconds, all.unreached), (4.0, vec!["c3".to_owned()]));
        assert_eq!(all.rows, [TopRow { bytes: 2.0, ..row("a", 42.0, 2.0, 0.75, 2.0) }, row("c", 7.0, 0.0, 0.0, 9.0)]);
        let of = |group: Option<&str>| {
            Ok(Top {
                seconds: 10.0,
                rows: vec![TopRow { group: group.map(str::to_owned), ..row("http://o", 2.0, 0.0, 0.0, 9.0) }],
                ..Top::default()
            })
        };
        let two = merge(TopBy::Origins, vec![of(Some("g")), of(None)]).rows;
        assert_eq!(two, [TopRow { bytes: 2.0, ..row("http://o", 4.0, 0.0, 0.0, 9.0) }], "one origin is one row");
        assert_eq!(merge(TopBy::Origins, vec![Ok(one), Ok(other)]).rows[0].name, "c", "the slowest first");
    }

    #[test]
    fn what_proxies_told_is_a_row_of_its_own() {
        let told = TopRow { told: true, ..row("g", 9.0, 0.0, 1.0, 0.0) };
        let top = |rows| Ok(Top { seconds: 10.0, rows, ..Top::default() });
        let all = merge(TopBy::Groups, vec![top(vec![row("g", 1.0, 0.0, 0.0, 3.0), told.clone()]), top(vec![told])]);
        assert_eq!(all.rows.iter().map(|row| (row.rate, row.told)).collect::<Vec<_>>(), [(18.0, true), (1.0, false)]);
    }
}
