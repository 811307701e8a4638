//! What a peer answered: the stored response and how it came about.

use crate::pairs::{Block, Pairs};
use meshcache_protocol::wire::{HOP_BY_HOP, PREFIX, Verdict, header};
use std::rc::Rc;

/// An answer.
pub struct Answer {
    /// How it came about.
    pub verdict: Verdict,
    /// The response's status code.
    pub status: u16,
    /// Its fields for a client, ready to be ended with age and cache-status.
    pub block: Block,
    /// Its content-length, which an answer to HEAD has without a body.
    pub length: Option<Vec<u8>>,
    /// Its body.
    pub body: Rc<Vec<u8>>,
}

impl Answer {
    /// Reads an answer's header map. `None`: it has no outcome, so it is not a coordinator's; or half of its body is missing.
    pub fn read(map: &[u8], body: Vec<u8>, to_head: bool) -> Option<Self> {
        let (mut verdict, mut status, mut length) = (None, None, None);
        let pairs = Pairs::of(map)?;
        for (name, value) in pairs.clone() {
            match name {
                b":status" => status = std::str::from_utf8(value).ok()?.parse().ok(),
                b"content-length" => length = Some(value),
                _ if name == header::OUTCOME.as_bytes() => verdict = Some(Verdict::parse(value)?),
                _ => {}
            }
        }
        let status = status?;
        // 304 tells the length of what it does not carry, as an answer to HEAD does.
        let whole = to_head || status == 304 || length.is_none_or(|length| std::str::from_utf8(length).is_ok_and(|length| length.parse() == Ok(body.len())));
        let block = Block::new(pairs.filter(|(name, _)| is_kept(name)));
        let answer = Self { verdict: verdict?, status, block, length: length.map(<[u8]>::to_vec), body: Rc::new(body) };
        whole.then_some(answer)
    }

    /// Its header map for a client, with its age and what the cache did.
    pub fn head(&self, said: &str) -> Vec<u8> {
        let mut block = self.block.clone();
        block.end(self.verdict.age / 1000, said);
        block.into_bytes()
    }
}

/// Whether a field of an answer goes on to clients. Age is said anew; what belongs to the connection or to Envoy's callout stays behind.
fn is_kept(name: &[u8]) -> bool {
    let dropped = name.starts_with(b":")
        || matches!(name, b"age" | b"content-length")
        || name.starts_with(PREFIX.as_bytes())
        || name.starts_with(b"x-envoy-")
        || HOP_BY_HOP.contains(&name);
    !dropped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairs;
    use meshcache_protocol::{Field, wire::Outcome};

    fn read(map: &[u8], body: &[u8]) -> Option<Answer> {
        Answer::read(map, body.to_vec(), false)
    }

    #[test]
    fn an_answer_without_an_outcome_or_with_half_a_body_is_none() {
        let map = |fields: &[Field<'static>]| pairs::write(fields.iter().copied());
        let good = map(&[
            (b":status", b"404"),
            (b"meshcache-outcome", b"hit; ttl=5; age=1; shared"),
            (b"age", b"1"),
            (b"x", b"\xff"),
            (b"x-envoy-upstream-service-time", b"1"),
            (b"content-length", b"2"),
        ]);
        let answer = read(&good, b"ab").unwrap();
        assert_eq!((answer.verdict.outcome, answer.status, answer.verdict.shared), (Outcome::Hit, 404, true));
        assert_eq!(answer.block.fields().collect::<Vec<_>>(), [(&b"x"[..], &b"\xff"[..])]);
        assert!(read(&good, b"a").is_none());
        assert!(Answer::read(&good, Vec::new(), true).is_some());
        assert!(read(&map(&[(b":status", b"503")]), b"").is_none());
        assert!(read(&map(&[(b":status", b"200"), (b"meshcache-outcome", b"what")]), b"").is_none());
        assert!(read(b"", b"").is_none());
    }
}
