//! The harness of the end to end tests, the demo and the benchmark: real Envoys, real coordinators, a scripted
//! origin, clients in herds.

// Here a broken expectation is the result: it must end the test at the line that saw it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod artifact;
pub mod certificates;
pub mod change;
pub mod chart;
pub mod client;
pub mod collector;
pub mod coordinator;
pub mod envoy;
pub mod groups;
pub mod helm;
pub mod herd;
pub mod host;
pub mod identity;
pub mod istio;
pub mod kube;
pub mod load;
pub mod mesh;
pub mod metrics;
pub mod origin;
pub mod pod;
pub mod port;
pub mod process;
pub mod purging;
pub mod raw;
pub mod shared;
pub mod stopwatch;
pub mod terminal;
pub mod wait;

pub use client::{Answer, Ask, Connection};
pub use collector::Collector;
pub use coordinator::{Coordinator, Coordinators};
pub use envoy::{Envoy, EnvoyConfig};
pub use groups::Groups;
pub use herd::herd;
pub use host::Host;
pub use identity::{Authority, Identity};
pub use mesh::Mesh;
pub use metrics::Metrics;
pub use origin::{Gate, Origin, Reply};
pub use shared::{Shared, run};
pub use stopwatch::Stopwatch;
pub use terminal::Terminal;
pub use wait::await_until;
