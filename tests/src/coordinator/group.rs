//! Several coordinators that know one another from the start, with one configuration and one peer token.

use std::{net::SocketAddr, time::Duration};

use tempfile::TempDir;

use super::{Coordinator, Ports, reserve};
use crate::{Metrics, client};

/// The token that the peers of a group prove themselves with.
pub const PEER_TOKEN: &str = "peer-token-of-the-tests";
/// The token for purges and the status page.
pub const ADMIN_TOKEN: &str = "admin-token-of-the-tests";

/// How often a group is started anew because another program took one of its ports.
const TRIES: usize = 5;

/// What each member of a group is told of the others.
#[derive(Clone, Debug)]
pub enum Views {
    /// `--peers`: all that there are.
    Peers(Vec<Vec<usize>>),
    /// `--discovery gossip`: the first that are asked.
    Seeds(Vec<Vec<usize>>),
}

impl Views {
    fn all(&self) -> &[Vec<usize>] {
        match self {
            Views::Peers(all) | Views::Seeds(all) => all,
        }
    }

    fn flags(&self, view: &[usize], ports: &[Ports]) -> Vec<String> {
        let peer = |i: &usize| format!("peer-{i}={}/{}", ports[*i].data, ports[*i].peer.port());
        let seed = |i: &usize| ports[*i].peer.to_string();
        let list = |one: &dyn Fn(&usize) -> String| view.iter().map(one).collect::<Vec<_>>().join(",");
        match self {
            Views::Peers(_) => vec!["--peers".to_owned(), list(&peer)],
            Views::Seeds(_) => {
                ["--discovery", "gossip", "--seeds"].map(str::to_owned).into_iter().chain([list(&seed)]).collect()
            }
        }
    }
}

/// A group of running coordinators, named `peer-0`, `peer-1` and so on.
pub struct Coordinators {
    /// The members; one that was killed stays in its place.
    pub all: Vec<Coordinator>,
    arguments: Vec<Vec<String>>,
    folder: TempDir,
}

impl Coordinators {
    /// Starts `n` with these groups (the YAML of `--config`) and these arguments, and waits until all are ready. `{name}`
    /// in an argument is the member's own name.
    pub async fn start(n: usize, groups: &str, arguments: &[&str]) -> Coordinators {
        let all: Vec<usize> = (0..n).collect();
        Coordinators::with_views(&Views::Peers(vec![all; n]), groups, arguments).await
    }

    /// Starts a group whose members know some others only: member `i` those in `views[i]`.
    pub async fn with_views(views: &Views, groups: &str, arguments: &[&str]) -> Coordinators {
        Coordinators::with_admin(views, groups, arguments, true).await
    }

    /// The same; `token`: whether their admin ports want one. Without it they answer this machine alone.
    pub async fn with_admin(views: &Views, groups: &str, arguments: &[&str], token: bool) -> Coordinators {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let mut own = vec!["--config".to_owned(), file("groups.yaml", groups)];
        own.extend(["--peer-token-file".to_owned(), file("peer-token", PEER_TOKEN)]);
        if token {
            own.extend(["--admin-token-file".to_owned(), file("admin-token", ADMIN_TOKEN)]);
        }
        own.extend(arguments.iter().map(ToString::to_string));
        for _ in 0..TRIES {
            match Coordinators::try_start(views, &own).await {
                Ok((all, arguments)) => return Coordinators { all, arguments, folder },
                Err(log) if log.contains("in use") => {}
                Err(log) => panic!("a coordinator ended at start; its log:\n{log}"),
            }
        }
        panic!("found no free ports {TRIES} times");
    }

    async fn try_start(views: &Views, arguments: &[String]) -> Result<(Vec<Coordinator>, Vec<Vec<String>>), String> {
        let ports: Vec<Ports> = views.all().iter().map(|_| reserve()).collect();
        let told = |(i, view): (usize, &Vec<usize>)| {
            let own = arguments.iter().map(|argument| argument.replace("{name}", &format!("peer-{i}")));
            own.chain(views.flags(view, &ports)).collect()
        };
        let arguments: Vec<Vec<String>> = views.all().iter().enumerate().map(told).collect();
        // All are launched before the first is awaited: one may wait for the others before it says that it is ready.
        let launch = |(i, ports): (usize, &Ports)| {
            let (name, folder) = (format!("peer-{i}"), tempfile::tempdir().unwrap());
            let process = Coordinator::launch(&name, Some(*ports), &arguments[i], &folder);
            (name, process, folder)
        };
        let launched: Vec<_> = ports.iter().enumerate().map(launch).collect();
        let mut all = Vec::new();
        for (name, process, folder) in launched {
            all.push(Coordinator::ready(&name, process, folder).await.map_err(|(_, log)| log)?);
        }
        Ok((all, arguments))
    }

    /// Starts one more with this name and seeds, on ports of its own. It need not be one of the group's ring.
    pub async fn start_beside(&self, name: &str, seeds: &[SocketAddr], arguments: &[&str]) -> Coordinator {
        let seeds: Vec<String> = seeds.iter().map(ToString::to_string).collect();
        let mut own: Vec<String> = [("--config", "groups.yaml"), ("--admin-token-file", "admin-token")]
            .into_iter()
            .flat_map(|(flag, name)| [flag.to_owned(), self.file(name)])
            .collect();
        own.extend(["--discovery", "gossip", "--seeds", &seeds.join(",")].map(str::to_owned));
        own.extend(arguments.iter().map(ToString::to_string));
        let folder = tempfile::tempdir().unwrap();
        let process = Coordinator::launch(name, Some(reserve()), &own, &folder);
        Coordinator::listening(name, process, folder).await.unwrap_or_else(|(_, log)| panic!("{name} ended:\n{log}"))
    }

    /// Starts a member again, on the ports that it had.
    pub async fn restart(&mut self, i: usize) {
        let old = &mut self.all[i];
        old.kill();
        let (name, ports) = (old.name.clone(), old.ports);
        let started =
            Coordinator::try_start(&name, Some(ports), &self.arguments[i], tempfile::tempdir().unwrap()).await;
        self.all[i] = started.unwrap_or_else(|(_, log)| panic!("{name} does not start again; its log:\n{log}"));
    }

    /// Writes another `--config` file in place of the one that all of them read.
    pub fn configure(&self, groups: &str) {
        // A new file under the old name, as an editor or a mounted ConfigMap does it: no reader sees half a file.
        let new = self.folder.path().join("groups.new");
        std::fs::write(&new, groups).unwrap();
        std::fs::rename(new, self.folder.path().join("groups.yaml")).unwrap();
    }

    /// One of the files that they are started with: `peer-token`, `admin-token`.
    pub fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The data ports, for Envoy's cluster.
    pub fn data(&self) -> Vec<SocketAddr> {
        self.all.iter().map(|coordinator| coordinator.ports.data).collect()
    }

    /// The numbers of each member; of one that does not answer, none.
    pub async fn metrics(&self) -> Vec<Metrics> {
        let mut all = Vec::new();
        for coordinator in &self.all {
            // A frozen one takes the connection and never answers.
            let page =
                tokio::time::timeout(Duration::from_secs(1), client::get(coordinator.ports.status, "/metrics")).await;
            all.push(page.ok().and_then(Result::ok).map(|page| Metrics::parse(&page.text())).unwrap_or_default());
        }
        all
    }

    /// The sum of a counter over all members.
    pub async fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.metrics().await.iter().map(|metrics| metrics.sum(name, labels)).sum()
    }
}
