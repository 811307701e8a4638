//! The origins of all groups. A reload keeps the connections of those that stay.

use crate::{
    config::watched_file::{Watched, WatchedFiles},
    origin::{
        connect::Connector,
        connection_limit::ConnectionLimit,
        credentials::Credentials,
        exchange::{HttpOrigin, Origin},
        getter::{DynGetter, GetterOrigin},
        health::Health,
        oauth2::{ClientFiles, TokenSources},
        pool::{Lifetimes, Pool},
        resolver::Resolver,
        trust::{Tls, Trust},
    },
    telemetry::metrics::{GroupMetrics, Metrics},
};
use http::uri::Authority;
use meshcache_protocol::groups::{self, Group, Groups, OAuth2, OriginHeaders};
use parking_lot::Mutex;
use rustls::ClientConfig;
use std::{collections::HashMap, sync::Arc};

/// A field of an origin that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("group `{group}`: {field}: {what}")]
pub struct BadOrigin {
    /// The group's name.
    pub group: String,
    /// The field, as `origin.ca`.
    pub field: String,
    /// The problem.
    pub what: String,
}

/// The origins in use.
pub(crate) struct Origins {
    current: Mutex<OriginSet>,
    limit: Arc<ConnectionLimit>,
    /// What is read again: secrets, certificates, keys.
    files: WatchedFiles,
    tokens: Arc<TokenSources>,
    /// The getters of this process, by their groups' names.
    getters: Mutex<HashMap<String, GetterWithBytes>>,
}

/// A getter, and what its group may take of the store.
type GetterWithBytes = (Arc<dyn DynGetter>, u64);

#[derive(Clone, Default)]
struct OriginSet {
    pools: HashMap<PoolKey, Arc<Pool>>,
    /// These two outlive a reload, and with them their last good values.
    tls: HashMap<Trust, Arc<Watched<ClientConfig>>>,
    credentials: HashMap<OriginHeaders, Arc<Credentials>>,
    /// Clients of token servers, each with its groups.
    clients: HashMap<OAuth2, (Arc<ClientFiles>, Vec<Arc<GroupMetrics>>)>,
    /// By group and URL.
    health: HashMap<(String, String), Arc<Health>>,
}

/// The key of a pool: origins with the same one share connections.
#[derive(Clone, PartialEq, Eq, Hash)]
struct PoolKey {
    trust: Option<Trust>,
    server_name: Option<String>,
    authority: Authority,
    lifetimes: Lifetimes,
}

impl Origins {
    /// Returns a set without origins.
    pub(crate) fn new(limit: Arc<ConnectionLimit>) -> Self {
        let (current, files, tokens, getters) = Default::default();
        Self { current, limit, files, tokens, getters }
    }

    /// Reads the files again that have changed. It blocks while it reads.
    pub(crate) fn recheck_files(&self) {
        self.files.check();
    }

    /// Sets the getter of a group that is added next. `bytes`: what the group may take of the store.
    pub(crate) fn set_getter(&self, group: &str, getter: Arc<dyn DynGetter>, bytes: u64) {
        self.getters.lock().insert(group.to_owned(), (getter, bytes));
    }

    /// Returns the origins of these groups, in their order.
    pub(crate) fn of_groups(&self, groups: &Groups, metrics: &Metrics) -> Result<Vec<Origin>, BadOrigin> {
        let before = self.current.lock().clone();
        let mut now = OriginSet::default();
        let getters = self.getters.lock().clone();
        let origins: Result<_, _> = groups
            .iter()
            .map(|group| match getters.get(group.name()).cloned() {
                Some((getter, bytes)) => {
                    let timeout = group.config().origin.timeout.duration();
                    Ok(Origin::Getter(GetterOrigin { getter, timeout, bytes }))
                }
                None if group.is_filled_by_proxies() => {
                    Ok(Origin::Proxies { timeout: group.config().origin.timeout.duration() })
                }
                None => now.origin(group, &before, metrics, self).map(Origin::Http),
            })
            .collect();
        if origins.is_ok() {
            now.clients.values().for_each(|(client, groups)| client.set_groups(groups.clone()));
            // Origins that no group needs any more are dropped, with their connections.
            *self.current.lock() = now;
        }
        origins
    }
}

