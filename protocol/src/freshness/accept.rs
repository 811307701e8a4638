//! The canonical form of selecting fields, equal for values that mean the same (RFC 9111 section 4.1).

use crate::{
    request::{
        Request,
        list::{closing, members},
        weight::thousandths,
    },
    sort::sort_few_by,
};
use std::cmp::Ordering;

/// The most members that are sorted. More of them are compared in their own order.
const MAX_MEMBERS: usize = 32;

/// How members of equal weight are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Equals {
    /// In their order in Accept-Language, where some servers take it for a preference (RFC 9110 section 12.5.4); in any
    /// order in other fields.
    Usual,
    /// In any order in all fields (RFC 9110 section 12.4.2).
    Unordered,
}

/// A member of a field with weights: its name, and its weight in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Weighed<'a> {
    name: &'a [u8],
    weight: u16,
}

/// Calls `say` with the pieces of a field's canonical form, in order. Members are separated by commas. Accept-Encoding,
/// Accept-Language, Accept-Charset and Accept have no insignificant space, case and order.
pub(super) fn each(request: &Request<'_>, name: &str, equals: Equals, mut say: impl FnMut(&[u8])) {
    match name {
        "host" => lower(request.authority.as_bytes(), &mut say),
        "accept-encoding" | "accept-language" | "accept-charset" | "accept" => weighed(request, name, equals, &mut say),
        _ => plain(request, name, &mut say),
    }
}

fn plain(request: &Request<'_>, name: &str, say: &mut impl FnMut(&[u8])) {
    for member in request.values(name).flat_map(members) {
        say(member);
        say(b",");
    }
}

fn by_weight_and_name(a: &Weighed<'_>, b: &Weighed<'_>) -> Ordering {
    b.weight
        .cmp(&a.weight)
        .then_with(|| a.name.iter().map(u8::to_ascii_lowercase).cmp(b.name.iter().map(u8::to_ascii_lowercase)))
}

fn weighed(request: &Request<'_>, field: &str, equals: Equals, say: &mut impl FnMut(&[u8])) {
    let mut all = [Weighed::default(); MAX_MEMBERS];
    let mut count: usize = 0;
    for member in request.values(field).flat_map(members) {
        match (all.get_mut(count), weigh(member)) {
            (Some(slot), Some(one)) => {
                *slot = if field == "accept-encoding" { Weighed { name: coding(one.name), ..one } } else { one }
            }
            // An invalid weight, or too many members: unchanged.
            _ => return plain(request, field, say),
        }
        count = count.saturating_add(1);
    }
    let all = all.get_mut(..count).unwrap_or_default();
    match equals {
        Equals::Usual if field == "accept-language" => sort_few_by(all, |one, other| other.weight.cmp(&one.weight)),
        _ => sort_few_by(all, by_weight_and_name),
    }
    let mut last: Option<Weighed<'_>> = None;
    for one in all.iter() {
        if last.is_some_and(|last| {
            by_weight_and_name(&last, one) == Ordering::Equal && last.name.eq_ignore_ascii_case(one.name)
        }) {
            continue;
        }
        last = Some(*one);
        member(field, one.name, say);
        if one.weight < 1000 {
            // No field value contains this byte, so that no other text is equal.
            say(b"\x01");
            let digit = |n: u16| [u8::try_from(n % 10).unwrap_or(0).saturating_add(b'0')];
            say(&digit(one.weight / 100));
            say(&digit(one.weight / 10));
            say(&digit(one.weight));
        }
        say(b",");
    }
}

/// Says a member without its weight. Values of a media type's parameters may be case-sensitive.
fn member(field: &str, name: &[u8], say: &mut impl FnMut(&[u8])) {
    if field == "accept" {
        let mut parts = Parts(Some(name));
        lower(parts.next().unwrap_or_default(), say);
        for part in parts {
            say(b";");
            say(part);
        }
    } else {
        lower(name, say);
    }
}

fn lower(text: &[u8], say: &mut impl FnMut(&[u8])) {
    for run in text.chunks(64) {
        let mut small = [0_u8; 64];
        if let Some(small) = small.get_mut(..run.len()) {
            small.copy_from_slice(run);
            small.make_ascii_lowercase();
            say(small);
        }
    }
}

/// Splits a member into its name and its weight, by default 1.
fn weigh(member: &[u8]) -> Option<Weighed<'_>> {
    let Some(at) = last_parameter(member) else { return Some(Weighed { name: member, weight: 1000 }) };
    let (name, parameter) = member.split_at_checked(at)?;
    match parameter.strip_prefix(b";")?.trim_ascii() {
        [b'q' | b'Q', b'=', value @ ..] => Some(Weighed { name: name.trim_ascii(), weight: thousandths(value)? }),
        _ => Some(Weighed { name: member, weight: 1000 }),
    }
}

/// Returns gzip for `x-gzip`, and compress for `x-compress` (RFC 9110 section 8.4.1).
fn coding(name: &[u8]) -> &[u8] {
    if name.eq_ignore_ascii_case(b"x-gzip") {
        b"gzip"
    } else if name.eq_ignore_ascii_case(b"x-compress") {
        b"compress"
    } else {
        name
    }
}

/// Returns the start of a member's last parameter, outside of quoted strings.
fn last_parameter(member: &[u8]) -> Option<usize> {
    let (mut at, mut last) = (0_usize, None);
    while let Some(b) = member.get(at) {
        match b {
            b';' => last = Some(at),
            b'"' => at = closing(member, at, true).unwrap_or(member.len()),
            _ => {}
        }
        at = at.saturating_add(1);
    }
    last
}

/// The parts of a media range: type, then parameters, trimmed.
struct Parts<'a>(Option<&'a [u8]>);

impl<'a> Iterator for Parts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.0?;
        let mut at: usize = 0;
        while let Some(b) = rest.get(at) {
            match b {
                b';' => break,
                b'"' => at = closing(rest, at, true).unwrap_or(rest.len()),
                _ => {}
            }
            at = at.saturating_add(1);
        }
        self.0 = rest.get(at.saturating_add(1)..);
        Some(rest.get(..at).unwrap_or(rest).trim_ascii())
    }
}
