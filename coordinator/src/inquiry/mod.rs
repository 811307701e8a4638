//! What administrators ask: each coordinator answers for itself (`answer`), and the one that is asked puts the answers of
//! all together (`ask_all`).

pub(crate) mod keys;
pub(crate) mod live;
pub(crate) mod mesh_tail;
mod no_answer;
mod observed;
mod origins;
mod readiness;
mod state;
mod why;

pub use live::Live;
pub(crate) use no_answer::NoAnswer;
pub use readiness::Readiness;
pub(crate) use state::NOT_FOR_PROXIES;

use crate::{cache::state::Cache, config::in_force::InForce, feed::Feed, purge::Purger};
use futures_util::future::join_all;
use http_body_util::{BodyExt, Limited};
use meshcache_admin::{Ask, Coordinator, CoordinatorState, Mesh, Saved};
use meshcache_protocol::{Peer, paths};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How long another coordinator may take. One that is stopped must not keep an administrator waiting.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same, where it walks its whole store.
const WALK_PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer of another coordinator, bytes.
const MAX_ANSWER: usize = 8 << 20;

/// What is told to administrators.
pub struct Inquiry {
    /// The cache.
    pub cache: Arc<Cache>,
    /// The feed, for its proxies.
    pub feed: Arc<Feed>,
    /// This coordinator's name.
    pub me: String,
    /// The store's limit, bytes.
    pub store_bytes: u64,
    /// Whether it is ready.
    pub readiness: Readiness,
    /// What carries out purges.
    pub purger: Arc<Purger>,
    /// The configuration in force.
    pub(crate) in_force: Arc<InForce>,
    /// When it started.
    pub began: Instant,
    /// What is recorded while somebody looks.
    pub live: Arc<Live>,
}

impl Inquiry {
    /// Answers for this coordinator, as JSON.
    pub(crate) async fn answer(&self, ask: &Ask) -> Result<Vec<u8>, NoAnswer> {
        match ask {
            Ask::State => json(&self.state()),
            Ask::Keys(request) => json(&keys::answer(&self.cache, request, &self.me).await),
            Ask::Top(request) => json(&self.live.top(&self.cache, request)?),
            Ask::Tail(request) => json(&self.live.tail(&self.cache, request, &self.me).await?),
            Ask::Why(asked) => json(&Box::pin(self.why_here(asked)).await?),
        }
    }

    /// Tells of the whole mesh.
    pub(crate) async fn mesh(&self) -> Mesh {
        let told = |(peer, state): (Peer, Result<CoordinatorState, NoAnswer>)| {
            let Peer { name, data, peer } = peer;
            let unreached = state.as_ref().err().map(ToString::to_string);
            Coordinator { name, data, peer, state: state.ok(), unreached }
        };
        let coordinators: Vec<_> = self.ask_all(&Ask::State).await.into_iter().map(told).collect();
        let saved = coordinators
            .iter()
            .filter_map(|coordinator| coordinator.state.as_ref())
            .map(CoordinatorState::saved)
            .sum::<Saved>();
        let ring = format!("{:016x}", self.cache.cluster.ring().version());
        let observed = observed::of_all(&coordinators, &self.cache.groups());
        Mesh { me: self.me.clone(), ring, coordinators, saved, observed }
    }

    /// Asks this coordinator, which may be in no ring, and then all others of the ring. It is called like the others, but
    /// for the network.
    pub(crate) async fn ask_all<T: DeserializeOwned>(&self, ask: &Ask) -> Vec<(Peer, Result<T, NoAnswer>)> {
        let ring = self.cache.cluster.ring();
        let alone = || Peer { name: self.me.clone(), data: String::new(), peer: String::new() };
        let own = ring.peer(&self.me).cloned().unwrap_or_else(alone);
        let others = ring.peers().iter().filter(|peer| peer.name != self.me).cloned();
        let patience = if matches!(ask, Ask::Keys(_)) { WALK_PATIENCE } else { PATIENCE };
        let asked = async |peer: Peer| {
            let answer = self.ask(&peer, ask, patience).await;
            (peer, answer)
        };
        join_all(std::iter::once(own).chain(others).map(asked)).await
    }

    async fn ask<T: DeserializeOwned>(&self, peer: &Peer, ask: &Ask, patience: Duration) -> Result<T, NoAnswer> {
        let answer = if peer.name == self.me {
            self.answer(ask).await?
        } else {
            self.ask_other(peer, &json(ask)?, patience).await?
        };
        serde_json::from_slice(&answer).map_err(|error| NoAnswer(format!("its answer is of another version: {error}")))
    }

    async fn ask_other(&self, peer: &Peer, ask: &[u8], patience: Duration) -> Result<Vec<u8>, NoAnswer> {
        let answered = async {
            let failed = |failure: crate::origin::Failure| NoAnswer(failure.label().to_owned());
            let peers = &self.cache.cluster.peers;
            let response = peers.post(&peer.name, paths::ASK, ask.to_vec(), patience).await.map_err(failed)?;
            let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
            Ok(body.map_err(|error| NoAnswer(error.to_string()))?.to_bytes().to_vec())
        };
        tokio::time::timeout(patience, answered).await.unwrap_or_else(|_| Err(NoAnswer("timeout".to_owned())))
    }
}

/// Writes an answer.
pub(crate) fn json(answer: &impl Serialize) -> Result<Vec<u8>, NoAnswer> {
    serde_json::to_vec(answer).map_err(|error| NoAnswer(error.to_string()))
}
