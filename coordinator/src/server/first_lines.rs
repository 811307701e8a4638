//! The log's first lines, for who looks for a way in: where page, metrics and data are.

use crate::server::Ports;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

/// Says where the ports are. `tls`: data and admin port speak it. `token`: the file with the admin token.
pub(crate) fn log(ports: &Ports, tls: bool, token: Option<&Path>) {
    let scheme = if tls { "https" } else { "http" };
    let page = url(scheme, ports.admin, "/");
    match token {
        Some(file) => tracing::info!("page: {page} (any name; the password is in {})", file.display()),
        None => tracing::info!("page: {page} (this machine alone: without --admin-token-file)"),
    }
    tracing::info!("metrics: {}", url("http", ports.status, "/metrics"));
    let data = url(scheme, ports.data, "/");
    tracing::info!("data: {data} for Envoy's filter, and for plain clients (curl -i -H 'Host: HOST' {data}PATH)");
}

/// Returns the URL by which this machine reaches a port.
fn url(scheme: &str, at: SocketAddr, path: &str) -> String {
    let ip = match at.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("{scheme}://{}{path}", SocketAddr::new(ip, at.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_of_all_addresses_is_shown_by_one_that_a_browser_reaches() {
        let of = |at: &str| url("http", at.parse().unwrap(), "/");
        assert_eq!(of("0.0.0.0:8081"), "http://127.0.0.1:8081/");
        assert_eq!(of("[::]:8081"), "http://[::1]:8081/");
        assert_eq!(of("10.0.0.7:8081"), "http://10.0.0.7:8081/");
    }
}