impl OriginSet {
    fn origin(
        &mut self,
        group: &Group,
        before: &Self,
        metrics: &Metrics,
        origins: &Origins,
    ) -> Result<HttpOrigin, BadOrigin> {
        let config = &group.config().origin;
        let bad =
            |field: &str, what: String| BadOrigin { group: group.name().to_owned(), field: field.to_owned(), what };
        let bad_url = |what| bad("origin.url", what);
        let known = [&*self, before].into_iter().find_map(|set| set.credentials.get(&config.headers));
        let credentials = match known {
            Some(credentials) => credentials.clone(),
            None => Credentials::open(&config.headers, &origins.files)
                .map(Arc::new)
                .map_err(|(field, what)| bad(&field, what))?,
        };
        self.credentials.insert(config.headers.clone(), credentials.clone());
        let metrics = metrics.group(group.name());
        let oauth2 = config.auth.oauth2.as_ref().map(|oauth2| self.client(oauth2, before, &metrics, origins));
        let oauth2 = oauth2.transpose().map_err(|what| bad("origin.auth.oauth2", what))?;
        let host = config.url.authority();
        let authority: Authority = host.parse().map_err(|_| bad_url(format!("`{host}` is not a host")))?;
        let trust = Trust::of(config);
        let tls = trust.as_ref().map(|trust| self.tls(trust, config, &authority, before, origins)).transpose();
        let tls = tls.map_err(|(field, what)| bad(field, what))?;
        let lifetimes = Lifetimes {
            idle: config.idle.duration(),
            max_age: config.max_connection_age.duration(),
            keep_alive: Lifetimes::ALIVE,
        };
        let key =
            PoolKey { trust, server_name: config.tls.server_name.clone(), authority: authority.clone(), lifetimes };
        let pool = match self.pools.get(&key).or_else(|| before.pools.get(&key)) {
            Some(pool) => pool.clone(),
            None => {
                let connector = Connector::new(&authority, tls, Resolver::system(), origins.limit.clone());
                Pool::new(connector, lifetimes)
            }
        };
        self.pools.insert(key, pool.clone());
        let name = (group.name().to_owned(), config.url.to_string());
        let health = before.health.get(&name).cloned().unwrap_or_else(|| Arc::new(Health::new(&name.0, &name.1)));
        self.health.insert(name, health.clone());
        Ok(HttpOrigin {
            pool,
            patience: group.config().patience.duration(),
            timeout: config.timeout.duration(),
            pass_timeout: Some(config.pass_timeout.duration()).filter(|limit| !limit.is_zero()),
            authority,
            scheme: if config.url.scheme() == "https" { http::uri::Scheme::HTTPS } else { http::uri::Scheme::HTTP },
            host: config.host,
            credentials,
            oauth2,
            health,
            metrics,
        })
    }

    fn client(
        &mut self,
        config: &OAuth2,
        before: &Self,
        metrics: &Arc<GroupMetrics>,
        origins: &Origins,
    ) -> Result<Arc<ClientFiles>, String> {
        let known = self.clients.get(config).or_else(|| before.clients.get(config)).map(|(client, _)| client.clone());
        let client = match known {
            Some(client) => client,
            None => Arc::new(ClientFiles::open(config, &origins.files, &origins.tokens, &origins.limit)?),
        };
        self.clients.entry(config.clone()).or_insert_with(|| (client.clone(), Vec::new())).1.push(metrics.clone());
        Ok(client)
    }

    /// Returns TLS to an origin. The error is the field and what is wrong with it.
    fn tls(
        &mut self,
        trust: &Trust,
        config: &groups::Origin,
        authority: &Authority,
        before: &Self,
        origins: &Origins,
    ) -> Result<Tls, (&'static str, String)> {
        let field = if config.ca.is_some() && trust.client.is_none() { "origin.ca" } else { "origin.tls" };
        let name = match &config.tls.server_name {
            Some(name) => Tls::name(name).map_err(|what| ("origin.tls.serverName", what))?,
            None => Tls::name(authority.host()).map_err(|what| ("origin.url", what))?,
        };
        let files = match self.tls.get(trust).or(before.tls.get(trust)) {
            Some(files) => files.clone(),
            None => trust.open(&origins.files).map_err(|what| (field, what))?,
        };
        self.tls.insert(trust.clone(), files.clone());
        Ok(Tls { config: files, name, may_be_http2: trust.http2 })
    }
}
