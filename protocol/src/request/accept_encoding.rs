//! Accept-Encoding, reduced to one of a few codings (RFC 9110 section 12.5.3).

use super::{list::members, weight::thousandths};

/// What becomes of a request's Accept-Encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reduced<'c> {
    /// The first of the codings that the client accepts.
    To(&'c str),
    /// It accepts none of them.
    ToNothing,
    /// It accepts none of them, and refuses a response without a coding.
    Refuses,
}

/// Reduces the lines of Accept-Encoding to the first of these codings (lower case) that they accept: each with a weight
/// above 0, by its name or else by `*`. Without a line every coding is acceptable, and none is asked for.
pub(crate) fn reduce<'c, 'l>(
    lines: impl Iterator<Item = &'l [u8]> + Clone,
    codings: impl Iterator<Item = &'c str>,
) -> Reduced<'c> {
    let weight = |name: &str| {
        let mut weights = lines.clone().flat_map(members).filter_map(weigh);
        weights.find(|(own, _)| is_same(own, name)).map(|(_, weight)| weight)
    };
    let any = weight("*");
    let accepts = |name: &str, unsaid| weight(name).or(any).map_or(unsaid, |weight| weight > 0);
    match codings.into_iter().find(|coding| accepts(coding, false)) {
        Some(coding) => Reduced::To(coding),
        None if accepts("identity", true) => Reduced::ToNothing,
        None => Reduced::Refuses,
    }
}

/// Whether a client's name is that of a coding; `x-gzip` and `x-compress` are old names (section 8.4.1).
fn is_same(own: &[u8], name: &str) -> bool {
    own.eq_ignore_ascii_case(name.as_bytes())
        || (matches!(name, "gzip" | "compress")
            && own
                .split_at_checked(2)
                .is_some_and(|(x, rest)| x.eq_ignore_ascii_case(b"x-") && rest.eq_ignore_ascii_case(name.as_bytes())))
}

/// Splits a member into coding and weight. `None`: its weight cannot be read.
fn weigh(member: &[u8]) -> Option<(&[u8], u16)> {
    let Some(at) = member.iter().position(|b| *b == b';') else { return Some((member, 1000)) };
    let (name, parameter) = member.split_at_checked(at)?;
    match parameter.get(1..)?.trim_ascii() {
        [b'q' | b'Q', b'=', value @ ..] => Some((name.trim_ascii(), thousandths(value)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reduced(lines: &[&'static str]) -> Reduced<'static> {
        reduce(lines.iter().map(|line| line.as_bytes()), ["br", "gzip"].into_iter())
    }

    #[test]
    fn the_first_coding_that_a_client_accepts_remains() {
        for (line, expected) in [
            ("gzip, deflate, br", Reduced::To("br")),
            ("BR", Reduced::To("br")),
            ("br;q=0.1, gzip;q=1.0", Reduced::To("br")),
            ("br;q=0, gzip", Reduced::To("gzip")),
            ("br; Q=0.000, x-gzip", Reduced::To("gzip")),
            ("X-GZIP", Reduced::To("gzip")),
            ("*", Reduced::To("br")),
            ("*;q=0.5, br;q=0", Reduced::To("gzip")),
            ("br;q=2, gzip", Reduced::To("gzip")),
            ("identity;q=0, gzip", Reduced::To("gzip")),
            ("identity", Reduced::ToNothing),
            ("identity, *;q=0", Reduced::ToNothing),
            ("deflate, zstd", Reduced::ToNothing),
            ("gzip;q=0", Reduced::ToNothing),
            ("", Reduced::ToNothing),
            ("brotli, gzipx", Reduced::ToNothing),
            ("deflate, identity;q=0", Reduced::Refuses),
            ("deflate, *;q=0", Reduced::Refuses),
        ] {
            assert_eq!(reduced(&[line]), expected, "{line}");
        }
        assert_eq!(reduced(&["deflate", "gzip"]), Reduced::To("gzip"), "two lines are one list");
        assert_eq!(reduced(&[]), Reduced::ToNothing);
    }
}
