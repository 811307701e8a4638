//! The groups as people write them. Every field is checked while it is read; what is not written has the value shown.
//!
//! A field that is not known is an error where people write it. In the filter (wasm) it is passed over: a later
//! coordinator may tell of it.

use super::{
    patterns::*,
    units::{Percent, Size, Span},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The groups file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
pub struct Config {
    /// The format's version: 1.
    pub version: u32,
    /// SPIFFE patterns whose meshcache-bypass and meshcache-debug are believed; `*`: everybody; empty: nobody.
    #[serde(default)]
    pub debuggers: Vec<CallerPattern>,
    /// The groups; the first that matches wins.
    #[serde(default)]
    pub groups: Vec<GroupConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self { version: 1, debuggers: Vec::new(), groups: Vec::new() }
    }
}

/// One group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
pub struct GroupConfig {
    /// Label of metrics, first part of the key; a name as in Kubernetes.
    pub name: Name,
    /// Whether the group answers, only counts, or does nothing.
    #[serde(default)]
    pub mode: Mode,
    /// Which requests.
    pub r#match: Match,
    /// One of these present: the request passes and nothing is stored.
    #[serde(default)]
    pub bypass: Bypass,
    /// SPIFFE patterns that may have answers of this group; empty or `*`: all who can reach it.
    #[serde(default)]
    pub callers: Vec<CallerPattern>,
    /// What of plain clients' requests a coordinator sends on to the origin, when no cache answers them. Proxies are
    /// not told of it: what they pass goes its own way.
    #[serde(default, skip_serializing)]
    pub pass_through: PassThrough,
    /// What beside group, scheme, authority, path and query tells answers apart.
    #[serde(default)]
    pub key: KeyRules,
    /// Where answers come from.
    pub origin: Origin,
    /// The longest that an owner is silent. Choose it well above a network round trip and below what users notice.
    #[serde(default = "patience")]
    pub patience: Span,
    /// What happens when `maxLoads` are under way and a flight has waited `patience` for a place.
    #[serde(default)]
    pub overload: Overload,
    /// How long answers are good.
    #[serde(default)]
    pub freshness: Freshness,
    /// No answer for so long: ask the next peer too; 0s: never.
    #[serde(default)]
    pub hedge: Span,
    /// What one group may take.
    #[serde(default)]
    pub limits: Limits,
    /// The proxies' own memory.
    #[serde(default)]
    pub hot: Hot,
    /// What may be shared although HTTP says that it belongs to one user.
    #[serde(default)]
    pub share: Share,
    /// Purge tags.
    #[serde(default)]
    pub tags: Tags,
}

impl GroupConfig {
    /// What proxies decide by: all but where the origin is and what is sent there.
    pub(crate) fn for_proxies(&self) -> Self {
        Self { origin: Origin::hidden(self.origin.timeout), ..self.clone() }
    }

    /// The configuration that filters of the feed's version 1 are sent. They make the digest of it themselves.
    pub(crate) fn for_feed_1(&self) -> Self {
        let mut config = self.for_proxies();
        if config.freshness.errors == Errors::Safe {
            config.freshness.errors = Errors::Rfc9111;
        }
        config
    }

    /// A digest of the group's rules.
    pub(crate) fn digest(&self) -> String {
        super::digest(self)
    }
}

fn patience() -> Span {
    Span::secs(1)
}

