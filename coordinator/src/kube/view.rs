//! What the Kubernetes API shows of the peers. What cannot be a peer is a named problem.

use k8s_openapi::serde::de::DeserializeOwned;
use kube::{Resource, core::NamespaceResourceScope};
use meshcache_protocol::Peer;
use std::{collections::BTreeMap, fmt, fmt::Debug};

/// The objects that are watched, and the view that they make.
pub(super) trait Source: Send + Sync + 'static {
    /// Their kind.
    type Object: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + 'static;
    /// Their name in a Role, with its group.
    const RESOURCE: &'static str;
    /// The view that all of them make, in any order.
    fn view<'a>(&self, objects: impl Iterator<Item = &'a Self::Object>) -> View;
}

/// The content of all objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// The ready peers, by name.
    pub ready: Vec<Peer>,
    /// The parts that were left out, and why.
    pub problems: Vec<Problem>,
    /// Of each of the ready, what tells its run from the one before. Empty: being ready is proof enough.
    pub runs: BTreeMap<String, String>,
}

/// Why something is no peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The endpoint names no Pod: its keys are unknown.
    NoTarget,
    /// The endpoint or Pod has no address.
    NoAddress,
    /// The address is no IP address, but a host name or nonsense.
    BadAddress,
    /// The slice has no port of a name that a coordinator needs.
    NoPort,
    /// The Pod does not answer as a coordinator.
    NoAnswer,
    /// The Pod refuses this coordinator's token.
    TokenRefused,
    /// This Pod is not among those that are asked for: the others do not find it.
    NotSelected,
}

impl Fault {
    /// All faults.
    pub const ALL: [Self; 7] = [
        Self::NoTarget,
        Self::NoAddress,
        Self::BadAddress,
        Self::NoPort,
        Self::NoAnswer,
        Self::TokenRefused,
        Self::NotSelected,
    ];

    /// The label in the log and in the metric.
    pub const fn word(self) -> &'static str {
        match self {
            Self::NoTarget => "no-target",
            Self::NoAddress => "no-address",
            Self::BadAddress => "bad-address",
            Self::NoPort => "no-port",
            Self::NoAnswer => "no-answer",
            Self::TokenRefused => "token-refused",
            Self::NotSelected => "not-selected",
        }
    }
}

/// One fault, and where it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The fault.
    pub fault: Fault,
    /// The object that has it.
    pub place: String,
    /// The address, Pod or port that it is about.
    pub about: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fault, place, about } = self;
        match fault {
            Fault::NoTarget => write!(f, "{place}: endpoint {about} names no Pod and is left out"),
            Fault::NoAddress => write!(f, "{place}: {about} has no address and is left out"),
            Fault::BadAddress => write!(f, "{place}: `{about}` is no IP address and is left out"),
            Fault::NoPort => write!(f, "{place} has no TCP port named {about}: its endpoints are left out"),
            Fault::NoAnswer => {
                write!(f, "{place} does not answer as a coordinator at {about}: it is in the ring once it does")
            }
            Fault::TokenRefused => {
                write!(f, "{place} refuses the token at {about}: it is in the ring once --peer-token-file agrees")
            }
            Fault::NotSelected => {
                write!(
                    f,
                    "{place} is not among {about}: the others do not find it (see its labels, --name, --discovery-namespace)"
                )
            }
        }
    }
}
