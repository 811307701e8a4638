//! What the admin port tells, as types: coordinators write them, the command line tool and the page read them.
//!
//! JSON, names in camelCase. A reader takes fields that it does not know, and does without those that are missing: tool
//! and coordinators may be of different versions. Times are milliseconds before now (`…Ago`), since clocks of two
//! machines are not compared.

mod keys;
mod live;
mod mesh;
mod observed;
mod saved;
mod why;

pub use keys::{KeysAnswer, KeysRequest, StoredKey};
pub use live::{EndedRequest, Filter, Tail, TailRequest, Top, TopBy, TopRequest, TopRow};
pub use mesh::{
    ConfigState, Coordinator, CoordinatorState, GroupState, Latency, Mesh, OriginState, ProxyState, PurgeDone, Saved,
};
pub use observed::{Difference, DifferingPart, Observed, Verdict};
pub use saved::Grouped;
pub use why::{Advice, AtCoordinator, Hop, KeyPart, LastReason, StoredResponse, Why, WhyRequest};

use serde::{Deserialize, Serialize};

/// What one coordinator asks another about itself, on behalf of an administrator. Its JSON is part of the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    /// Its state: [`CoordinatorState`].
    State,
    /// What it knows of a request: [`AtCoordinator`].
    Why(WhyRequest),
    /// What it stores: [`KeysAnswer`].
    Keys(KeysRequest),
    /// What its requests of the last seconds were for: [`Top`].
    Top(TopRequest),
    /// Its requests as they end, from the last one that the asker has: [`Tail`].
    Tail(TailRequest),
}
