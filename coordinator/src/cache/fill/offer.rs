//! The offer of a flight: its load, for the first who may fill.

use crate::{cache::fill::grants::Granted, http::head::RequestHead, store::PurgeGuard};
use meshcache_protocol::wire::GrantId;
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, Semaphore},
    time::timeout,
};

/// A load that waits for one who fills.
pub(super) struct Offer {
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
    pub(super) async fn take(&self, granted: impl FnOnce() -> Option<Taken>) -> Option<GrantId> {
        self.free.acquire().await.ok()?.forget();
        // From here to the end nothing waits: a permit that is taken reaches the flight.
        let taken = granted();
        let grant = taken.as_ref().map(|taken| taken.granted.id);
        if taken.is_some() {
            *self.taken.lock() = taken;
        }
        self.is_taken.notify_one();
        grant
    }
}

/// All offers, by the numbers of their flights.
#[derive(Default)]
pub(crate) struct Offers(Mutex<HashMap<u64, Arc<Offer>>>);

impl Offers {
    /// Returns the offer of a flight.
    pub(super) fn of_flight(&self, number: u64) -> Option<Arc<Offer>> {
        self.0.lock().get(&number).cloned()
    }
}

/// An offer in the table of all, until it is dropped.
pub(crate) struct OpenOffer {
    offer: Arc<Offer>,
    number: u64,
    offers: Arc<Offers>,
}

impl OpenOffer {
    /// Opens the offer of the flight of this number. It is free when the load is ready.
    pub(crate) fn of(offers: &Arc<Offers>, number: u64) -> Self {
        let offer = Arc::new(Offer { free: Semaphore::new(0), taken: Mutex::default(), is_taken: Notify::default() });
        offers.0.lock().insert(number, offer.clone());
        Self { offer, number, offers: offers.clone() }
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
        self.offers.0.lock().remove(&self.number);
    }
}