/// Whether a group answers. Helm writes `on` and `off` as true and false.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "ModeWord", into = "ModeWord")]
pub enum Mode {
    /// It answers.
    #[default]
    On,
    /// It counts what it would have done and changes nothing for clients.
    Observe,
    /// It does nothing.
    Off,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected on, observe or off")]
enum ModeWord {
    Bool(bool),
    Word(ModeName),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ModeName {
    On,
    Observe,
    Off,
}

impl From<ModeWord> for Mode {
    fn from(word: ModeWord) -> Self {
        match word {
            ModeWord::Bool(true) | ModeWord::Word(ModeName::On) => Self::On,
            ModeWord::Bool(false) | ModeWord::Word(ModeName::Off) => Self::Off,
            ModeWord::Word(ModeName::Observe) => Self::Observe,
        }
    }
}

impl From<Mode> for ModeWord {
    fn from(mode: Mode) -> Self {
        Self::Word(match mode {
            Mode::On => ModeName::On,
            Mode::Observe => ModeName::Observe,
            Mode::Off => ModeName::Off,
        })
    }
}

/// Which requests a group takes: by `service` or by `hosts`, and by path.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
pub struct Match {
    /// Every DNS name of this Kubernetes service, any port, as one authority: `name.namespace`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,
    /// Hosts: `example.com` (any port), `example.com:8080`, `*.example.com`, `*`. The authority is then part of the
    /// key.
    pub hosts: Vec<Host>,
    /// Paths; none: every path.
    pub paths: Vec<PathRule>,
    /// Paths that are left out again.
    pub exclude: Vec<PathRule>,
}

/// A path: `{prefix: /a}` (whole segments), `{exact: /a}`, `{regex: "/a/?"}` (the whole path). Without query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PathRule {
    /// The path or anything below it.
    Prefix(String),
    /// The path itself.
    Exact(String),
    /// The whole path.
    Regex(PathRegex),
}

/// What lets a request pass.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
pub struct Bypass {
    /// Header names.
    #[serde(deserialize_with = "lower_names")]
    pub headers: Vec<String>,
    /// Cookie names.
    pub cookies: Vec<String>,
    /// Query parameter names.
    pub query: Vec<String>,
}

/// What a coordinator sends on to the origin although no cache answers it. The default of a field that is not written
/// depends on who may ask: [`super::Group::passes_through`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
pub struct PassThrough {
    /// The methods; `*`: all.
    pub methods: Option<Vec<MethodPattern>>,
    /// Whether paths that the group does not name, of a host that it names, are among them.
    pub other_paths: Option<bool>,
}

/// What is in the key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
pub struct KeyRules {
    /// The query.
    pub query: QueryRules,
    /// Header names whose values are in the key.
    #[serde(deserialize_with = "lower_names")]
    pub headers: Vec<String>,
    /// Cookie names whose values are in the key.
    pub cookies: Vec<String>,
    /// Whether the route that the proxy chose is in the key: its cluster and name (canaries).
    pub route: bool,
}

/// What of the query is in the key and reaches the origin.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
pub struct QueryRules {
    /// Parameters left out: `utm_*` or whole names.
    pub exclude: Vec<NamePattern>,
    /// Sort parameters by name.
    pub sort: bool,
}

/// Where answers come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
pub struct Origin {
    /// `http://host:port` or `https://host:port`.
    pub url: OriginUrl,
    /// The Host that the origin is sent.
    #[serde(default)]
    pub host: OriginHost,
    /// How long a load may take until its head is there, and between two pieces of its body. Others may wait for it.
    #[serde(default = "origin_timeout")]
    pub timeout: Span,
    /// The same for what goes past the cache for one client, from the last byte of its request on; 0s: as long as that
    /// client waits.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub pass_timeout: Span,
    /// How long an HTTP/1.1 connection is kept that nobody uses: less than the origin keeps it. 0s: each request has
    /// its own.
    #[serde(default = "origin_idle", skip_serializing_if = "is_origin_idle")]
    pub idle: Span,
    /// The longest that a connection takes requests, less up to a fifth. The origin's name is resolved again for the
    /// next one.
    #[serde(default = "max_connection_age", skip_serializing_if = "is_max_connection_age")]
    pub max_connection_age: Span,
    /// Flights' loads under way at one coordinator.
    #[serde(default = "max_loads")]
    pub max_loads: u32,
    /// A PEM file of certificate authorities, for https; none: the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}

impl Origin {
    fn hidden(timeout: Span) -> Self {
        Self {
            url: OriginUrl::hidden(),
            host: OriginHost::default(),
            timeout,
            pass_timeout: Span::default(),
            idle: origin_idle(),
            max_connection_age: max_connection_age(),
            max_loads: max_loads(),
            ca: None,
        }
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

/// The Host that the origin is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OriginHost {
    /// The URL's.
    #[default]
    Origin,
    /// As received.
    Client,
}

/// What happens to flights that found no place in time. Helm may write 503 as a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "OverloadWord", into = "OverloadWord")]
pub enum Overload {
    /// A stale answer, where there is one; else pass.
    #[default]
    Stale,
    /// The request goes to the service by itself. This does not protect the service.
    Pass,
    /// 503 with Retry-After.
    Refuse,
}

impl Overload {
    /// The word in the file, the log and metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::Pass => "pass",
            Self::Refuse => "503",
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected stale, pass or 503")]
enum OverloadWord {
    Number(u16),
    Word(String),
}

impl TryFrom<OverloadWord> for Overload {
    type Error = String;

