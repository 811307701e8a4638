//! The admin page in a real Chromium (CHROMIUM_BIN, else what `scripts/setup browser` installs). Where there is none,
//! that is said and nothing is opened.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::{Command, Stdio};

use meshcache_tests::Coordinator;

/// What a browser shows of a page; nothing where there is no browser.
fn shown(url: &str) -> Option<String> {
    let profile = tempfile::tempdir().unwrap();
    let mut chromium = Command::new(std::env::var_os("CHROMIUM_BIN").unwrap_or("chromium-headless-shell".into()));
    chromium.args([
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--virtual-time-budget=3000",
        "--timeout=20000",
        "--dump-dom",
    ]);
    chromium.arg(format!("--user-data-dir={}", profile.path().display())).arg(url).stderr(Stdio::null());
    let Ok(output) = chromium.output() else {
        eprintln!("there is no Chromium here: scripts/setup browser");
        return None;
    };
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[tokio::test]
async fn the_admin_page_opens_in_a_browser_with_the_token_as_password_and_not_without() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    std::fs::write(&tokens, "the-token").unwrap();
    let coordinator =
        Coordinator::in_front_of("http://127.0.0.1:9", &["--admin-token-file", tokens.to_str().unwrap()]).await;
    let at = coordinator.ports.admin;
    let page = async |who: &str| {
        let url = format!("http://{who}{at}/");
        tokio::task::spawn_blocking(move || shown(&url)).await.unwrap()
    };
    let Some(page_with_token) = page("anybody:the-token@").await else { return };
    assert!(page_with_token.contains("<title>meshcache</title>"), "{page_with_token}");
    // The tables are filled in by what the page itself asks for.
    assert!(page_with_token.contains("<td>default</td>"), "{page_with_token}");
    let refused = page("anybody:another@").await.unwrap();
    assert!(!refused.contains("<title>meshcache</title>"), "{refused}");
}
