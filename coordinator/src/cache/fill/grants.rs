//! The loads that are granted.

use crate::{
    cache::{groups::ServedGroup, request::Caller},
    clock,
    http::body::Body,
};
use http::response;
use meshcache_protocol::wire::GrantId;
use parking_lot::Mutex;
use ring::rand::{SecureRandom, SystemRandom};
use std::{collections::HashMap, sync::Arc};
use tokio::{sync::oneshot, time::Instant};

/// All grants.
#[derive(Default)]
pub(crate) struct Fills {
    grants: Mutex<HashMap<GrantId, Grant>>,
}

/// A grant that nobody has come back with.
struct Grant {
    served: Arc<ServedGroup>,
    identity: String,
    fill: oneshot::Sender<Filled>,
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
    fills: Arc<Fills>,
}

/// Why a grant cannot be used.
pub(super) enum Unusable {
    /// There is no such grant, or not any more.
    Over,
    /// It was given to another proxy, or for another group or other rules.
    NotYours,
}

impl Fills {
    /// Grants a load. None: there is no randomness for its number.
    pub(super) fn grant(self: &Arc<Self>, served: &Arc<ServedGroup>, identity: String) -> Option<Granted> {
        let mut random = [0; 16];
        SystemRandom::new().fill(&mut random).ok()?;
        let id = GrantId::new(u128::from_ne_bytes(random));
        let (fill, response) = oneshot::channel();
        self.grants.lock().insert(id, Grant { served: served.clone(), identity, fill });
        Some(Granted { id, began: Instant::now(), requested: clock::wall(), response, fills: self.clone() })
    }

    /// Takes what a caller was granted, once.
    pub(super) fn redeem(
        &self,
        id: GrantId,
        group: &str,
        rules: &str,
        caller: Caller<'_>,
    ) -> Result<(Arc<ServedGroup>, oneshot::Sender<Filled>), Unusable> {
        let mut grants = self.grants.lock();
        let Grant { served, identity, .. } = grants.get(&id).ok_or(Unusable::Over)?;
        let is_theirs = served.group.name() == group
            && served.group.accepts_digest(rules)
            && caller.is_any(|caller| caller == Some(identity));
        if !is_theirs {
            return Err(Unusable::NotYours);
        }
        grants.remove(&id).map(|grant| (grant.served, grant.fill)).ok_or(Unusable::Over)
    }
}

impl Granted {
    /// Waits for the head of the response. None: none will come.
    pub(super) async fn response(&mut self) -> Option<Filled> {
        (&mut self.response).await.ok()
    }
}

impl Drop for Granted {
    fn drop(&mut self) {
        self.fills.grants.lock().remove(&self.id);
    }
}
