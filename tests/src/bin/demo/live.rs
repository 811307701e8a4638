//! What the mesh saved so far, while the story goes on: asked of the coordinators as the page asks them, and of the
//! Envoys.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use meshcache_admin::{Grouped, Saved};
use meshcache_tests::{Mesh, Metrics, client};
use parking_lot::Mutex;

use crate::screen::Screen;

/// How often the line on a terminal is renewed: seldom enough to cost the Envoys nothing that a measurement would show.
const RENEWED: Duration = Duration::from_secs(1);

/// How often it looks at most until the numbers stand still.
const MOST_LOOKS: usize = 5;

/// The numbers of a mesh, and where they are shown.
#[derive(Clone)]
pub(crate) struct Live {
    screen: Screen,
    /// Admin ports of coordinators, and what each has told.
    coordinators: Arc<Mutex<Vec<(SocketAddr, Told)>>>,
    envoys: Vec<SocketAddr>,
}

/// What a coordinator has told. It counts from its start on, so what it told before a death is added.
#[derive(Clone, Copy, Default)]
struct Told {
    before: Saved,
    now: Saved,
}

impl Told {
    fn update(&mut self, now: Saved) {
        if now.requests < self.now.requests {
            self.before = self.before + self.now;
        }
        self.now = now;
    }
}

impl Live {
    /// Of this mesh, asked from now on; on a terminal the line is renewed each time.
    pub(crate) fn of(mesh: &Mesh, screen: Screen) -> Live {
        let coordinators = mesh.coordinators.all.iter().map(|one| (one.ports.admin, Told::default())).collect();
        let envoys = mesh.envoys.iter().map(|envoy| envoy.admin).collect();
        let live = Live { screen, coordinators: Arc::new(Mutex::new(coordinators)), envoys };
        let asking = live.clone();
        tokio::spawn(async move {
            loop {
                let line = asking.text().await;
                if asking.screen.is_terminal() {
                    asking.screen.renew(&line);
                }
                tokio::time::sleep(RENEWED).await;
            }
        });
        live
    }

    /// Writes the line where none is renewed.
    pub(crate) async fn line(&self) {
        if !self.screen.is_terminal() {
            self.settled().await;
            let text = self.text().await;
            self.screen.line(&format!("          {text}"));
        }
    }

    /// What the mesh saved, when proxies have told all that they counted.
    pub(crate) async fn settled(&self) -> Saved {
        let mut before = self.saved().await;
        for _ in 0..MOST_LOOKS {
            // A proxy tells once a second.
            tokio::time::sleep(RENEWED + RENEWED / 4).await;
            let now = self.saved().await;
            if now == before {
                break;
            }
            before = now;
        }
        before
    }

    /// What the mesh saved so far.
    async fn saved(&self) -> Saved {
        let all: Vec<SocketAddr> = self.coordinators.lock().iter().map(|(at, _)| *at).collect();
        for at in all {
            let told = own(at).await;
            let mut all = self.coordinators.lock();
            if let (Some(told), Some((_, known))) = (told, all.iter_mut().find(|(of, _)| *of == at)) {
                known.update(told);
            }
        }
        self.coordinators.lock().iter().map(|(_, told)| told.before + told.now).sum()
    }

    async fn text(&self) -> String {
        let saved = self.saved().await;
        let loads = u64::try_from(saved.saved).map_or(saved.requests, |kept| saved.requests.saturating_sub(kept));
        let mut text = format!("{saved}, the service saw {}", Grouped(loads));
        for (n, at) in self.envoys.iter().enumerate() {
            let (hot, all) = answered(*at).await;
            text.push_str(&format!("; proxy {}: {}, {} of them hot", n + 1, Grouped(all), Grouped(hot)));
        }
        text
    }
}

/// What a coordinator says that it saved itself; none: it does not answer.
async fn own(at: SocketAddr) -> Option<Saved> {
    let page = tokio::time::timeout(RENEWED, client::get(at, "/mesh")).await.ok()?.ok()?;
    let mesh: meshcache_admin::Mesh = serde_json::from_str(&page.text()).ok()?;
    let me = mesh.coordinators.into_iter().find(|one| one.name == mesh.me)?;
    Some(me.state?.groups.iter().map(|group| group.saved).sum())
}

/// The requests that an Envoy's filter saw, the hot ones first.
async fn answered(at: SocketAddr) -> (u64, u64) {
    let path = "/stats/prometheus?filter=meshcache_filter_requests";
    let page = tokio::time::timeout(RENEWED, client::get(at, path)).await.ok().and_then(Result::ok);
    let metrics = page.map(|page| Metrics::parse(&page.text())).unwrap_or_default();
    // What is counted beside a request is none.
    let beside = |name: &str| ["herd", "shared", "mismatch"].iter().any(|word| name.contains(word));
    let of = |ending: &str| {
        let requests = metrics.0.iter().filter(|(name, _)| name.contains(ending) && !beside(name));
        let sum: f64 = requests.map(|(_, count)| count).sum();
        sum as u64
    };
    (of("meshcache_filter_requests_hot"), of("meshcache_filter_requests_"))
}
