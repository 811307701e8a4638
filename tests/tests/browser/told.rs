//! Whatever coordinators tell is shown, and as text: what clients and proxies wrote is in it.

use std::collections::BTreeMap;

use meshcache_admin::{
    ConfigState, Coordinator, CoordinatorState, Difference, GroupState, Mesh, Observed, OriginState, ProxyState,
    PurgeDone, Saved, Top, TopRow, Verdict,
};
use meshcache_tests::{Browser, browser::DESKTOP, run};
use serde_json::json;

use crate::{SHOWN, mesh, page};

/// What a stranger may have written.
const MARKUP: &str = "<img src=x onerror=alert(1)>\u{202e}'\"&amp;";

fn told(name: &str) -> CoordinatorState {
    let counts = |word: &str, n| BTreeMap::from([(word.to_owned(), n)]);
    let last = Difference {
        url: format!("http://lab.test/{MARKUP}"),
        differs: vec!["body".into()],
        candidates: vec!["header x-tenant".into()],
        told: true,
        ..Difference::default()
    };
    let verdict = Verdict {
        safe: false,
        text: "not: add x-tenant to key.headers".into(),
        yaml: Some("key: {headers: [x-tenant]}".into()),
    };
    let observed = Observed { compared: 84_210, mismatches: 3, verdict, last: vec![last], ..Observed::default() };
    CoordinatorState {
        version: "0.1.0".into(),
        ring: format!("ring of {name}"),
        config: ConfigState {
            digest: "d".into(),
            refused: Some(format!("groups[1]: {MARKUP}")),
            ..ConfigState::default()
        },
        groups: vec![GroupState {
            name: "lab".into(),
            mode: "observe".into(),
            outcomes: counts("observed", 7),
            reasons: counts("private", 5),
            observed: Some(observed),
            ..GroupState::default()
        }],
        origins: vec![OriginState {
            origin: "http://lab:9000".into(),
            requests: 40,
            failures: counts("connect", 12),
            failed_ago: Some(3000),
            ..OriginState::default()
        }],
        purges: vec![PurgeDone {
            what: "group lab, prefixes /a/".into(),
            entries: 41,
            unreached: vec!["peer-9".into()],
            ..PurgeDone::default()
        }],
        proxy_count: 1,
        proxies: vec![ProxyState { name: format!("{name} {MARKUP}"), version: MARKUP.into(), asked_ago: 5 }],
        ..CoordinatorState::default()
    }
}

#[test]
fn all_that_is_told_is_shown_and_as_text_whatever_is_in_it() {
    run(async {
        let running = mesh().await;
        let Some(mut browser) = Browser::start() else { return };
        browser.open(&page(&running.coordinators.all[0]), DESKTOP);
        browser.until(SHOWN);
        let one = |name: &str| Coordinator { name: name.into(), state: Some(told(name)), ..Coordinator::default() };
        let away = Coordinator { name: "gone".into(), unreached: Some("timeout".into()), ..Coordinator::default() };
        let saved = Saved { requests: 6543, saved: 6465, herds: 212, herd_loads: 19_400 };
        let told =
            Mesh { me: "one".into(), coordinators: vec![one("one"), one("two"), away], saved, ..Mesh::default() };
        let row = TopRow { name: format!("lab.test/{MARKUP}"), rate: 12.0, told: true, ..TopRow::default() };
        let top = Top { seconds: 10.0, rows: vec![row], unreached: vec![] };
        let (told, top) = (json!(told), json!(top));
        browser.value(&format!(
            "void (window.fetch = async url => new Response(JSON.stringify(String(url).includes('/mesh') ? {told} : {top})))"
        ));
        browser.value("document.querySelector('#keys-of').scrollIntoView()");
        browser.until_says("#told-by", "told by one");
        browser.until_says("#keys", "lab.test/<img");
        browser.click("#groups .open");
        for (at, part) in [
            ("#saved", "98.8 %"),
            ("#herds", "212 herds saved 19,400 loads"),
            ("#problems", "one refuses the configuration as it is now"),
            ("#problems", "groups[1]: <img src=x onerror=alert(1)>"),
            ("#problems", "gone does not answer: timeout"),
            ("#problems", "do not agree on the ring"),
            ("#problems", "one answers nothing from its store"),
            ("#problems", "http://lab:9000 fails: 24 of 80 requests so far, most by connect"),
            ("#origins", "connect 24"),
            ("#groups", "not: add x-tenant to key.headers"),
            ("#groups", "key: {headers: [x-tenant]}"),
            ("#groups", "by a proxy: anybody\u{2019}s word"),
            ("#groups", "http://lab.test/<img"),
            ("#purges", "group lab, prefixes /a/"),
            ("#purges", "not by peer-9"),
            ("#proxies", "one <img src=x"),
            ("#proxies-note", "told by proxies: anybody\u{2019}s word"),
            ("#keys", "by proxies"),
            ("#ring tr.away", "gone"),
        ] {
            browser.until_says(at, part);
        }
        assert_eq!(browser.value("document.querySelectorAll('main img').length"), json!(0));
        assert_eq!(browser.axe(), json!([]));
        assert_eq!(browser.problems(), json!([]));
    });
}
