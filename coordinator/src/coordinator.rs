//! One coordinator, from start to end: it reads its configuration, listens, serves, and drains.
//!
//! Long: the order in which its parts start and end is one story.

use crate::{
    cache::{housekeeping, state::Cache},
    certificates::Certificates,
    cluster::{
        announcer::Announcer,
        gossiper::Gossiper,
        membership::Membership,
        seeds::{SeedSource, Seeds},
        static_peers::StaticPeers,
    },
    config::{
        Config,
        groups_file::{GroupFiles, GroupSource, LoadedGroups},
        tokens::Tokens,
        watched_file::WatchedFiles,
    },
    departure,
    feed::Feed,
    http::request_body::ControlBodies,
    inquiry::{Inquiry, Live, Readiness},
    kube::{ApiError, HookError, KubeDiscovery, view::Fault},
    purge::{PeerSync, Purger},
    reload::{self, Reload},
    server::{
        AdminPort, DataPort, ExtraServers, Handler, Listener, Listeners, MAX_PUSHES, Modules, PeerPort, Ports,
        StatusPort, first_lines, own_peer, raise_descriptor_limit,
    },
    settings::{Identity, Settings},
    telemetry::{
        access_log::AccessLines,
        metrics::Metrics,
        request_end::{RequestEnds, RequestListener},
        traces::Exporter,
    },
};
use meshcache_protocol::Peer;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tokio::{
    sync::{Semaphore, watch},
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep_until, timeout_at},
};

/// Why a coordinator does not start, or ends before its shutdown. Its text is one line for people.
#[derive(Debug, thiserror::Error)]
pub enum CoordinatorError {
    /// The flags or the groups are wrong.
    #[error("{0}")]
    Config(String),
    /// The Kubernetes API of the flags cannot be used.
    #[error(transparent)]
    Kube(#[from] ApiError),
    /// A hook of the chart failed.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// The system refuses something.
    #[error("{0}")]
    System(String),
}

/// A coordinator that listens and does not serve yet.
pub struct Coordinator {
    config: Config,
    cache: Arc<Cache>,
    reload: Reload,
    certificates: Certificates,
    membership: Arc<Membership>,
    static_peers: Option<StaticPeers>,
    kube: Option<KubeDiscovery>,
    seeds: Option<Seeds>,
    data: (Listener, DataPort),
    admin: (Listener, AdminPort),
    status: (Listener, Arc<StatusPort>),
    peer: (Listener, PeerPort),
    /// kubecache's health and metrics.
    extra: ExtraServers,
    peer_sync: Arc<PeerSync>,
    exporter: Option<Exporter>,
    access_log: Option<Arc<AccessLines>>,
    stopping: Arc<AtomicBool>,
}

/// Starts a coordinator and serves until `shutdown`, then drains.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), CoordinatorError> {
    Coordinator::start(config).await?.serve(shutdown).await
}

/// Takes files that were read as `run` would. Returns their groups with warnings, or one line that says what is wrong.
pub fn check(source: &GroupSource, files: &GroupFiles, identity: Identity) -> Result<LoadedGroups, CoordinatorError> {
    reload::check(source, files, identity).map_err(CoordinatorError::Config)
}

fn system(error: impl ToString) -> CoordinatorError {
    CoordinatorError::System(error.to_string())
}

