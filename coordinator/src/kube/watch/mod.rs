//! Watches the objects that show the peers: events become views, a burst of events becomes one view, and trouble
//! leaves the last view as it is.

#[cfg(test)]
mod tests;

use crate::kube::view::{Source, View};
use futures_util::{Stream, StreamExt};
use kube::{
    Resource,
    runtime::watcher::{Error, Event},
};
use meshcache_cli::failed::chain;
use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    pin::pin,
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

/// The time without a change after which a burst is over..
const QUIET_PERIOD: Duration = Duration::from_millis(100);
/// ..and the longest time for which a burst delays a change.
const MAX_DELAY: Duration = Duration::from_millis(500);
/// A watch that ends sooner than this after its list is short: the right to watch may be missing.
const SHORT_WATCH: Duration = Duration::from_secs(10);
/// After this number of short watches in a row a list alone ends no trouble.
const MAX_SHORT_WATCHES: u32 = 2;

/// The state of the watches.
#[derive(Clone, Debug, Default)]
pub(super) struct WatchState {
    /// The last view; `None` until the API server has answered for the first time.
    pub(super) view: Option<View>,
    /// The number of events from the API server.
    pub(super) events: u64,
    /// Why the view may be out of date; `None` while the API server sends each change.
    pub(super) trouble: Option<WatchTrouble>,
}

/// Why the API server sends no changes.
#[derive(Clone, Debug)]
pub(super) struct WatchTrouble {
    /// One line for people, with the missing right where it is that.
    pub(super) line: String,
    /// Since when it sends none.
    pub(super) since: Instant,
}

/// Follows the watches that `open` returns, one after another, for as long as the state has receivers.
///
/// Each watch begins with a list, so that one that follows trouble also confirms what has not changed: kube's watcher
/// would resume without an event, and an old view would look like a current one.
pub(super) async fn follow<S: Source, W>(source: &S, open: impl Fn() -> W, state: &watch::Sender<WatchState>)
where
    W: Stream<Item = Result<Event<S::Object>, Error>>,
{
    let (mut failed, mut short): (u32, u32) = (0, 0);
    while !state.is_closed() {
        let mut listed = None;
        let line = match one_watch(source, open(), state, &mut listed, short >= MAX_SHORT_WATCHES).await {
            Some(error) => explain(&error, S::RESOURCE),
            None => format!("the watch of {} ended", S::RESOURCE),
        };
        (failed, short) = match listed {
            Some(at) if at.elapsed() >= SHORT_WATCH => (1, 0),
            Some(_) if short < MAX_SHORT_WATCHES => (1, short + 1),
            _ => (failed.saturating_add(1), short),
        };
        state.send_modify(|state| {
            let since = state.trouble.take().map_or_else(Instant::now, |before| before.since);
            state.trouble = Some(WatchTrouble { line, since });
        });
        sleep(pause(failed, RandomState::new().hash_one(failed))).await;
    }
}

/// Follows one watch until it fails or the state has no receivers. `listed`: when its list was complete. `doubtful`:
/// the watches before it were short, so it has to last for the trouble to be over.
async fn one_watch<S: Source>(
    source: &S,
    events: impl Stream<Item = Result<Event<S::Object>, Error>>,
    state: &watch::Sender<WatchState>,
    listed: &mut Option<Instant>,
    mut doubtful: bool,
) -> Option<Error> {
    let mut events = pin!(events);
    let mut known = Known::<S::Object>::default();
    // When the burst began, and when its last event came.
    let mut burst: Option<(Instant, Instant)> = None;
    loop {
        let over = burst.map(|(first, last)| (last + QUIET_PERIOD).min(first + MAX_DELAY));
        tokio::select! {
            // A burst that is over is published before the next event is read.
            biased;
            () = async { sleep_until(over.unwrap_or_else(Instant::now)).await }, if over.is_some() => {
                (burst, doubtful) = (None, false);
                publish(state, source.view(known.current.values()), doubtful);
            }
            () = async { sleep_until(listed.unwrap_or_else(Instant::now) + SHORT_WATCH).await }, if doubtful && listed.is_some() => {
                doubtful = false;
                publish(state, source.view(known.current.values()), doubtful);
            }
            () = state.closed() => return None,
            event = events.next() => match event? {
                Err(error) => {
                    // The changes before the watch broke are true: the next list may be long in coming.
                    if burst.is_some() {
                        publish(state, source.view(known.current.values()), doubtful);
                    }
                    return Some(error);
                }
                Ok(event) => {
                    state.send_if_modified(|state| { state.events += u64::from(!matches!(event, Event::Init | Event::InitDone)); false });
                    match known.apply(event) {
                        Effect::Nothing => {}
                        // A list is complete: it replaces the view at once.
                        Effect::Replaced => {
                            *listed = Some(Instant::now());
                            burst = None;
                            publish(state, source.view(known.current.values()), doubtful);
                        }
                        Effect::Changed => {
                            let now = Instant::now();
                            burst = Some((burst.map_or(now, |(first, _)| first), now));
                        }
                    }
                }
            },
        }
    }
}

