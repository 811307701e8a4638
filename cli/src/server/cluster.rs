//! A coordinator in a cluster, found and reached through the Kubernetes API.
