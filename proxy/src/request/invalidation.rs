//! Unsafe requests that succeeded: the hot cache drops their targets, here and in the proxy's other workers, and the
//! key's owner and next peer are called (RFC 9111 section 4.4).

use crate::{
    http::{Headers, head::RequestHead},
    state::{
        invalidations::{InvalidatedTarget, SharedChanges},
        listener_config::{Listener, ListenerConfig},
        shared_data::SharedData,
        snapshot::Snapshot,
        worker::Worker,
    },
};
use meshcache_protocol::{
    Key, Observer, Request, Response,
    freshness::{invalidates, is_unsafe, possible_key_fields},
    groups::{GroupMatch, Mode},
    paths,
    purge::Scope,
    request::{Flags, REROUTING},
    wire::{self, header},
};
use std::borrow::Cow;

/// The number of peers that are called: the owner and the next.
const PEERS: usize = 2;

/// Returns whether a request's response has to be examined when it arrives.
pub fn may_invalidate(head: &RequestHead<'_>) -> bool {
    is_unsafe(head.method())
}

/// Examines the service's response to a request that passed. `map`: the request's header map.
pub fn examine(worker: &mut Worker, listener: &ListenerConfig, map: &[u8], response: &Response<'_>, now: u64) {
    let Some(head) = RequestHead::read(map) else { return };
    let Ok(request) = head.request() else { return };
    if request.flags.any(Flags::GRPC) {
        return;
    }
    let listener = &listener.current(&worker.state);
    let targets = invalidates(listener.groups(), listener.namespace(), &request, response);
    if targets.is_empty() {
        return;
    }
    let views = possible_key_fields(&request);
    for (target, fields) in targets.iter().flat_map(|target| views.iter().map(move |fields| (target, fields))) {
        let (scheme, authority) = (request.scheme.as_bytes(), request.authority.as_bytes());
        if let Ok(other) = Request::read(b"GET", scheme, authority, target.as_bytes(), fields) {
            invalidate(worker, listener, &other, target, now);
        }
    }
}

fn invalidate(worker: &mut Worker, listener: &Listener<'_>, request: &Request<'_>, target: &str, now: u64) {
    let GroupMatch::Group(group) = listener.groups().find(request, listener.namespace()) else { return };
    match listener.mode(group) {
        Mode::On => {}
        Mode::Observe if group.keys_more_than_target() => return worker.observed.clear(),
        Mode::Observe => return worker.observed.forget(Observer::slot(group, &Key::of(group, request, None))),
        Mode::Off => return,
    }
    let target = InvalidatedTarget {
        hash: Key::of(group, request, None).hash(),
        group: group.name().to_owned(),
        namespace: listener.namespace().map(str::to_owned),
        scheme: request.scheme_name(),
        authority: request.authority.to_owned(),
        target: target.to_owned(),
        fields: rerouting_fields(request),
        is_in_more_keys: group.keys_more_than_target(),
        is_late: false,
    };
    drop_target(worker, &target);
    worker.invalidations.schedule(target, now);
}

/// Removes a target from the hot cache and notes it for the other workers.
fn drop_target(worker: &mut Worker, target: &InvalidatedTarget) {
    if target.is_in_more_keys {
        // Which other headers and cookies are in keys of this target is unknown: all of them go.
        let paths = vec![target.target.clone()];
        worker.invalidate_named(&Scope { group: Some(target.group.clone()), paths, ..Scope::default() });
    } else {
        worker.invalidate_hash(target.hash);
    }
    worker.invalidations.share(target);
}

/// The fields of a request that may reroute, as text. Envoy's SDK takes no others, and a request with one is not looked
/// up.
fn rerouting_fields(request: &Request<'_>) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).map(str::to_owned).ok();
    request
        .fields
        .iter()
        .filter(|(name, _)| REROUTING.contains(name))
        .filter_map(|(name, value)| Some((text(name)?, text(value)?)))
        .collect()
}

/// Takes the targets whose calls are due, and removes the late ones from the hot cache once more.
pub fn take_due(worker: &mut Worker, now: u64) -> Vec<InvalidatedTarget> {
    let due = worker.invalidations.take_due(now);
    due.iter().filter(|target| target.is_late).for_each(|target| drop_target(worker, target));
    due
}

/// Exchanges changes with the proxy's other workers under this name in the shared data.
pub fn exchange_with_workers(worker: &mut Worker, shared: &mut dyn SharedData, name: &str, now: u64) {
    match worker.invalidations.exchange(shared, name, now) {
        SharedChanges::All => worker.empty_hot_cache(),
        SharedChanges::Keys(keys) => keys.into_iter().for_each(|key| worker.invalidate_hash(key)),
    }
}

