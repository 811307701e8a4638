//! The client of a group: what its configuration says, with the content of its files, which are read again on change.

use crate::{
    config::{
        secret::without_newline,
        watched_file::{Watched, WatchedFiles},
    },
    origin::{
        connect::Connector,
        connection_limit::ConnectionLimit,
        oauth2::{
            assertion::Signer,
            client::{Authentication, Client, Secret},
            source::{TokenSource, Users},
        },
        pool::{Lifetimes, Pool},
        resolver::Resolver,
        trust::{Tls, Trust},
    },
    telemetry::metrics::GroupMetrics,
};
use http::Uri;
use meshcache_protocol::groups::{ClientAuthMethod, OAuth2};
use parking_lot::Mutex;
use rustls::ClientConfig;
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Weak},
    time::Duration,
};

/// How long a connection to a token server is kept.
const LIFETIMES: Lifetimes =
    Lifetimes { idle: Duration::from_secs(4), max_age: Duration::from_secs(60), keep_alive: Lifetimes::ALIVE };

/// The client that groups with the same configuration share.
pub(crate) struct ClientFiles {
    source: Arc<Watched<Arc<TokenSource>>>,
    users: Arc<Users>,
}

/// The sources in use: equal clients share one, whatever the names of their files are.
#[derive(Default)]
pub(crate) struct TokenSources(Mutex<HashMap<Client, Weak<TokenSource>>>);

impl ClientFiles {
    /// Reads the files. The error is one line that names the file.
    pub(crate) fn open(
        config: &OAuth2,
        files: &WatchedFiles,
        sources: &Arc<TokenSources>,
        limit: &Arc<ConnectionLimit>,
    ) -> Result<Self, String> {
        let users = Arc::<Users>::default();
        let proof = config.client_secret_file.iter().chain(&config.key_file);
        let paths: Vec<PathBuf> = proof.map(PathBuf::from).collect();
        if let Some(name) = &config.tls.server_name {
            Tls::name(name).map_err(|what| format!("tls.serverName: {what}"))?;
        }
        let certificates = Trust::of_token_server(config).map(|trust| trust.open(files)).transpose()?;
        let (config, sources, limit, shared) = (config.clone(), sources.clone(), limit.clone(), users.clone());
        let before = Mutex::new(Weak::<TokenSource>::new());
        let source = files.open(paths, move |contents| {
            let proof = contents.first().map_or(&[][..], Vec::as_slice);
            let source = sources.source(client(&config, proof)?, certificates.as_ref(), &limit)?;
            let before = std::mem::replace(&mut *before.lock(), Arc::downgrade(&source)).upgrade();
            if let Some(before) = before.filter(|before| !Arc::ptr_eq(before, &source)) {
                source.inherit(&before);
                before.remove(&shared);
            }
            source.add(&shared);
            Ok(source)
        })?;
        Ok(Self { source, users })
    }

    /// Returns the source of the client's tokens. It is another one after its files have changed.
    pub(crate) fn source(&self) -> Arc<TokenSource> {
        Arc::clone(&self.source.current())
    }

    /// Sets the groups that use it.
    pub(crate) fn set_groups(&self, groups: Vec<Arc<GroupMetrics>>) {
        self.users.set(groups, self.source().expiry());
    }
}

impl TokenSources {
    fn source(
        &self,
        client: Client,
        certificates: Option<&Arc<Watched<ClientConfig>>>,
        limit: &Arc<ConnectionLimit>,
    ) -> Result<Arc<TokenSource>, String> {
        let mut sources = self.0.lock();
        sources.retain(|_, source| source.strong_count() > 0);
        if let Some(source) = sources.get(&client).and_then(Weak::upgrade) {
            return Ok(source);
        }
        let authority = client.url.authority().ok_or("tokenUrl has no host")?;
        let tls = certificates.map(|config| {
            let name = Tls::name(client.server_name.as_deref().unwrap_or(authority.host()))?;
            Ok::<_, String>(Tls { config: config.clone(), name, may_be_http2: false })
        });
        let connector = Connector::new(authority, tls.transpose()?, Resolver::system(), limit.clone());
        let source = TokenSource::new(client.clone(), Pool::new(connector, LIFETIMES));
        sources.insert(client, Arc::downgrade(&source));
        Ok(source)
    }
}

