//! The offer of a flight: its load, for the first who may fill.

use crate::{
    cache::{
        fill::grants::{Fills, Granted},
        request::CacheRequest,
        state::Cache,
    },
    http::head::RequestHead,
    store::PurgeGuard,
};
use meshcache_protocol::wire::GrantId;
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, Semaphore},
    time::timeout,
};

/// A load that waits for one who fills.
pub(crate) struct Offer {
    /// A permit while it is free.
    free: Semaphore,
    taken: Mutex<Option<Taken>>,
    is_taken: Notify,
}

/// What the flight gets of the one that took its load.
pub(super) struct Taken {
    /// Its request: the response is that to it.
    pub(super) head: RequestHead,
    pub(super) verified: bool,
    /// Begun with the grant: what is purged later is stored nowhere.
    pub(super) guard: PurgeGuard,
    pub(super) granted: Granted,
}

impl Offer {
    /// Takes the load as soon as it is free. None: it cannot be granted.
    pub(super) async fn take(&self, cache: &Cache, request: &CacheRequest<'_>, identity: &str) -> Option<GrantId> {
        self.free.acquire().await.ok()?.forget();
        // From here to the end nothing waits: a permit that is taken reaches the flight.
        let granted = cache.fills.grant(
            request.served,
            identity.to_owned(),
            request.question.as_ref().is_some_and(|question| question.streams),
        );
        let grant = granted.as_ref().map(|granted| granted.id);
        if let Some(granted) = granted {
            *self.taken.lock() = Some(Taken {
                head: request.head.clone(),
                verified: request.verified(),
                guard: cache.store.begin(request.key.clone(), cache.consistency.position()),
                granted,
            });
        }
        self.is_taken.notify_one();
        grant
    }
}

/// An offer in the table of all, until it is dropped.
pub(crate) struct OpenOffer {
    offer: Arc<Offer>,
    number: u64,
    fills: Arc<Fills>,
}

impl OpenOffer {
    /// Opens the offer of the flight of this number. It is free when the load is ready.
    pub(crate) fn of(fills: &Arc<Fills>, number: u64) -> Self {
        let offer = Arc::new(Offer { free: Semaphore::new(0), taken: Mutex::default(), is_taken: Notify::default() });
        fills.offers.lock().insert(number, offer.clone());
        Self { offer, number, fills: fills.clone() }
    }

    /// Offers the load. None: nobody took it for this long.
    pub(super) async fn make(&self, within: Duration) -> Option<Taken> {
        let Offer { free, taken, is_taken } = &*self.offer;
        free.add_permits(1);
        loop {
            if timeout(within, is_taken.notified()).await.is_ok() {
                return taken.lock().take();
            }
            // One that is about to take it has it already.
            if let Ok(permit) = free.try_acquire() {
                permit.forget();
                return None;
            }
        }
    }
}

impl Drop for OpenOffer {
    fn drop(&mut self) {
        self.fills.offers.lock().remove(&self.number);
    }
}
