//! Discovery by the Kubernetes API, and the chart's hooks: the only part that knows the crate `kube`.

mod client;
mod discovery;
mod endpoint_slices;
mod hook_error;
pub mod hooks;
mod pods;
mod probing;
pub mod view;
mod watch;

pub use client::ApiError;
pub use discovery::KubeDiscovery;
pub use hook_error::HookError;
