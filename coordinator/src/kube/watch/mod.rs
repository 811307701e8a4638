//! Follows the EndpointSlices of one Service: events become views, bursts become one, and trouble leaves the last view
//! as it is.
#[cfg(test)]
mod tests;

use crate::kube::endpoint_slices::{View, view};
use futures_util::{Stream, StreamExt};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::watcher::{Error, Event};
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

/// So long nothing may change before a burst is over..
const QUIET: Duration = Duration::from_millis(100);
/// ..and no burst holds a change back for longer.
const HELD: Duration = Duration::from_millis(500);
/// A watch that ends sooner than this after its list has told nothing but the list: a right to watch may be missing.
const LIVES: Duration = Duration::from_secs(10);
/// After so many of these in a row a list alone ends no trouble.
const SHORT: u32 = 2;

/// What discovery knows now.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The last view; `None` until the API server has answered for the first time.
    pub view: Option<View>,
    /// Events that the API server has sent.
    pub events: u64,
    /// Why the view may be out of date; `None` while the API server tells each change.
    pub trouble: Option<Trouble>,
}

/// What stands between us and the API server.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// One line that says what is wrong, and what right is missing where it is that.
    pub line: String,
    /// Since when the API server does not tell each change.
    pub since: Instant,
}

/// Follows the watches that `open` gives, one after another, for as long as anybody listens.
///
/// Each watch begins with a list, so that one which follows trouble also confirms what has not changed: kube's watcher
/// would resume in silence, and nobody could tell an old view from a current one.
pub(super) async fn follow<S>(open: impl Fn() -> S, told: &watch::Sender<Known>)
where
    S: Stream<Item = Result<Event<EndpointSlice>, Error>>,
{
    let (mut failed, mut short): (u32, u32) = (0, 0);
    while !told.is_closed() {
        let mut listed = None;
        let line = match one_watch(open(), told, &mut listed, short >= SHORT).await {
            Some(error) => explain(&error),
            None => "the watch of endpointslices.discovery.k8s.io ended".to_owned(),
        };
        (failed, short) = match listed {
            Some(at) if at.elapsed() >= LIVES => (1, 0),
            Some(_) if short < SHORT => (1, short + 1),
            _ => (failed.saturating_add(1), short),
        };
        told.send_modify(|known| {
            let since = known.trouble.take().map_or_else(Instant::now, |before| before.since);
            known.trouble = Some(Trouble { line, since });
        });
        sleep(pause(failed, RandomState::new().hash_one(failed))).await;
    }
}

/// Follows one watch until it fails or nobody listens. `listed`: when it has told everything once. `doubtful`: those
/// before it told that and no more, so it has to live on for the trouble to be over.
async fn one_watch(
    events: impl Stream<Item = Result<Event<EndpointSlice>, Error>>,
    told: &watch::Sender<Known>,
    listed: &mut Option<Instant>,
    mut doubtful: bool,
) -> Option<Error> {
    let mut events = pin!(events);
    let mut slices = Slices::default();
    // When the burst began, and when its last event came.
    let mut burst: Option<(Instant, Instant)> = None;
    loop {
        let over = burst.map(|(first, last)| (last + QUIET).min(first + HELD));
        tokio::select! {
            // A burst that is over is told before its next event is looked at.
            biased;
            () = async { sleep_until(over.unwrap_or_else(Instant::now)).await }, if over.is_some() => {
                (burst, doubtful) = (None, false);
                tell(told, slices.view(), doubtful);
            }
            () = async { sleep_until(listed.unwrap_or_else(Instant::now) + LIVES).await }, if doubtful && listed.is_some() => {
                doubtful = false;
                tell(told, slices.view(), doubtful);
            }
            () = told.closed() => return None,
            event = events.next() => match event? {
                Err(error) => {
                    // What was seen before the watch broke is true: the next list may be long in coming.
                    if burst.is_some() {
                        tell(told, slices.view(), doubtful);
                    }
                    return Some(error);
                }
                Ok(event) => {
                    told.send_if_modified(|known| { known.events += u64::from(!matches!(event, Event::Init | Event::InitDone)); false });
                    match slices.take(event) {
                        Seen::Nothing => {}
                        // A list is whole, so nothing is settled: it replaces what was known at once.
                        Seen::All => {
                            *listed = Some(Instant::now());
                            burst = None;
                            tell(told, slices.view(), doubtful);
                        }
                        Seen::Change => {
                            let now = Instant::now();
                            burst = Some((burst.map_or(now, |(first, _)| first), now));
                        }
                    }
                }
            },
        }
    }
}