impl Coordinator {
    /// Reads the configuration, listens, and makes the first ring.
    pub async fn start(config: Config) -> Result<Self, CoordinatorError> {
        let files = raise_descriptor_limit();
        let metrics = Metrics::new().map_err(system)?;
        let mut extra = ExtraServers::start(&config.extra, &metrics).map_err(CoordinatorError::System)?;
        Fault::ALL.iter().for_each(|fault| metrics.set_discovery_problems(fault.word(), 0));
        let cache = Cache::new(Settings::from(&config), metrics.clone());
        let peer_tokens = Tokens::open(config.peer_token_file.clone()).map_err(CoordinatorError::Config)?;
        let admin_tokens = Tokens::open(config.admin_token_file.clone()).map_err(CoordinatorError::Config)?;
        let modules =
            Modules::read(config.filter.as_deref(), &config.native_filters).map_err(CoordinatorError::Config)?;
        let feed = Feed::new(cache.clone(), metrics.clone(), &config.installation, &config.name);
        let watched = Arc::new(WatchedFiles::default());
        let certificates =
            Certificates::open(&config, &watched, &cache.cluster, &metrics).map_err(CoordinatorError::Config)?;
        let reload = Reload::start(
            &config,
            cache.clone(),
            feed.clone(),
            metrics.clone(),
            peer_tokens.clone(),
            admin_tokens.clone(),
            watched,
        )
        .map_err(CoordinatorError::Config)?;
        let purger = Purger::new(cache.clone(), feed.clone(), metrics.clone(), peer_tokens.clone());
        let peer_sync = PeerSync::new(&purger, &config.name);

        let listeners = Listeners::bind(&config, &metrics, files).map_err(CoordinatorError::System)?;
        let Listeners { data, admin, status, peer } = certificates.secure(listeners);

        let kube = match config.kube.clone() {
            Some(source) => {
                Some(KubeDiscovery::start(source, &own_peer(&config, &data, &peer).map_err(system)?).await?)
            }
            None => None,
        };
        Gossiper::begin_metrics(&metrics);
        let seeds = match config.seeds.clone() {
            Some(source) => {
                let own = own_peer(&config, &data, &peer).map_err(system)?;
                cache.cluster.set_gossiper(Gossiper::new(&own, metrics.clone()));
                cache.consistency.await_peers();
                let port = peer.address().map_err(system)?.port();
                Some(Seeds::new(SeedSource::new(source, port).map_err(CoordinatorError::Config)?))
            }
            None => None,
        };
        let stopping = Arc::new(AtomicBool::new(false));
        let bodies = Arc::new(ControlBodies::new(metrics.clone()));
        let readiness = Readiness { cache: cache.clone(), kube: kube.clone(), stopping: stopping.clone() };
        let inquiry = Arc::new(Inquiry {
            readiness: readiness.clone(),
            purger: purger.clone(),
            in_force: reload.in_force(),
            cache: cache.clone(),
            feed: feed.clone(),
            me: config.name.clone(),
            store_bytes: config.store_bytes,
            began: std::time::Instant::now(),
            live: Live::new(),
        });
        let admin_routes = AdminPort {
            inquiry: inquiry.clone(),
            cache: cache.clone(),
            purger: purger.clone(),
            tokens: admin_tokens,
            loopback: config.admin_at().ip().is_loopback(),
            me: config.name.clone(),
            store_bytes: config.store_bytes,
            bodies: bodies.clone(),
        };
        let status_routes = Arc::new(StatusPort {
            cache: cache.clone(),
            feed: feed.clone(),
            metrics: metrics.clone(),
            modules,
            readiness,
        });
        extra.add_metrics(&config.extra, &status_routes).map_err(CoordinatorError::System)?;
        let requests = config.request_buckets.as_ref().map(|buckets| metrics.add_requests(buckets));
        let requests = requests.transpose().map_err(system)?;
        let (tracer, exporter) =
            config.traces.as_ref().and_then(|to| Exporter::start(to, &config.name, &metrics)).unzip();
        let access_log = AccessLines::start(config.access_log, &metrics).map_err(system)?;
        let listeners = access_log.iter().map(|lines| lines.clone() as Arc<dyn RequestListener>).collect();
        let ends = RequestEnds::new(listeners, tracer, config.ids_in_log, Some(inquiry.live.listener()));
        let membership = Membership::new(cache.cluster.clone(), metrics.clone(), &config.name, {
            let (feed, peer_sync) = (feed.clone(), peer_sync.clone());
            move || {
                feed.publish();
                peer_sync.ring_changed();
            }
        });
        let mut coordinator = Self {
            data: (
                data,
                DataPort {
                    cache: cache.clone(),
                    feed,
                    bodies: Arc::new(ControlBodies::new(metrics)),
                    requests,
                    ends: ends.clone(),
                },
            ),
            admin: (admin, admin_routes),
            status: (status, status_routes),
            peer: (
                peer,
                PeerPort {
                    cache: cache.clone(),
                    purger,
                    membership: membership.clone(),
                    tokens: peer_tokens,
                    pushes: Arc::new(Semaphore::new(MAX_PUSHES)),
                    bodies,
                    ends,
                    inquiry: Some(inquiry),
                },
            ),
            extra,
            peer_sync,
            exporter,
            access_log,
            static_peers: config.members.clone().map(StaticPeers::new),
            kube,
            seeds,
            config,
            cache,
            reload,
            certificates,
            membership,
            stopping,
        };
        coordinator.first_ring().await?;
        Ok(coordinator)
    }

    async fn first_ring(&mut self) -> Result<(), CoordinatorError> {
        if self.kube.is_some() || self.seeds.is_some() {
            // Until the API server or a member has answered, this coordinator is alone, and not ready.
            return Ok(());
        }
        let names = self.config.members.iter().flatten().map(|member| member.name.clone());
        self.membership.set_peer_list(names.chain([self.config.name.clone()]));
        let peers = match &mut self.static_peers {
            Some(peers) => peers.resolve().await,
            None => vec![self.own()?],
        };
        self.membership.set_resolved(peers);
        Ok(())
    }

    /// This coordinator as others reach it, if discovery does not know better.
    fn own(&self) -> Result<Peer, CoordinatorError> {
        own_peer(&self.config, &self.data.0, &self.peer.0).map_err(system)
    }

