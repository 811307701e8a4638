//! The admin page in a real Chromium (CHROMIUM_BIN, else what `scripts/setup browser` installs). Where there is none,
//! that is said and nothing is opened. `UPDATE=1` makes the pictures of the documentation anew.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{sync::Arc, time::Duration};

use meshcache_tests::{
    Ask, Browser, Coordinator, Mesh, Origin, Reply, Shared,
    browser::{DARK, DESKTOP, PHONE},
    coordinator::ADMIN_TOKEN,
    groups::SHOP,
    run,
};
use serde_json::{Value, json};

/// Three coordinators, whose page is shown; some answers are stored, some are private, and some differ.
static MESH: Shared<Mesh> = Shared::new();

async fn mesh() -> Arc<Mesh> {
    MESH.get(start).await
}

async fn start() -> Mesh {
    let observe = json!({"mode": "observe"});
    let mesh = Mesh::of(3, 0).groups(|groups| groups.plus("lab", observe)).start().await;
    mesh.origin.always("/private", Reply::ok("for one").header("cache-control", "private, max-age=60"));
    mesh.origin.on("*", |request| Reply::fresh(600, format!("{} {}", request.uri, request.header("x-tenant"))));
    for coordinator in 0..3 {
        for path in ["/a/1", "/a/2", "/a/1", "/private"] {
            ask(&mesh, coordinator, SHOP, path).await;
        }
    }
    mesh
}

async fn ask(mesh: &Mesh, coordinator: usize, host: &str, path: &str) -> u16 {
    Ask::get(host, path).send(mesh.coordinators.data()[coordinator]).await.unwrap().status
}

fn page(coordinator: &Coordinator) -> String {
    format!("http://{}/", coordinator.ports.admin)
}

/// A browser with the page of the first coordinator, and its figures there.
fn opened(mesh: &Mesh) -> Option<Browser> {
    let mut browser = Browser::start()?;
    browser.open(&page(&mesh.coordinators.all[0]), DESKTOP);
    browser.until(SHOWN);
    Some(browser)
}

const SHOWN: &str = "document.querySelectorAll('#groups .open').length > 0";

/// Waits until the page has looked again.
fn looks_again(browser: &mut Browser) {
    // In every look the page asks for /mesh: two more of them, since one may be under way.
    let looks = "performance.getEntriesByType('resource').filter(one => one.name.endsWith('/mesh')).length";
    let before = browser.value(looks).as_u64().unwrap();
    browser.until(&format!("{looks} >= {}", before + 2));
}

fn group_button(name: &str) -> String {
    format!("#groups .open:text-is('{name}')")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_page_opens_in_a_browser_with_the_token_as_password_and_not_without() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    std::fs::write(&tokens, "the-token").unwrap();
    let coordinator =
        Coordinator::in_front_of("http://127.0.0.1:9", &["--admin-token-file", tokens.to_str().unwrap()]).await;
    let Some(mut browser) = Browser::start() else { return };
    // In the address, too, as it is in a bookmark.
    let with_password = page(&coordinator).replace("http://", "http://anybody:the-token@");
    for (url, password) in [(page(&coordinator), "the-token"), (with_password, "another")] {
        assert_eq!(browser.open_as(&url, DESKTOP, password), json!(200));
        browser.until_says("#groups", "default");
        assert_eq!(browser.problems(), json!([]));
    }
    assert_eq!(browser.open_as(&page(&coordinator), DESKTOP, "another"), json!(401));
}

#[test]
fn axe_finds_nothing_wrong_in_light_and_dark_on_a_desktop_and_on_a_phone() {
    run(async {
        let mesh = mesh().await;
        let Some(mut browser) = Browser::start() else { return };
        for window in [DESKTOP, DARK, PHONE] {
            browser.open(&page(&mesh.coordinators.all[0]), window);
            browser.until(SHOWN);
            browser.click(&group_button("shop"));
            browser.fill("#why-url", &format!("http://{SHOP}/private"));
            browser.click("#why [type=submit]");
            browser.until("document.querySelector('#why-said').innerText && !document.querySelector('#why-said').innerText.startsWith('Asking')");
            browser.choose("#purge-way", "group");
            browser.choose("#purge-group", "shop");
            browser.click("#purge [type=submit]");
            browser.until("!document.querySelector('#purge-now').hidden");
            assert_eq!(browser.axe(), json!([]), "{window:?}");
            assert_eq!(browser.problems(), json!([]), "{window:?}");
            let is_wide = browser.value("document.documentElement.scrollWidth > document.documentElement.clientWidth");
            assert_eq!(is_wide, json!(false), "the page moves sideways: {window:?}");
            browser.offline(true);
            browser.until("document.body.classList.contains('stale')");
            assert_eq!(browser.axe(), json!([]), "stale, {window:?}");
        }
    });
}

