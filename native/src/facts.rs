//! Envoy's knowledge of a request, and of the proxy itself.

use crate::{abi::Attribute, envoy::Filter};
use meshcache_proxy::{
    request::arrival::Facts,
    state::{listener_config::Side, snapshot::Snapshot},
};
use std::{cell::OnceCell, env};

/// Where jwt_authn leaves its result, if it is configured to, as by Istio.
const VERIFIED: &str = "envoy.filters.http.jwt_authn";

/// The knowledge of one request. What may be asked for twice is asked for once.
pub(crate) struct EnvoyFacts<'a> {
    filter: &'a Filter,
    identity: Option<&'a str>,
    /// The side of the listener, where Envoy does not tell it.
    side: Option<Side>,
    verified: OnceCell<bool>,
}

impl<'a> EnvoyFacts<'a> {
    /// `side`: the configured side, where Envoy does not tell it.
    pub(crate) fn new(filter: &'a Filter, identity: Option<&'a str>, side: Option<Side>) -> Self {
        Self { filter, identity, side, verified: OnceCell::new() }
    }
}

impl Facts for EnvoyFacts<'_> {
    fn side(&self) -> Side {
        self.side.unwrap_or_else(|| match self.filter.number(Attribute::ListenerDirection) {
            Some(0 | 2) => Side::Outbound,
            _ => Side::Inbound,
        })
    }

    fn caller(&self, side: Side) -> Option<String> {
        match side {
            Side::Inbound => String::from_utf8(self.filter.text(Attribute::UriSanPeerCertificate)?).ok(),
            Side::Outbound => self.identity.map(str::to_owned),
        }
    }

    fn verified(&self) -> bool {
        *self.verified.get_or_init(|| self.filter.has_metadata(VERIFIED))
    }

    fn is_routed(&self) -> bool {
        self.filter.has_cluster()
    }

    /// Envoy has chosen the route before its first filter.
    fn cluster(&self) -> Option<Vec<u8>> {
        self.filter.cluster()
    }

    fn route(&self) -> Option<Vec<u8>> {
        self.filter.text(Attribute::RouteName)
    }
}

/// Returns whether the connection goes to a coordinator: in its own proxy, or in a proxy before it. It needs our
/// headers.
pub(crate) fn leads_to_a_coordinator(filter: &Filter, snapshot: &Snapshot) -> bool {
    let Some(address) = filter.text(Attribute::DestinationAddress).and_then(|text| String::from_utf8(text).ok()) else {
        return false;
    };
    let port = filter.number(Attribute::DestinationPort).unwrap_or_default();
    let address = if address.contains(':') && !address.starts_with('[') {
        format!("[{address}]:{port}")
    } else {
        format!("{address}:{port}")
    };
    snapshot.ring.peers().iter().any(|peer| peer.data == address || peer.peer == address)
}

/// A variable that is set and not empty.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// The namespace of the proxy's pod, as Istio's proxies have it.
pub(crate) fn namespace() -> Option<String> {
    variable("POD_NAMESPACE")
}

/// The identity of the proxy itself, in Istio.
pub(crate) fn identity() -> Option<String> {
    let (domain, namespace) = (variable("TRUST_DOMAIN")?, variable("POD_NAMESPACE")?);
    Some(format!("spiffe://{domain}/ns/{namespace}/sa/{}", variable("SERVICE_ACCOUNT")?))
}

/// The name of the proxy: Envoy's `--service-node`, else those of pod or machine, and the process.
pub(crate) fn proxy_name() -> String {
    let all = env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    let mut arguments = all.skip_while(|argument| !argument.starts_with("--service-node"));
    let node = arguments.next().and_then(|argument| match argument.split_once('=') {
        Some((_, node)) => Some(node.to_owned()),
        None => arguments.next(),
    });
    node.filter(|node| !node.is_empty()).unwrap_or_else(|| {
        let machine = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|name| name.trim().to_owned());
        let place = variable("POD_NAME").or_else(machine).unwrap_or_default();
        format!("{place}/{}", std::process::id())
    })
}