    /// The addresses on which it listens.
    pub fn ports(&self) -> Result<Ports, CoordinatorError> {
        let at = |port: &Listener| port.address().map_err(system);
        let (health, metrics) = self.extra.addresses();
        Ok(Ports {
            data: at(&self.data.0)?,
            admin: at(&self.admin.0)?,
            status: at(&self.status.0)?,
            peer: at(&self.peer.0)?,
            health,
            metrics,
        })
    }

    /// Serves until `shutdown`. Then leaves the ring, hands over its entries, and completes requests in flight, within
    /// `drain_timeout`.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<(), CoordinatorError> {
        let ports = self.ports()?;
        let announcer = Arc::new(Announcer {
            cluster: self.cache.cluster.clone(),
            bytes: self.cache.body_budget.clone(),
            membership: self.membership.clone(),
            own: self.own()?,
            is_static: self.kube.is_none() && self.seeds.is_none(),
        });
        let kube_readiness = self.kube.clone();
        let (config, cache, membership, stopping) = (self.config, self.cache, self.membership, self.stopping);
        let live = self.admin.1.inquiry.live.clone();
        let (drain, draining) = watch::channel(false);
        let (end, ending) = watch::channel(false);

        let mut serving = JoinSet::new();
        serving.spawn(serve(self.data, draining.clone()));
        serving.spawn(serve(self.peer, draining.clone()));
        serving.spawn(serve((self.admin.0, self.admin.1.routes()), draining));
        let mut background = JoinSet::new();
        // Probes see until the very end that this coordinator stops.
        background.spawn(serve((self.status.0, self.status.1.routes()), ending.clone()));
        background.spawn(self.reload.run());
        background.spawn(self.certificates.run());
        background.spawn(self.peer_sync.run());
        background.spawn(housekeeping::run(cache.clone(), {
            let mut ending = ending;
            async move {
                let _ = ending.wait_for(|end| *end).await;
            }
        }));
        background.spawn({
            let membership = membership.clone();
            async move { membership.run().await }
        });
        if let Some(peers) = self.static_peers {
            let membership = membership.clone();
            background.spawn(async move { peers.run(&membership).await });
        }
        if let Some(kube) = self.kube {
            let membership = membership.clone();
            background.spawn(async move { kube.run(&membership).await });
        }
        if let Some((seeds, gossiper)) = self.seeds.zip(cache.cluster.gossiper().cloned()) {
            let following = gossiper.clone();
            background.spawn(async move { membership.follow(&following).await });
            background.spawn(async move { gossiper.seek(seeds).await });
        }
        let joining = background.spawn({
            let announcer = announcer.clone();
            async move {
                if let Some(kube) = kube_readiness {
                    kube.ready().await;
                }
                announcer.join().await;
            }
        });

        if let Some(file) = &config.ports_file {
            ports.write(file).map_err(|error| CoordinatorError::System(format!("{}: {error}", file.display())))?;
        }
        if config.admin_at() != config.admin {
            tracing::info!(configured = %config.admin, "the admin port listens on {} only: --admin-token-file opens it to clients with a token", ports.admin);
        }
        let groups: Vec<String> = cache.groups().iter().map(|group| group.name().to_owned()).collect();
        let peers = cache.cluster.ring().peers().len();
        tracing::info!(
            name = config.name, data = %ports.data, admin = %ports.admin, status = %ports.status, peer = %ports.peer,
            groups = groups.join(","), peers, store_bytes = config.store_bytes, version = env!("CARGO_PKG_VERSION"), "serving"
        );
        first_lines::log(&ports, config.tls.is_some(), config.admin_token_file.as_deref());

        tokio::select! {
            () = shutdown => {}
            // None of them ends by itself: that a part is gone must not go unnoticed.
            ended = background.join_next() => return Err(CoordinatorError::System(format!("a part of the coordinator ended: {ended:?}"))),
            ended = serving.join_next() => return Err(CoordinatorError::System(format!("a port ended: {ended:?}"))),
        }
        stopping.store(true, Ordering::Relaxed);
        live.stop();
        tracing::info!(timeout = ?config.drain_timeout, "stopping");
        let begun = Instant::now();
        joining.abort();
        let announcing = departure::leave(&cache, &announcer, config.drain_timeout).await;
        sleep_until(begun + config.linger.min(config.drain_timeout)).await;
        drain.send_replace(true);
        let drained =
            timeout_at(begun + config.drain_timeout, async { while serving.join_next().await.is_some() {} }).await;
        announcer.end().await;
        announcing.inspect(JoinHandle::abort);
        if let Some(exporter) = self.exporter {
            exporter.end().await;
        }
        if let Some(access_log) = self.access_log {
            access_log.end().await;
        }
        end.send_replace(true);
        match drained {
            Ok(()) => tracing::info!("stopped"),
            Err(_) => tracing::warn!("stopped: the drain timeout is over, requests in flight were cut"),
        }
        Ok(())
    }
}

async fn serve((port, service): (Listener, impl Handler), drain: watch::Receiver<bool>) {
    port.serve(service, drain).await;
}
