//! What Envoy knows of a request.

use crate::{host, memory::HostBytes};
use meshcache_proxy::{request::arrival::Facts, state::listener_config::Side};
use std::cell::Cell;

/// The cluster of the request's route. The second name is that of older Envoys.
fn cluster() -> Option<HostBytes> {
    host::property("xds\0cluster_name").or_else(|| host::property("cluster_name")).filter(|name| !name.is_empty())
}

/// Envoy's knowledge of the request.
pub(crate) struct EnvoyFacts<'a> {
    pub(crate) identity: Option<&'a str>,
    /// Filters before this one leave metadata. It is not known while none has.
    pub(crate) has_metadata: &'a Cell<bool>,
}

impl Facts for EnvoyFacts<'_> {
    /// One root may serve listeners of both sides: only the request shows which. The second name is that of older
    /// Envoys.
    fn side(&self) -> Side {
        match host::property("xds\0listener_direction").or_else(|| host::property("listener_direction")).as_deref() {
            Some([0 | 2, ..]) => Side::Outbound,
            _ => Side::Inbound,
        }
    }

    fn caller(&self, side: Side) -> Option<String> {
        match side {
            Side::Inbound => host::text_property("connection\0uri_san_peer_certificate"),
            Side::Outbound => self.identity.map(str::to_owned),
        }
    }

    /// jwt_authn leaves its result here where it is configured to, as by Istio.
    fn verified(&self) -> bool {
        // To look for a part costs twice as much as to see that there is nothing.
        if !self.has_metadata.get() && host::property("metadata").is_some_and(|all| all.is_empty()) {
            return false;
        }
        self.has_metadata.set(true);
        host::property("metadata\0filter_metadata\0envoy.filters.http.jwt_authn").is_some_and(|value| !value.is_empty())
    }

    fn is_routed(&self) -> bool {
        cluster().is_some()
    }

    /// Envoy has chosen the route before its first filter. The second name is that of older Envoys.
    fn cluster(&self) -> Option<Vec<u8>> {
        cluster().map(HostBytes::into_vec)
    }

    fn route(&self) -> Option<Vec<u8>> {
        host::property("xds\0route_name").or_else(|| host::property("route_name")).map(HostBytes::into_vec)
    }
}