/// Tells a view that the API server has just confirmed. Listeners are woken where something has changed. `doubtful`:
/// trouble is not over by it.
fn tell(told: &watch::Sender<Known>, view: View, doubtful: bool) {
    told.send_if_modified(|known| {
        let changed = (known.trouble.is_some() && !doubtful) || known.view.as_ref() != Some(&view);
        if !doubtful {
            known.trouble = None;
        }
        known.view = Some(view);
        changed
    });
}

/// The slices as far as they were heard of.
#[derive(Default)]
struct Slices {
    now: HashMap<String, EndpointSlice>,
    /// The list under way. It counts only when it is whole.
    listed: HashMap<String, EndpointSlice>,
}

/// What an event did.
enum Seen {
    Nothing,
    Change,
    All,
}

impl Slices {
    fn take(&mut self, event: Event<EndpointSlice>) -> Seen {
        let name = |slice: &EndpointSlice| slice.metadata.name.clone().unwrap_or_default();
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(slice) => {
                self.listed.insert(name(&slice), slice);
            }
            Event::InitDone => {
                self.now = std::mem::take(&mut self.listed);
                return Seen::All;
            }
            Event::Apply(slice) => {
                self.now.insert(name(&slice), slice);
                return Seen::Change;
            }
            Event::Delete(slice) => {
                self.now.remove(&name(&slice));
                return Seen::Change;
            }
        }
        Seen::Nothing
    }

    fn view(&self) -> View {
        view(self.now.values())
    }
}

/// How long to wait after so many failures in a row. Short at first, so that a restart of the API server is hardly
/// noticed; spread, so that coordinators do not come back all at once.
fn pause(failed: u32, random: u64) -> Duration {
    let limit = if failed < 20 { Duration::from_millis(1500) } else { Duration::from_secs(10) };
    let longest = Duration::from_millis(200).saturating_mul(1 << failed.clamp(1, 10) >> 1).min(limit);
    // Between half of it and all of it.
    longest / 2 + longest.mul_f64((random % 1024) as f64 / 2048.0)
}

/// One line for people. A refusal names verb and resource: that is what the Role lacks.
fn explain(error: &Error) -> String {
    let (verb, cause) = match error {
        Error::InitialListFailed(cause) => ("list", cause),
        Error::WatchStartFailed(cause) | Error::WatchFailed(cause) => ("watch", cause),
        Error::WatchError(status) => {
            return format!("cannot watch endpointslices.discovery.k8s.io: {}", status.message);
        }
        Error::NoResourceVersion => {
            return "cannot watch endpointslices.discovery.k8s.io: the API server tells no resourceVersion".into();
        }
    };
    match cause {
        kube::Error::Api(status) if status.code == 403 => {
            format!(
                "no right to {verb} endpointslices.discovery.k8s.io (a Role with the verbs list and watch gives it): {}",
                status.message
            )
        }
        kube::Error::Api(status) => {
            format!("cannot {verb} endpointslices.discovery.k8s.io: {} ({})", status.message, status.code)
        }
        other => format!("cannot {verb} endpointslices.discovery.k8s.io: {}", chain(other)),
    }
}

/// An error and what caused it: "connection refused" stands at the end of the chain.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !line.contains(&said) {
            line = format!("{line}: {said}");
        }
        cause = inner.source();
    }
    line
}
