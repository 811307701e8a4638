//! The loads that are granted.

use crate::{
    cache::{fill::outcome::FillOutcome, groups::ServedGroup, request::Caller},
    clock,
    http::body::Body,
};
use http::response;
use meshcache_protocol::{Group, wire::GrantId};
use parking_lot::Mutex;
use ring::rand::{SecureRandom, SystemRandom};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};

/// All grants.
#[derive(Default)]
pub(crate) struct Fills {
    grants: Mutex<HashMap<GrantId, Grant>>,
}

/// How long a proxy that copies a response as it comes may take to begin: it does so before its request goes on, so its
/// client has left, or it has died.
const BEGINS: Duration = Duration::from_secs(2);

/// A grant that nobody has come back with.
struct Grant {
    served: Arc<ServedGroup>,
    identity: String,
    fill: oneshot::Sender<Filled>,
    begin: oneshot::Sender<()>,
}

/// A response as a proxy copies it.
pub(super) struct Filled {
    pub(super) head: response::Parts,
    pub(super) body: Body,
}

/// A grant as its flight has it. Dropped, it is over.
pub(super) struct Granted {
    pub(super) id: GrantId,
    pub(super) began: Instant,
    /// The same by the wall, Unix milliseconds.
    pub(super) requested: u64,
    response: oneshot::Receiver<Filled>,
    begun: oneshot::Receiver<()>,
    /// Its proxy begins at once.
    streams: bool,
    fills: Arc<Fills>,
}

/// Why a grant cannot be used.
pub(super) enum Unusable {
    /// There is no such grant, or not any more.
    Over,
    /// It was given to another proxy, or for another group or other rules; or that proxy may not fill any more.
    NotYours,
}

impl Fills {
    /// Grants a load. None: there is no randomness for its number.
    /// `streams`: the proxy copies the response as it comes.
    pub(super) fn grant(
        self: &Arc<Self>,
        served: &Arc<ServedGroup>,
        identity: String,
        streams: bool,
    ) -> Option<Granted> {
        let mut random = [0; 16];
        SystemRandom::new().fill(&mut random).ok()?;
        let id = GrantId::new(u128::from_ne_bytes(random));
        let ((fill, response), (begin, begun)) = (oneshot::channel(), oneshot::channel());
        self.grants.lock().insert(id, Grant { served: served.clone(), identity, fill, begin });
        let (began, requested, fills) = (Instant::now(), clock::wall(), self.clone());
        Some(Granted { id, began, requested, response, begun, streams, fills })
    }

    /// Takes what a caller was granted, once. `now`: the group of its name as it is configured now.
    pub(super) fn redeem(
        &self,
        id: GrantId,
        group: &str,
        rules: &str,
        caller: Caller<'_>,
        now: Option<&Group>,
    ) -> Result<(Arc<ServedGroup>, oneshot::Sender<Filled>), Unusable> {
        let mut grants = self.grants.lock();
        let Grant { served, identity, .. } = grants.get(&id).ok_or(Unusable::Over)?;
        let is_theirs = served.group.name() == group
            && served.group.accepts_digest(rules)
            && now.is_some_and(|now| now.admits_filler(identity))
            && caller.is_any(|caller| caller == Some(identity));
        if !is_theirs {
            return Err(Unusable::NotYours);
        }
        let Grant { served, fill, begin, .. } = grants.remove(&id).ok_or(Unusable::Over)?;
        let _ = begin.send(());
        Ok((served, fill))
    }
}

impl Granted {
    /// Waits for the head of the response, for so long at most.
    pub(super) async fn response(&mut self, within: Duration) -> Result<Filled, FillOutcome> {
        let Self { response, begun, streams, .. } = self;
        let comes = async {
            if *streams && timeout(BEGINS, begun).await.is_err() {
                return Err(FillOutcome::Silent);
            }
            response.await.map_err(|_| FillOutcome::Lost)
        };
        timeout(within, comes).await.unwrap_or(Err(FillOutcome::Silent))
    }
}

impl Drop for Granted {
    fn drop(&mut self) {
        self.fills.grants.lock().remove(&self.id);
    }
}
