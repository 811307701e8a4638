//! A reply to a client: of a hot answer, whole or in part, or of what a peer answered.

use crate::{answer::Answer, hot::Variant, pairs};
use meshcache_protocol::{
    Field, Key, Response,
    cache_status::{cache_status, detail},
    freshness::{Part, not_modified, partial},
};
use std::borrow::Cow;

/// What goes to the client.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// The status code.
    pub status: u16,
    /// The header map.
    pub head: Cow<'a, [u8]>,
    /// The body. For HEAD too: Envoy drops it and keeps its length.
    pub body: &'a [u8],
    /// Fields that Envoy takes from a reply without a body, and that have to be put back.
    pub restore: Vec<(&'static str, Vec<u8>)>,
}

impl<'a> Reply<'a> {
    /// A reply made of a hot answer. `None`: several ranges, or only the origin may answer.
    pub fn of_hot(
        variant: &'a mut Variant,
        part: &Part,
        installation: &str,
        debug: Option<&Key>,
        now: u64,
    ) -> Option<Self> {
        let status = variant.stored.status;
        if *part == Part::Whole && debug.is_none() {
            variant.tell(installation, now);
            return Some(Self::whole(status, &variant.block, &variant.body));
        }
        let verdict = variant.verdict(now);
        let said = match debug {
            Some(key) => cache_status(installation, &verdict, &detail("proxy", &verdict, &[]), Some(&key.to_string())),
            None => cache_status(installation, &verdict, "proxy", None),
        };
        let age = (verdict.age / 1000).to_string();
        let end: [Field<'_>; 2] = [(b"age", age.as_bytes()), (b"cache-status", said.as_bytes())];
        let length = variant.body.len();
        let with = |more: Option<&str>, keep: fn(&[u8]) -> bool| {
            let range = more.map(|range| (&b"content-range"[..], range.as_bytes()));
            Cow::Owned(pairs::write(variant.block.fields().filter(|(name, _)| keep(name)).chain(range).chain(end)))
        };
        let none = Vec::new();
        match part {
            Part::Whole => Some(Self {
                status,
                head: with(None, |_| true),
                restore: without_body(&variant.block, &variant.body, status),
                body: &variant.body,
            }),
            Part::NotModified => Some(Self { status: 304, head: with(None, not_modified), body: &[], restore: none }),
            Part::Range(first, last) => {
                let range = usize::try_from(*first).ok()?..usize::try_from(*last).ok()?.checked_add(1)?;
                let head = with(Some(&format!("bytes {first}-{last}/{length}")), partial);
                Some(Self { status: 206, head, body: variant.body.get(range)?, restore: none })
            }
            Part::Unsatisfiable => Some(Self {
                status: 416,
                head: with(Some(&format!("bytes */{length}")), |_| false),
                body: &[],
                restore: none,
            }),
            Part::Ranges(_) | Part::Origin => None,
        }
    }

    /// A reply made of a whole answer whose block is as it should be.
    pub fn whole(status: u16, block: &'a pairs::Block, body: &'a [u8]) -> Self {
        Self { status, head: Cow::Borrowed(block.as_bytes()), restore: without_body(block, body, status), body }
    }

    /// A reply made of what a peer answered. `to_head`: the answer has a length and no body.
    pub fn of_answer(answer: &'a Answer, head: Cow<'a, [u8]>, to_head: bool) -> Self {
        let mut restore = without_body(&answer.block, &answer.body, answer.status);
        if to_head {
            restore.extend(answer.length.clone().map(|length| ("content-length", length)));
        }
        Self { status: answer.status, head, body: &answer.body, restore }
    }
}

/// Envoy takes the content-type from a reply without a body.
fn without_body(block: &pairs::Block, body: &[u8], status: u16) -> Vec<(&'static str, Vec<u8>)> {
    if !body.is_empty() || matches!(status, 204 | 304) {
        return Vec::new();
    }
    let fields: Vec<Field<'_>> = block.fields().collect();
    Response { status, fields: &fields }
        .value("content-type")
        .map(|kind| ("content-type", kind.to_vec()))
        .into_iter()
        .collect()
}
