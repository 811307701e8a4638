//! Why a hook of the chart fails: one line for people, with the file, object or URL.

use crate::{config::service_ref::ServiceRef, kube::client::ApiError};
use std::{io, path::PathBuf};

/// Why a hook failed.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// There is no client for the API.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// A request failed.
    #[error("cannot {action} {object}: {cause}")]
    Request {
        /// The attempted action.
        action: &'static str,
        /// The object's name.
        object: String,
        /// One line for people.
        cause: String,
    },
    /// The file of plugins cannot be read.
    #[error("{}: cannot be read: {_1}", _0.display())]
    Unreadable(PathBuf, io::Error),
    /// The file of plugins is no list of objects.
    #[error("{}: {_1}", _0.display())]
    Invalid(PathBuf, serde_json::Error),
    /// A Service has no ready endpoint.
    #[error("{0} has no ready endpoint")]
    NoEndpoint(ServiceRef),
    /// A coordinator does not serve the module.
    #[error("{url}: {why}")]
    NotServed {
        /// The module's URL.
        url: String,
        /// One line for people.
        why: String,
    },
    /// Not all coordinators served the module in time.
    #[error("the filter was not attached: {0}")]
    NotAttached(Box<HookError>),
    /// A plugin of the same name is another release's.
    #[error(
        "WasmPlugin {plugin} belongs to another owner ({owner}): it is left as it is; give the entry of istio.attach \
         another name"
    )]
    Foreign {
        /// The plugin.
        plugin: String,
        /// The release, if it is of one.
        owner: String,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    NoRandomness,
    /// Several plugins could not be removed.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Several(Vec<HookError>),
}