/// Publishes a view that the API server has just confirmed. Wakes receivers where something has changed. `doubtful`: it
/// does not end trouble.
fn publish(state: &watch::Sender<WatchState>, view: View, doubtful: bool) {
    state.send_if_modified(|state| {
        let changed = (state.trouble.is_some() && !doubtful) || state.view.as_ref() != Some(&view);
        if !doubtful {
            state.trouble = None;
        }
        state.view = Some(view);
        changed
    });
}

/// The objects that the API server has sent, by name.
struct Known<K> {
    current: HashMap<String, K>,
    /// The list that is being received. It counts only when it is complete.
    listed: HashMap<String, K>,
}

impl<K> Default for Known<K> {
    fn default() -> Self {
        Self { current: HashMap::new(), listed: HashMap::new() }
    }
}

/// The effect of an event.
enum Effect {
    Nothing,
    Changed,
    Replaced,
}

impl<K: Resource> Known<K> {
    fn apply(&mut self, event: Event<K>) -> Effect {
        let name = |object: &K| object.meta().name.clone().unwrap_or_default();
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(object) => {
                self.listed.insert(name(&object), object);
            }
            Event::InitDone => {
                self.current = std::mem::take(&mut self.listed);
                return Effect::Replaced;
            }
            Event::Apply(object) => {
                self.current.insert(name(&object), object);
                return Effect::Changed;
            }
            Event::Delete(object) => {
                self.current.remove(&name(&object));
                return Effect::Changed;
            }
        }
        Effect::Nothing
    }
}

/// The pause after a number of failures in a row. Short at first, so that a restart of the API server is hardly
/// noticed; random, so that coordinators do not return all at once.
pub(super) fn pause(failed: u32, random: u64) -> Duration {
    let limit = if failed < 20 { Duration::from_millis(1500) } else { Duration::from_secs(10) };
    let longest = Duration::from_millis(200).saturating_mul(1 << failed.clamp(1, 10) >> 1).min(limit);
    // Between half and all of it.
    longest / 2 + longest.mul_f64((random % 1024) as f64 / 2048.0)
}

/// An error in one line for people. A refusal names verb and resource: the Role lacks these.
fn explain(error: &Error, resource: &str) -> String {
    let (verb, cause) = match error {
        Error::InitialListFailed(cause) => ("list", cause),
        Error::WatchStartFailed(cause) | Error::WatchFailed(cause) => ("watch", cause),
        Error::WatchError(status) => return format!("cannot watch {resource}: {}", status.message),
        Error::NoResourceVersion => {
            return format!("cannot watch {resource}: the API server sends no resourceVersion");
        }
    };
    match cause {
        kube::Error::Api(status) if status.code == 403 => {
            format!("no right to {verb} {resource} (a Role with the verbs list and watch gives it): {}", status.message)
        }
        kube::Error::Api(status) => format!("cannot {verb} {resource}: {} ({})", status.message, status.code),
        other => format!("cannot {verb} {resource}: {}", chain(other)),
    }
}