    fn try_from(word: OverloadWord) -> Result<Self, String> {
        match word {
            OverloadWord::Number(503) => Ok(Self::Refuse),
            OverloadWord::Number(n) => Err(format!("overload: `{n}` is not stale, pass or 503")),
            OverloadWord::Word(word) => match word.as_str() {
                "stale" => Ok(Self::Stale),
                "pass" => Ok(Self::Pass),
                "503" => Ok(Self::Refuse),
                _ => Err(format!("overload: `{word}` is not stale, pass or 503")),
            },
        }
    }
}

impl From<Overload> for OverloadWord {
    fn from(overload: Overload) -> Self {
        Self::Word(overload.label().into())
    }
}

/// How long answers are good.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
pub struct Freshness {
    /// For an answer that says nothing about its freshness.
    pub default: Span,
    /// The least, for an answer that may be stored.
    pub min: Span,
    /// The most.
    pub max: Span,
    /// `off`, or the freshness of every answer that is not private or no-store.
    pub force: Force,
    /// Freshness by status for errors: `"404"`, `"4xx"`, `"5xx"`. Without it an error is not stored.
    pub status: BTreeMap<Status, Span>,
    /// How errors that `status` does not list are treated: not stored, as other answers, or to the letter of RFC 9111
    /// (`--origin-rules`).
    pub errors: Errors,
    /// Whether an answer without a freshness of its own gets a tenth of its Last-Modified's age (RFC 9111 section
    /// 4.2.2).
    pub heuristic: bool,
    /// How long past its freshness an answer is still given while one load refreshes it (RFC 5861).
    pub stale_while_revalidate: Span,
    /// How long past its freshness an answer is still given when the origin fails (RFC 5861).
    pub stale_if_error: Span,
    /// Shortens each lifetime by a random share up to this, so that keys loaded together do not expire together.
    pub jitter: Percent,
    /// Targeted cache control fields that are read before Cache-Control, in their order (RFC 9213).
    pub targets: Vec<String>,
    /// Whether a client's Cache-Control is obeyed.
    pub request_directives: Directives,
}

impl Default for Freshness {
    fn default() -> Self {
        Self {
            default: Span::ZERO,
            min: Span::ZERO,
            max: Span::secs(7 * 86_400),
            force: Force::Off,
            status: BTreeMap::new(),
            errors: Errors::Status,
            heuristic: false,
            stale_while_revalidate: Span::ZERO,
            stale_if_error: Span::ZERO,
            jitter: Percent(0),
            targets: vec!["MeshCache-Control".into()],
            request_directives: Directives::Ignore,
        }
    }
}

/// How errors that `status` does not list are treated; the last two are what `--origin-rules` names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Errors {
    /// They are not stored.
    #[default]
    Status,
    /// As RFC 9111 treats any response, but for what it lets one client do to the others: an answer that a request
    /// brought upon itself is not stored, and one that sets a cookie only where it says public.
    Safe,
    /// As RFC 9111 treats any response, to the letter.
    Rfc9111,
}

impl Errors {
    /// Whether the RFC holds, and not the group's `status` alone.
    pub const fn by_rfc(self) -> bool {
        matches!(self, Self::Safe | Self::Rfc9111)
    }

    /// Whether it holds to the letter.
    pub const fn to_the_letter(self) -> bool {
        matches!(self, Self::Rfc9111)
    }
}

/// Whether a client's Cache-Control is obeyed. only-if-cached always is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Directives {
    /// A client's no-cache does not empty a shared cache.
    #[default]
    Ignore,
    /// As RFC 9111 section 5.2.1 has it.
    Obey,
}

/// What one group may take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
pub struct Limits {
    /// The largest body that is stored.
    pub object: Size,
    /// The group's share of the store.
    pub bytes: Percent,
}

impl Default for Limits {
    fn default() -> Self {
        Self { object: Size(8 << 20), bytes: Percent(100) }
    }
}

/// The proxies' own memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
pub struct Hot {
    /// The longest that a proxy answers from its own memory without asking the owner.
    pub ttl: Span,
}

impl Default for Hot {
    fn default() -> Self {
        Self { ttl: Span::secs(10) }
    }
}

/// What may be shared although HTTP says that it belongs to one user.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
pub struct Share {
    /// Answers to requests with Authorization.
    pub authorization: bool,
    /// Answers to requests with Cookie.
    pub cookie: bool,
    /// Answers with Set-Cookie, stored without it.
    pub set_cookie: bool,
    /// Headers that name a user: a request with one is treated as one with Authorization.
    #[serde(deserialize_with = "lower_names")]
    pub identity: Vec<String>,
}

/// Purge tags.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(not(target_family = "wasm"), serde(deny_unknown_fields))]
pub struct Tags {
    /// The response header whose words are tags.
    pub header: String,
    /// Whether clients do not see that header.
    pub strip: bool,
}

impl Default for Tags {
    fn default() -> Self {
        Self { header: "Surrogate-Key".into(), strip: true }
    }
}
