//! The value of `--peers`: all coordinators with their ports.

use meshcache_protocol::request::split_port;

/// One coordinator of `--peers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its stable name.
    pub name: String,
    /// A host name or address, without brackets.
    pub host: String,
    /// Its data port.
    pub data: u16,
    /// Its peer port.
    pub peer: u16,
}

/// Reads `NAME=HOST:PORT/PEERPORT,...`.
pub fn members(text: &str) -> Result<Vec<Member>, String> {
    let mut all: Vec<Member> = Vec::new();
    for one in text.split(',').map(str::trim).filter(|one| !one.is_empty()) {
        let member = member(one).ok_or_else(|| {
            format!("`{one}` is not NAME=HOST:PORT/PEERPORT (example: cache-0=cache-0.cache:8080/8083)")
        })?;
        if all.iter().any(|other| other.name == member.name) {
            return Err(format!("two peers have the name `{}`", member.name));
        }
        all.push(member);
    }
    if all.is_empty() { Err("names no peer".into()) } else { Ok(all) }
}

fn member(text: &str) -> Option<Member> {
    let (name, rest) = text.split_once('=')?;
    let (address, peer) = rest.rsplit_once('/')?;
    let (host, data) = split_port(address);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = |port: u16| (port != 0).then_some(port);
    let fits =
        !name.is_empty() && !host.is_empty() && !name.contains(char::is_whitespace) && !host.contains(['/', ' ', '=']);
    fits.then_some(Member {
        name: name.to_owned(),
        host: host.to_owned(),
        data: port(data?)?,
        peer: port(peer.parse().ok()?)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read_with_spaces_brackets_and_a_last_comma() {
        let read = members("a=cache-0.cache:8080/8083, b=[::1]:80/81,c=10.0.0.1:1/2,").unwrap();
        assert_eq!(
            read.iter().map(|m| (m.name.as_str(), m.host.as_str(), m.data, m.peer)).collect::<Vec<_>>(),
            [("a", "cache-0.cache", 8080, 8083), ("b", "::1", 80, 81), ("c", "10.0.0.1", 1, 2)]
        );
        for bad in [
            "",
            "a",
            "a=h",
            "a=h:1",
            "a=h/1",
            "=h:1/2",
            "a=:1/2",
            "a=h:0/2",
            "a=h:1/x",
            "a=h:1/2,a=h:3/4",
            "a=h:99999/1",
        ] {
            assert!(members(bad).is_err(), "{bad}");
        }
    }
}