/// Returns the headers of a target's calls, one for each peer that is called.
pub fn calls<'t>(target: &'t InvalidatedTarget, snapshot: &'t Snapshot) -> Vec<Headers<'t>> {
    let question = wire::Question {
        group: target.group.clone(),
        namespace: target.namespace.clone().unwrap_or_default(),
        ..wire::Question::new()
    };
    let call = |peer: &'t str| -> Headers<'t> {
        let own = [
            (":method", Cow::Borrowed("POST")),
            (":scheme", Cow::Borrowed("http")),
            (":authority", Cow::Borrowed(&*target.authority)),
            (":path", Cow::Owned(format!("{}{}", paths::INVALIDATE, target.target))),
            (header::WIRE, Cow::Owned(question.to_string())),
            (header::SCHEME, Cow::Borrowed(target.scheme)),
            (header::PEER, Cow::Borrowed(peer)),
        ];
        own.into_iter()
            .chain(target.fields.iter().map(|(name, value)| (name.as_str(), Cow::Borrowed(value.as_str()))))
            .collect()
    };
    snapshot.ring.order(target.hash).into_iter().take(PEERS).map(|peer| call(&peer.data)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        http::header_map,
        state::{invalidations::MAX_SHARED, shared_data::InProcessData},
    };
    use meshcache_protocol::{Groups, Peer, Ring};

    fn worker() -> (Worker, ListenerConfig) {
        let config = serde_json::json!({"version": 1, "groups": [{"name": "g", "match": {"hosts": ["h"]}, "origin": {"url": "http://o"}}]});
        let peers = ["a", "b", "c"].map(|name| Peer {
            name: name.into(),
            data: format!("{name}:1"),
            peer: format!("{name}:2"),
        });
        let snapshot = Snapshot {
            version: "v".into(),
            installation: "meshcache".into(),
            groups: Groups::new(serde_json::from_value(config).unwrap()).unwrap(),
            ring: Ring::new(peers.to_vec()),
        };
        let mut worker = Worker::new(1 << 20);
        worker.install(snapshot);
        let listener = ListenerConfig::new(None, None, Some("ns".into()));
        (worker, listener)
    }

    fn respond(
        worker: &mut Worker,
        listener: &ListenerConfig,
        request: &[(&str, &str)],
        status: u16,
        now: u64,
    ) -> Vec<InvalidatedTarget> {
        let pseudo = [(":scheme", "http"), (":authority", "h"), (":path", "/a?b")];
        let fields: Vec<_> =
            pseudo.iter().chain(request).map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let map = header_map::encode(fields.iter().copied());
        examine(worker, listener, &map, &Response { status, fields: &[(b"location", b"/new")] }, now);
        take_due(worker, now)
    }

    #[test]
    fn the_owner_and_the_next_peer_are_called_for_each_target() {
        let (mut worker, listener) = worker();
        let targets = respond(&mut worker, &listener, &[(":method", "POST")], 201, 0);
        assert_eq!(targets.iter().map(|target| target.target.as_str()).collect::<Vec<_>>(), ["/a?b", "/new"]);
        let snapshot = worker.snapshot().unwrap();
        let headers = calls(&targets[0], snapshot);
        let of = |call: &Headers<'_>, name: &str| {
            call.iter().find(|(own, _)| *own == name).map(|(_, value)| value.to_string()).unwrap_or_default()
        };
        let order: Vec<_> =
            snapshot.ring.order(targets[0].hash).into_iter().take(2).map(|peer| peer.data.clone()).collect();
        assert_eq!(headers.iter().map(|call| of(call, header::PEER)).collect::<Vec<_>>(), order);
        let call = &headers[0];
        assert_eq!(
            [":method", ":path", ":authority", header::SCHEME, header::WIRE].map(|name| of(call, name)),
            ["POST", "/.meshcache/invalidate/a?b", "h", "http", "1; group=g; namespace=ns"]
        );
    }

    #[test]
    fn they_are_called_with_and_without_the_fields_that_a_gateway_adds() {
        let (mut worker, listener) = worker();
        let targets = respond(
            &mut worker,
            &listener,
            &[(":method", "POST"), ("x-forwarded-port", "443"), ("x-http-method", "PUT"), ("x", "1")],
            200,
            0,
        );
        let fields: Vec<_> = targets
            .iter()
            .take(2)
            .map(|target| {
                calls(target, worker.snapshot().unwrap())[0].iter().skip(7).map(|(name, _)| *name).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(fields, [vec!["x-forwarded-port"], vec![]]);
        assert_ne!(targets[0].hash, targets[1].hash);
    }

    #[test]
    fn what_fails_or_is_safe_or_grpc_calls_no_peer() {
        let (mut worker, listener) = worker();
        for (request, status) in [
            (&[(":method", "POST")][..], 500),
            (&[(":method", "POST")], 404),
            (&[(":method", "OPTIONS")], 200),
            (&[(":method", "POST"), ("content-type", "application/grpc")], 200),
        ] {
            assert_eq!(respond(&mut worker, &listener, request, status, 0), [], "{request:?}");
        }
        assert!(worker.invalidations.is_idle());
    }

    #[test]
    fn peers_are_called_for_a_key_once_a_second_and_the_last_change_counts() {
        let (mut worker, listener) = worker();
        let mut targets = |now| respond(&mut worker, &listener, &[(":method", "PUT")], 200, now);
        let first = targets(0);
        assert_eq!((first.len(), targets(300).len(), targets(400).len()), (2, 0, 0));
        let hash = first[0].hash;
        assert_eq!(
            [450, 2999, 3000].map(|now| worker.invalidations.since_change(hash, now)),
            [Some(50), Some(2599), None]
        );
        let late = take_due(&mut worker, 1000);
        assert!(late.len() == 2 && late.iter().all(|target| target.is_late), "one for each target");
        assert!(take_due(&mut worker, 5000).is_empty());
    }

    #[test]
    fn workers_share_their_invalidations() {
        let mut memory = InProcessData::default();
        let ((mut one, listener), (mut two, _)) = (worker(), worker());
        let mut listen = |worker: &mut Worker| {
            let before = worker.purge_count();
            exchange_with_workers(worker, &mut memory, "x", 0);
            worker.purge_count() - before
        };
        assert_eq!((listen(&mut one), listen(&mut two)), (0, 0));
        respond(&mut one, &listener, &[(":method", "PUT")], 204, 0);
        assert_eq!(
            (listen(&mut one), listen(&mut two), listen(&mut two)),
            (0, 2, 0),
            "the target and its Location, once"
        );
        for _ in 0..2 * MAX_SHARED {
            respond(&mut one, &listener, &[(":method", "PUT")], 204, 0);
        }
        assert_eq!((listen(&mut one), listen(&mut two)), (0, 1), "more than there is room for: all goes");
    }
}
