//! The hosts of no group that were asked for last. A request for one of them passes before its head is parsed.

use crate::{
    http::{head::RequestHead, header_map::HeaderMap},
    state::{
        counters::Reason,
        hot_state::HotState,
        listener_config::{Listener, ListenerConfig},
    },
};
use meshcache_protocol::{Field, wire::PREFIX};

/// How many hosts are kept.
const HOSTS: usize = 4;

/// Hosts of no group, under one snapshot, in one thread.
#[derive(Debug, Default)]
pub struct OtherHosts {
    generation: u64,
    hosts: [Vec<u8>; HOSTS],
    next: usize,
}

impl OtherHosts {
    /// Returns whether a request with this header map passes, and counts it. `false` decides nothing: the head has to be
    /// read.
    pub fn pass(&self, state: &HotState, map: &[u8]) -> bool {
        self.pass_fields(state, 0, HeaderMap::parse(map).into_iter().flatten())
    }

    /// Does what [`OtherHosts::pass`] does, for the fields of a head in this thread.
    pub fn pass_fields<'f>(&self, state: &HotState, thread: usize, fields: impl Iterator<Item = Field<'f>>) -> bool {
        if self.generation != state.generation() {
            return false;
        }
        let mut is_other = false;
        for (name, value) in fields {
            match name {
                b":authority" => is_other = !value.is_empty() && self.hosts.iter().any(|host| host == value),
                // Those of a client are to be removed.
                [b'm', ..] if name.starts_with(PREFIX.as_bytes()) => return false,
                _ => {}
            }
        }
        if is_other {
            state.counters(thread).count_pass(Reason::NoGroup);
        }
        is_other
    }

    /// Notes the host of a request that passed without notice, if it is of no group.
    pub fn note(&mut self, listener: &ListenerConfig, state: &HotState, head: &RequestHead<'_>) {
        let current = listener.current(state);
        if !is_of_no_group(&current, head) {
            return;
        }
        if self.generation != current.generation() {
            *self = Self { generation: current.generation(), ..Self::default() };
        }
        if let Some(host) = self.hosts.get_mut(self.next) {
            head.authority().clone_into(host);
            self.next = self.next.saturating_add(1).checked_rem(HOSTS).unwrap_or(0);
        }
    }
}

/// Returns whether requests for this host pass without notice, whatever else they say.
fn is_of_no_group(listener: &Listener<'_>, head: &RequestHead<'_>) -> bool {
    // The scheme decides which port is the default one.
    let is_matched = |scheme| {
        let request = head.host_only_as(scheme);
        request.is_ok_and(|request| listener.groups().of_host(&request, listener.namespace()).next().is_some())
    };
    listener.snapshot().is_some()
        && !listener.names_groups()
        && head.request().is_ok()
        && !["http", "https"].into_iter().any(is_matched)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{http::header_map, state::snapshot::Snapshot};
    use meshcache_protocol::{Groups, Ring};
    use std::sync::Arc;

    fn map(host: &str, more: &[Field<'_>]) -> Vec<u8> {
        let head: [Field<'_>; 4] =
            [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", host.as_bytes()), (b":path", b"/")];
        header_map::encode(head.into_iter().chain(more.iter().copied()))
    }

    fn publish(state: &HotState, hosts: &str) {
        let config = format!(
            r#"{{"version": 1, "groups": [{{"name": "g", "match": {{"hosts": [{hosts}]}}, "origin": {{"url": "http://o"}}}}]}}"#
        );
        let groups = Groups::new(serde_json::from_str(&config).unwrap()).unwrap();
        let (version, installation) = ("v".to_owned(), "meshcache".to_owned());
        state.publish(Some(Arc::new(Snapshot { version, installation, groups, ring: Ring::new(Vec::new()) })));
    }

    fn passes_after_one(named: Option<&str>, hosts: &str, first: &[u8], second: &[u8]) -> bool {
        let state = HotState::new(0, 1);
        publish(&state, hosts);
        let listener = ListenerConfig::new(named.map(|name| vec![name.to_owned()]), None, None);
        let mut others = OtherHosts::default();
        assert!(!others.pass(&state, first), "nothing is known yet");
        others.note(&listener, &state, &RequestHead::read(first).unwrap());
        others.pass(&state, second)
    }

    #[test]
    fn only_a_host_of_no_group_that_was_asked_for_passes_unread() {
        let group = r#""a.example""#;
        assert!(passes_after_one(None, group, &map("b.example", &[]), &map("b.example", &[(b"x", b"1")])));
        assert!(!passes_after_one(None, group, &map("b.example", &[]), &map("c.example", &[])));
        assert!(!passes_after_one(None, group, &map("a.example", &[]), &map("a.example", &[])));
        assert!(!passes_after_one(None, group, &map("", &[]), &map("", &[])), "no host is no host");
    }

    #[test]
    fn a_client_that_sends_our_headers_has_its_head_read() {
        let own = [(&b"meshcache-bypass"[..], &b"1"[..])];
        assert!(!passes_after_one(None, r#""a.example""#, &map("b.example", &[]), &map("b.example", &own)));
    }

    #[test]
    fn a_host_whose_port_is_a_groups_under_the_other_scheme_has_its_head_read() {
        let group = r#""a.example""#;
        assert!(!passes_after_one(None, group, &map("a.example:443", &[]), &map("a.example:443", &[])));
        assert!(passes_after_one(None, r#""a.example:80""#, &map("a.example:444", &[]), &map("a.example:444", &[])));
    }

    #[test]
    fn where_groups_are_named_a_pass_says_why() {
        assert!(!passes_after_one(Some("g"), r#""a.example""#, &map("b.example", &[]), &map("b.example", &[])));
    }

    #[test]
    fn a_host_that_becomes_a_groups_has_its_head_read_from_then_on() {
        let state = HotState::new(0, 1);
        publish(&state, r#""a.example""#);
        let (listener, mut others) = (ListenerConfig::new(None, None, None), OtherHosts::default());
        let map = map("b.example", &[]);
        others.note(&listener, &state, &RequestHead::read(&map).unwrap());
        assert!(others.pass(&state, &map));
        publish(&state, r#""b.example""#);
        assert!(!others.pass(&state, &map));
        others.note(&listener, &state, &RequestHead::read(&map).unwrap());
        assert!(!others.pass(&state, &map));
    }
}