/// Returns the client of a configuration. `proof`: the content of the file by which it proves itself.
fn client(config: &OAuth2, proof: &[u8]) -> Result<Client, String> {
    let secret = || match std::str::from_utf8(without_newline(proof)) {
        Ok("") | Err(_) => Err("clientSecretFile has no text".to_owned()),
        Ok(secret) => Ok(Secret(secret.to_owned())),
    };
    let authentication = match config.method {
        ClientAuthMethod::ClientSecretBasic => Authentication::Basic(secret()?),
        ClientAuthMethod::ClientSecretPost => Authentication::Post(secret()?),
        ClientAuthMethod::TlsClientAuth => Authentication::Tls,
        ClientAuthMethod::PrivateKeyJwt => {
            let signer = Signer::new(proof, config.algorithm).map_err(|what| format!("keyFile {what}"))?;
            let audience = config.assertion_audience.clone().unwrap_or_else(|| config.token_url.to_string());
            Authentication::Jwt { signer: Arc::new(signer), key_id: config.key_id.clone(), audience }
        }
    };
    let mut fields = Vec::new();
    if !config.scopes.is_empty() {
        fields.push(("scope".to_owned(), config.scopes.join(" ")));
    }
    fields.extend(config.audience.iter().map(|audience| ("audience".to_owned(), audience.clone())));
    fields.extend(config.resource.iter().map(|resource| ("resource".to_owned(), resource.clone())));
    fields.extend(config.extra.iter().map(|(name, value)| (name.clone(), value.clone())));
    Ok(Client {
        url: config.token_url.as_str().parse::<Uri>().map_err(|error| format!("tokenUrl: {error}"))?,
        id: config.client_id.clone(),
        authentication,
        fields,
        trust: Trust::of_token_server(config),
        server_name: config.tls.server_name.clone(),
        lifetime: config.lifetime.duration(),
        timeout: config.timeout.duration(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Metrics;
    use std::fs;

    struct World {
        folder: tempfile::TempDir,
        files: WatchedFiles,
        sources: Arc<TokenSources>,
        limit: Arc<ConnectionLimit>,
    }

    impl World {
        fn new() -> Self {
            let limit = ConnectionLimit::new(10, Metrics::new().unwrap());
            let (folder, files, sources) = (tempfile::tempdir().unwrap(), WatchedFiles::default(), Arc::default());
            Self { folder, files, sources, limit }
        }

        fn write(&self, name: &str, content: &str) -> String {
            let path = self.folder.path().join(name);
            fs::write(&path, content).unwrap();
            path.to_str().unwrap().to_owned()
        }

        fn open(&self, file: &str, more: serde_json::Value) -> Result<ClientFiles, String> {
            let mut config = serde_json::json!({"tokenUrl": "http://t", "clientId": "me", "clientSecretFile": file});
            config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            ClientFiles::open(&serde_json::from_value(config).unwrap(), &self.files, &self.sources, &self.limit)
        }
    }

    #[tokio::test]
    async fn groups_with_the_same_client_share_a_token_and_a_changed_secret_begins_anew() {
        let world = World::new();
        let (one, two) = (world.write("one", "hunter2\n"), world.write("two", "hunter2"));
        let [a, b] = [&one, &two].map(|file| world.open(file, serde_json::json!({})).unwrap());
        let first = a.source();
        assert!(Arc::ptr_eq(&first, &b.source()), "the same secret in two files");
        let other = world.open(&one, serde_json::json!({"scopes": ["x"]})).unwrap();
        assert!(!Arc::ptr_eq(&first, &other.source()));
        world.write("one", "hunter3\n");
        world.files.check();
        assert!(!Arc::ptr_eq(&first, &a.source()) && Arc::ptr_eq(&first, &b.source()));
        world.write("two", "hunter3");
        world.files.check();
        assert!(Arc::ptr_eq(&a.source(), &b.source()));
        fs::remove_file(&one).unwrap();
        world.files.check();
        assert!(Arc::ptr_eq(&a.source(), &b.source()), "the last good one stays");
    }

    #[tokio::test]
    async fn a_fetch_counts_once_for_a_group_and_only_for_those_of_its_client() {
        let world = World::new();
        let (one, two) = (world.write("one", "hunter2"), world.write("two", "hunter2"));
        let [a, _b] = [&one, &two].map(|file| world.open(file, serde_json::json!({})).unwrap());
        let first = a.source();
        assert_eq!(first.users(), 2);
        world.write("one", "hunter2\n");
        world.files.check();
        assert_eq!((Arc::ptr_eq(&first, &a.source()), first.users()), (true, 2), "the same secret");
        world.write("one", "hunter3");
        world.files.check();
        assert_eq!((a.source().users(), first.users()), (1, 1), "another client");
    }

    #[tokio::test]
    async fn a_file_that_is_no_proof_is_refused_by_name() {
        let world = World::new();
        let refused = |file: &str, more| world.open(file, more).err().unwrap();
        let empty = world.write("empty", "\n");
        assert_eq!(refused(&empty, serde_json::json!({})), format!("{empty}: clientSecretFile has no text"));
        let missing = world.folder.path().join("missing").to_str().unwrap().to_owned();
        assert!(refused(&missing, serde_json::json!({})).starts_with(&format!("{missing}: cannot be read")));
        let by_key = serde_json::json!({"method": "private_key_jwt", "clientSecretFile": null, "keyFile": empty});
        assert_eq!(refused("", by_key), format!("{empty}: keyFile contains no private key in PEM"));
    }
}