#[test]
fn the_number_on_the_page_is_that_of_the_whole_mesh() {
    run(async {
        let mesh = mesh().await;
        let Some(mut browser) = opened(&mesh) else { return };
        looks_again(&mut browser);
        let saved = mesh.coordinators.all[1].admin("GET", "/mesh", "").await.1["saved"].take();
        let told: meshcache_admin::Saved = serde_json::from_value(saved).unwrap();
        assert!(told.requests >= 12 && told.saved > 0, "{told}");
        let text = format!("{} ({})", browser.text("#saved"), browser.text("#herds"));
        assert_eq!(text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase(), told.to_string());
    });
}

#[test]
fn what_somebody_typed_opened_selected_or_focused_stays_while_figures_change() {
    run(async {
        let mesh = mesh().await;
        let Some(mut browser) = opened(&mesh) else { return };
        browser.click(&group_button("shop"));
        browser.fill("#why-url", "http://half.a.");
        browser.fill("#purge-values", "http://half.b.");
        browser.value("getSelection().selectAllChildren(document.querySelector('#ring tbody'))");
        let selected = browser.value("String(getSelection())");
        browser.value(&format!("document.querySelector('#groups .open').focus()"));
        let focused = browser.value("document.activeElement.innerText");
        let before = browser.text("#of");
        for _ in 0..5 {
            ask(&mesh, 0, SHOP, "/a/1").await;
        }
        browser.until(&format!(
            "document.querySelector('#of').innerText.replaceAll('\\u00a0', ' ') !== {}",
            json!(before)
        ));
        looks_again(&mut browser);
        assert!(browser.text("#groups").contains("Reasons: not from the cache"), "the group is open");
        assert_eq!(browser.value("document.querySelector('#why-url').value"), json!("http://half.a."));
        assert_eq!(browser.value("document.querySelector('#purge-values').value"), json!("http://half.b."));
        assert_eq!(browser.value("String(getSelection())"), selected);
        assert_eq!(browser.value("document.activeElement.innerText"), focused);
        // Without a mouse: the key that presses a button closes the row that it opened.
        browser.press("Enter");
        browser.press("Enter");
        assert_eq!(browser.value("document.activeElement.getAttribute('aria-expanded')"), json!("false"));
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_ended_is_named_and_what_it_told_last_stays_in_grey() {
    let mut mesh = start().await;
    let Some(mut browser) = opened(&mesh) else { return };
    browser.until_says("#well", "3 of 3 coordinators answered");
    mesh.coordinators.all[2].kill();
    browser.until_says("#problems", "peer-2 does not answer");
    browser.until_says("#ring tr.away", "as of ");
    assert!(browser.text("#ring tr.away").starts_with("peer-2"));
    assert!(browser.text("#news").contains("peer-2 does not answer"), "it is heard, too");
    mesh.coordinators.restart(2).await;
    browser.until_says("#well", "3 of 3 coordinators answered");
    // The first coordinator itself: no figure is true any more.
    mesh.coordinators.all[0].kill();
    browser.until("document.body.classList.contains('stale')");
    let state = browser.text("#state");
    assert!(state.contains("as of ") && state.contains("is not reached"), "{state}");
    mesh.coordinators.restart(0).await;
    browser.until("!document.body.classList.contains('stale')");
}

#[test]
fn a_page_that_nobody_sees_asks_for_nothing() {
    run(async {
        let mesh = mesh().await;
        let Some(mut browser) = opened(&mesh) else { return };
        let turn = |hidden: bool| {
            format!(
                "Object.defineProperty(document, 'hidden', {{configurable: true, get: () => {hidden}}}); document.dispatchEvent(new Event('visibilitychange'))"
            )
        };
        looks_again(&mut browser);
        browser.value(&turn(true));
        // In 5 s of the page's own clock it would look twice.
        let asked = "performance.getEntriesByType('resource').length";
        let more = browser.value(&format!("(async () => {{ await new Promise(done => setTimeout(done, 1500)); const before = {asked}; await new Promise(done => setTimeout(done, 5000)); return {asked} - before }})()"));
        assert_eq!(more, json!(0));
        browser.value(&turn(false));
        looks_again(&mut browser);
    });
}

#[test]
fn the_box_explains_why_a_private_response_is_not_stored() {
    run(async {
        let mesh = mesh().await;
        let Some(mut browser) = opened(&mesh) else { return };
        ask(&mesh, 0, SHOP, "/private").await;
        browser.fill("#why-url", &format!("http://{SHOP}/private"));
        browser.press("Enter");
        browser.until_says("#why-said", "private");
        let answer = browser.text("#why-answer");
        for part in ["shop", "cache-control: private", "peer-0", "peer-1", "peer-2", "What to change: private"] {
            assert!(answer.contains(part), "{part}: {answer}");
        }
        let link = browser.value("document.querySelector('#why-answer a').href");
        assert!(link.as_str().unwrap().ends_with("docs/reasons.md#private"), "{link}");
        browser.fill("#why-url", "not a url");
        browser.press("Enter");
        browser.until("document.querySelector('#why-answer').childNodes.length === 0 && !document.querySelector('#why-said').innerText.startsWith('Asking')");
        assert!(browser.text("#why-said").contains("url"), "one line that says what is wrong");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn the_purge_form_counts_first_and_then_purges_what_it_counted() {
    let mesh = start().await;
    let Some(mut browser) = opened(&mesh) else { return };
    let loads = mesh.origin.hits("/a/1");
    browser.choose("#purge-way", "prefixes");
    browser.choose("#purge-group", "shop");
    browser.fill("#purge-values", "/a/");
    browser.click("#purge [type=submit]");
    browser.until_says("#purge-said", "Would remove: 2 responses");
    browser.until_says("#purge-said", "Nothing has been purged");
    ask(&mesh, 1, SHOP, "/a/1").await;
    assert_eq!(mesh.origin.hits("/a/1"), loads, "nothing has been purged");
    // What was counted is not what is written now.
    browser.fill("#purge-values", "/");
    assert_eq!(browser.value("document.querySelector('#purge-now').hidden"), json!(true));
    browser.fill("#purge-values", "/a/");
    browser.click("#purge [type=submit]");
    browser.until_says("#purge-now", "Purge 2 responses");
    browser.click("#purge-now");
    browser.until_says("#purge-said", "All coordinators have carried it out");
    ask(&mesh, 1, SHOP, "/a/1").await;
    assert_eq!(mesh.origin.hits("/a/1"), loads + 1);
    browser.until_says("#purges", "/a/");
    browser.fill("#purge-values", "no path");
    browser.click("#purge [type=submit]");
    browser.until_says("#purge-said", "prefixes: `no path` is not a path");
}

/// A page of another origin does all it can, in a browser that knows the password: what each try brought.
const ATTACK: &str = "<!doctype html><meta charset=utf-8><title>evil</title><script>
  const tried = async (path, init) => { try { const r = await fetch(at + path, {credentials: 'include', ...init}); return r.type === 'opaque' ? 'not readable' : await r.text() } catch { return 'refused' } }
  const framed = new Promise(done => addEventListener('load', () => { const f = document.createElement('iframe'); f.name = 'f'; f.src = at; f.onload = () => { try { done(f.contentDocument ? 'empty' : 'not readable') } catch { done('not readable') } }; document.body.append(f) }))
  const form = () => { const f = document.createElement('form'); f.method = 'post'; f.enctype = 'text/plain'; f.action = at + 'purge'; f.target = 'f'; const i = document.createElement('input'); i.name = '{\"all\": true, \"x'; i.value = '\": 1}'; f.append(i); document.body.append(f); f.submit() }
  const body = '{\"all\": true}'
  const done = (async () => [await framed, await tried('mesh'), await tried('mesh', {mode: 'no-cors'}), await tried('top', {mode: 'no-cors'}),
    await tried('purge', {method: 'POST', body}), await tried('purge', {method: 'POST', body, mode: 'no-cors'}),
    await tried('purge', {method: 'POST', body, headers: {'meshcache-request': '1'}}), form()])()
</script><body></body>";

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_reads_nothing_and_purges_nothing() {
    let (mesh, evil) = (start().await, Origin::start().await);
    let Some(mut browser) = Browser::start() else { return };
    let script = format!("<script>const at = '{}'</script>{ATTACK}", page(&mesh.coordinators.all[0]));
    evil.always("/", Reply::ok(script).header("content-type", "text/html"));
    browser.open(&evil.url(), DESKTOP);
    let brought = browser.value("done");
    let brought: Vec<&str> = brought.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(brought.iter().all(|one| ["not readable", "refused", "empty"].contains(one)), "{brought:?}");
    // The form's answer is there once the frame has loaded it: our own page is asked after that.
    let loads = mesh.origin.hits("/a/1");
    ask(&mesh, 1, SHOP, "/a/1").await;
    assert_eq!(mesh.origin.hits("/a/1"), loads, "nothing was purged");
    let order = async |headers: &[(&'static str, &str)]| {
        let mut ask = Ask::new("POST", "admin", "/purge").header("authorization", format!("Bearer {ADMIN_TOKEN}"));
        for (name, value) in headers {
            ask = ask.header(name, *value);
        }
        ask.body(r#"{"all": true}"#.to_owned()).send(mesh.coordinators.all[0].ports.admin).await.unwrap().status
    };
    assert_eq!(order(&[("sec-fetch-site", "same-site"), ("meshcache-request", "1")]).await, 403);
    assert_eq!(order(&[("sec-fetch-site", "same-origin")]).await, 403, "without the header of our own page");
    assert_eq!(order(&[("sec-fetch-site", "same-origin"), ("meshcache-request", "1")]).await, 200);
}

/// The pictures of the documentation, of a mesh at work.
#[tokio::test(flavor = "multi_thread")]
async fn the_pictures_are_of_a_mesh_at_work() {
    if std::env::var_os("UPDATE").is_none() {
        return;
    }
    let observe = json!({"mode": "observe"});
    let mesh = Mesh::of(3, 2).groups(|groups| groups.plus("lab", observe)).start().await;
    let Some(mut browser) = Browser::start() else { return };
    mesh.origin.always("/private", Reply::ok("for one").header("cache-control", "private"));
    mesh.origin.on("*", |request| {
        Reply::fresh(3, format!("{} {}", request.uri, request.header("x-tenant"))).delay(Duration::from_millis(20))
    });
    let fronts = mesh.fronts();
    let load: Vec<_> = (0..8usize)
        .map(|client| {
            let front = fronts[client % 2];
            tokio::spawn(async move {
                for i in client.. {
                    let (host, path) = match i % 40 {
                        0 => (SHOP, "/private".to_owned()),
                        1 | 2 => ("lab.test", format!("/reports/{}", i % 3)),
                        _ => (SHOP, format!("/catalogue/{}", (i * i) % 7)),
                    };
                    let tenant = ["north", "south"][i % 2];
                    let _ = Ask::get(host, &path).header("x-tenant", tenant).send(front).await;
                    tokio::time::sleep(Duration::from_millis(12)).await;
                }
            })
        })
        .collect();
    for (window, name) in [(DESKTOP, "light"), (DARK, "dark"), (PHONE, "phone")] {
        browser.open(&page(&mesh.coordinators.all[0]), window);
        browser.until(SHOWN);
        // Some time, for trends that have a shape.
        browser.until("rates.all.length > 20");
        browser.picture(&meshcache_tests::artifact::file(&format!("docs/pictures/page-{name}.png")));
    }
    load.iter().for_each(tokio::task::JoinHandle::abort);
}
