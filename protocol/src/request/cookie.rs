//! Cookies of a request, as far as all servers read them the same way.

/// The result of looking up a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cookie<'a> {
    /// No server finds it.
    Absent,
    /// Every server reads this value.
    Once(&'a [u8]),
    /// It is there twice, or in a form that not every server reads.
    Ambiguous,
}

impl<'a> Cookie<'a> {
    /// Looks a cookie up in the lines of Cookie. Servers differ in which of two counts, in whether a second line does,
    /// in space before the `=`, in names without one, and in whether a comma separates cookies, too.
    pub(super) fn find(lines: impl Iterator<Item = &'a [u8]> + Clone, name: &str) -> Self {
        let has_name =
            |pair: &[u8]| pair.split(|b| *b == b'=').next().is_some_and(|own| own.trim_ascii() == name.as_bytes());
        let (mut found, is_one) = (Self::Absent, lines.clone().nth(1).is_none());
        for pair in lines.flat_map(|line| line.split(|b| *b == b';')) {
            let value = pair.trim_ascii().strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
            match pair.split(|b| *b == b',').filter(|part| has_name(part)).count() {
                0 => {}
                1 if is_one && found == Self::Absent && value.is_some() => found = value.map_or(found, Self::Once),
                _ => return Self::Ambiguous,
            }
        }
        found
    }
}
