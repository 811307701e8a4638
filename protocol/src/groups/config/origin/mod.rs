//! The origin of a group.

mod auth;
mod headers;
mod oauth2;
mod proxies;
mod tls;

pub use auth::OriginAuth;
pub use headers::{HeaderFile, OriginHeaders};
pub use oauth2::{ClientAuthMethod, OAuth2, SigningAlgorithm, TokenUrl};
pub use proxies::OriginProxies;
pub use tls::OriginTls;

use crate::groups::{patterns::OriginUrl, units::Span};
use serde::{Deserialize, Serialize};

/// Where responses come from. Proxies are told of none of it, so the filter (wasm) reads no credentials.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
pub struct Origin {
    /// `http://host:port` or `https://host:port`.
    ///
    /// Example: `http://config-server.platform.svc.cluster.local:9000`. Change it when the service moves. It is the
    /// service itself, not a proxy with the filter.
    pub url: OriginUrl,
    /// The Host that the origin gets.
    ///
    /// Example: `client`. Change it when one origin serves several hosts.
    #[serde(default)]
    pub host: OriginHost,
    /// How long a load waits for the response's head, and between two pieces of its body. Other requests may wait for
    /// it.
    ///
    /// Example: `2m`. Change it when responses take longer to begin, or pause for longer.
    #[serde(default = "origin_timeout")]
    pub timeout: Span,
    /// The timeout for requests that pass the cache, from the last byte of the request on; 0s: as long as the client
    /// waits.
    ///
    /// Example: `1m`. Change it when requests that pass must end some time.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[cfg_attr(feature = "schema", schemars(extend("default" = "0s")))]
    pub pass_timeout: Span,
    /// How long an idle HTTP/1.1 connection is kept. Choose less than the origin's own limit. 0s: a connection for
    /// each request.
    ///
    /// Example: `30s`. Change it when the service keeps its idle connections for longer, and opening them is dear;
    /// always less than it does.
    #[serde(default = "origin_idle", skip_serializing_if = "is_origin_idle")]
    #[cfg_attr(feature = "schema", schemars(extend("default" = "4s")))]
    pub idle: Span,
    /// How long a connection is used, less a random share of up to a fifth. The origin's name is resolved again for
    /// the next one.
    ///
    /// Example: `10m`. Change it when connections are dear, and the name seldom changes.
    #[serde(default = "max_connection_age", skip_serializing_if = "is_max_connection_age")]
    #[cfg_attr(feature = "schema", schemars(extend("default" = "1m")))]
    pub max_connection_age: Span,
    /// The most loads in flight at one coordinator.
    ///
    /// Example: `16`. Change it when the service bears less. The mesh has this many at each coordinator.
    #[serde(default = "max_loads")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub max_loads: u32,
    /// The short form of `tls.ca`.
    ///
    /// Example: `/etc/meshcache/ca/ca.crt`. Change it when the origin's certificate is of an authority of your own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// What connections prove and accept, for https.
    #[serde(default, skip_serializing_if = "OriginTls::is_default")]
    #[cfg_attr(target_family = "wasm", serde(skip))]
    pub tls: OriginTls,
    /// Headers that are sent with each request, from files.
    #[serde(default, skip_serializing_if = "OriginHeaders::is_empty")]
    #[cfg_attr(target_family = "wasm", serde(skip))]
    pub headers: OriginHeaders,
    /// Tokens that are sent with each request.
    #[serde(default, skip_serializing_if = "OriginAuth::is_none")]
    #[cfg_attr(target_family = "wasm", serde(skip))]
    pub auth: OriginAuth,
    /// Whether proxies serve the group although the origin gets credentials.
    ///
    /// Example: `inject`. Change it when Envoy adds the same credentials to what passes.
    #[serde(default, skip_serializing_if = "OriginProxies::is_none")]
    #[cfg_attr(target_family = "wasm", serde(skip))]
    #[cfg_attr(feature = "schema", schemars(extend("default" = "none")))]
    pub proxies: OriginProxies,
}

impl Origin {
    pub(super) fn hidden(timeout: Span) -> Self {
        Self {
            url: OriginUrl::hidden(),
            host: OriginHost::default(),
            timeout,
            pass_timeout: Span::default(),
            idle: origin_idle(),
            max_connection_age: max_connection_age(),
            max_loads: max_loads(),
            ca: None,
            tls: OriginTls::default(),
            headers: OriginHeaders::default(),
            auth: OriginAuth::default(),
            proxies: OriginProxies::default(),
        }
    }

    /// Returns the file of certificate authorities.
    pub fn ca(&self) -> Option<&str> {
        self.ca.as_deref().or(self.tls.ca.as_deref())
    }

    /// Whether it gets credentials that are not its clients': what they open is shared with all whom `callers` admits.
    pub fn gets_credentials(&self) -> bool {
        !self.headers.is_empty() || !self.auth.is_none() || self.tls.cert.is_some()
    }
}

fn origin_timeout() -> Span {
    Span::secs(10)
}

fn origin_idle() -> Span {
    Span::secs(4)
}

fn is_origin_idle(span: &Span) -> bool {
    *span == origin_idle()
}

fn max_connection_age() -> Span {
    Span::secs(60)
}

fn is_max_connection_age(span: &Span) -> bool {
    *span == max_connection_age()
}

fn is_zero(span: &Span) -> bool {
    span.is_zero()
}

fn max_loads() -> u32 {
    64
}

/// The Host that the origin gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum OriginHost {
    /// The URL's.
    #[default]
    Origin,
    /// The client's.
    Client,
}
