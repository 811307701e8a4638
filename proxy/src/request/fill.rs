//! Fills: a request that the owner granted a load passes to the service, and the owner gets a copy of the response.

use crate::{
    http::head::RequestHead,
    state::{lookup::PeerLookup, peers::ChosenPeer},
};
use meshcache_protocol::{
    Field, paths,
    wire::{FilledHead, GrantId, PREFIX, Question, header, piece_head},
};

/// The call that takes a copy of a response to the owner: its head. What its body has, [`head`], [`piece`] and [`END`]
/// say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FillCall {
    /// Its header fields.
    pub fields: Vec<(&'static str, String)>,
    /// The installation's name. The request that passes carries it in CDN-Loop, as a load does: another part of this
    /// cache on its way must not wait for it.
    pub installation: String,
}

/// The end of a body that is whole.
pub const END: [u8; 4] = [0; 4];

impl FillCall {
    /// The call for the leader of a lookup, to the peer that granted it the load.
    pub(crate) fn of(lookup: &PeerLookup, peer: &ChosenPeer, grant: GrantId, installation: String) -> Option<Self> {
        let request = &lookup.request;
        let head = RequestHead::read(&request.map)?;
        let (_, authority) = head.pseudo().into_iter().find(|(name, _)| *name == ":authority")?;
        let question = Question {
            group: request.group.name().to_owned(),
            rules: request.group.digest().to_owned(),
            ..Question::new()
        };
        let fields = vec![
            (":method", "PUT".to_owned()),
            (":scheme", "http".to_owned()),
            (":authority", std::str::from_utf8(authority).ok()?.to_owned()),
            (":path", paths::FILL.to_owned()),
            (header::WIRE, question.to_string()),
            (header::FILL, grant.to_string()),
            (header::PEER, peer.address.clone()),
        ];
        Some(Self { fields, installation })
    }
}

/// The beginning of the call's body: the head of a response as it came from the service. `None`: it cannot be sent.
pub fn head<'f>(fields: impl Iterator<Item = Field<'f>>) -> Option<Vec<u8>> {
    let mut status = None;
    let mut kept = Vec::new();
    for (name, value) in fields {
        match name {
            b":status" => status = std::str::from_utf8(value).ok()?.parse().ok(),
            // Envoy's own, of this one request.
            b"x-envoy-upstream-service-time" | b"x-envoy-decorator-operation" => {}
            _ if name.starts_with(b":") => {}
            _ if name.starts_with(PREFIX.as_bytes()) && name != header::CONTROL.as_bytes() => {}
            _ => kept.push((name, value)),
        }
    }
    FilledHead { status: status?, fields: kept }.write()
}

/// A piece of the response's body on its way. Nothing for one without bytes: that would be the end.
pub fn piece(bytes: &[u8]) -> Vec<u8> {
    if bytes.is_empty() { Vec::new() } else { [&piece_head(bytes.len())[..], bytes].concat() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_the_services_own_response() {
        let fields: [Field<'_>; 5] = [
            (b":status", b"200"),
            (b"cache-control", b"max-age=60"),
            (b"x-envoy-upstream-service-time", b"3"),
            (b"meshcache-outcome", b"hit"),
            (b"meshcache-control", b"max-age=9"),
        ];
        let written = head(fields.into_iter()).unwrap();
        let kept: Vec<Field<'_>> = vec![(b"cache-control", b"max-age=60"), (b"meshcache-control", b"max-age=9")];
        assert_eq!(FilledHead::read(&written), Some(FilledHead { status: 200, fields: kept }));
        assert_eq!(head([(&b"a"[..], &b"b"[..])].into_iter()), None, "without a status it is none");
        assert_eq!((piece(b"ab"), piece(b"")), (b"\0\0\0\x02ab".to_vec(), Vec::new()));
    }
}
