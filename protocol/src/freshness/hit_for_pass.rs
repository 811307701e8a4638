//! Hit-for-pass: remembers that the response of a key could not be shared, so that requests do not queue for it again.

use super::vary::{Selecting, Vary};
use crate::request::Request;

/// The passes of one key, each for the requests with equal selecting fields. At most 16.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HitForPass<W> {
    vary: Vary,
    passes: Vec<Pass<W>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pass<W> {
    selecting: Selecting,
    what: W,
    until: u64,
}

impl<W> Default for HitForPass<W> {
    fn default() -> Self {
        Self { vary: Vary::Nothing, passes: Vec::new() }
    }
}

impl<W> HitForPass<W> {
    /// The most passes: as many variants as a store keeps of one key.
    const MAX_PASSES: usize = 16;

    /// Remembers a pass until a time, for requests with the same selecting fields as this one. All other passes are
    /// removed where their responses varied by other fields.
    pub fn remember(&mut self, vary: Vary, request: &Request<'_>, what: W, until: u64) {
        // A response that answers no other request is a pass for all.
        let vary = if vary == Vary::Everything { Vary::Nothing } else { vary };
        if self.vary != vary {
            self.passes.clear();
        }
        let selecting = Selecting::of(&vary, request);
        self.vary = vary;
        self.passes.retain(|pass| pass.selecting != selecting);
        if self.passes.len() >= Self::MAX_PASSES {
            self.passes.drain(..1);
        }
        self.passes.push(Pass { selecting, what, until });
    }

    /// Returns the pass for such a request, and until when it is remembered.
    pub fn get(&self, request: &Request<'_>, now: u64) -> Option<(&W, u64)> {
        let pass = self.passes.iter().find(|pass| pass.until > now && pass.selecting.matches(request))?;
        Some((&pass.what, pass.until))
    }

    /// Returns the pass for such a request.
    pub fn get_mut(&mut self, request: &Request<'_>, now: u64) -> Option<&mut W> {
        self.passes
            .iter_mut()
            .find(|pass| pass.until > now && pass.selecting.matches(request))
            .map(|pass| &mut pass.what)
    }

    /// Returns the fields by which the responses varied.
    pub fn vary(&self) -> &Vary {
        &self.vary
    }

    /// Removes the pass for requests with these selecting fields, since they have a response that may be shared.
    /// Removes all passes where it varies by other fields.
    pub fn forget(&mut self, selecting: &Selecting) {
        self.passes.retain(|pass| pass.selecting != *selecting && pass.selecting.names().eq(selecting.names()));
    }

    /// Whether all passes have expired.
    pub fn is_over(&self, now: u64) -> bool {
        self.passes.iter().all(|pass| pass.until <= now)
    }

    /// Returns the bytes that it takes in memory, with its allocations.
    pub fn bytes(&self) -> usize {
        let names = if let Vary::By(names) = &self.vary {
            names.iter().map(|name| name.len().saturating_add(24)).sum()
        } else {
            0
        };
        self.passes
            .iter()
            .fold(names, |sum, pass| sum.saturating_add(pass.selecting.bytes()).saturating_add(size_of::<Pass<W>>()))
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.passes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Field;

    fn in_language<T>(language: &'static str, see: impl FnOnce(&Request<'_>) -> T) -> T {
        let fields: [Field<'_>; 1] = [(b"accept-language", language.as_bytes())];
        see(&Request::read(b"GET", b"http", b"h", b"/", &fields).unwrap())
    }

    fn by_language() -> Vary {
        Vary::read("accept-language")
    }

    #[test]
    fn a_pass_is_remembered_for_requests_that_agree_in_the_answers_vary() {
        let mut passes = HitForPass::default();
        in_language("de", |de| passes.remember(by_language(), de, "private", 100));
        assert_eq!(
            in_language("de", |de| passes.get(de, 99).map(|(what, until)| (*what, until))),
            Some(("private", 100))
        );
        assert!(in_language("de", |de| passes.get(de, 100)).is_none(), "for a while");
        assert!(in_language("en", |en| passes.get(en, 99)).is_none(), "not for other variants");
        in_language("en", |en| passes.remember(by_language(), en, "no-store", 100));
        in_language("de", |de| passes.forget(&Selecting::of(&by_language(), de)));
        assert!(
            in_language("de", |de| passes.get(de, 99)).is_none()
                && in_language("en", |en| passes.get(en, 99)).is_some()
        );
        passes.forget(&Selecting::default());
        assert!(passes.is_empty(), "it does not vary any more");
    }

    #[test]
    fn a_pass_of_an_answer_without_vary_or_with_any_is_for_every_request() {
        for vary in [Vary::Nothing, Vary::Everything] {
            let mut passes = HitForPass::default();
            in_language("de", |de| passes.remember(vary, de, (), 100));
            assert!(in_language("en", |en| passes.get(en, 99)).is_some());
        }
    }

    #[test]
    fn the_variants_of_a_key_are_bounded() {
        let mut passes = HitForPass::default();
        for n in 0..100 {
            let name = format!("l{n}");
            let fields: [Field<'_>; 1] = [(b"accept-language", name.as_bytes())];
            passes.remember(by_language(), &Request::read(b"GET", b"http", b"h", b"/", &fields).unwrap(), n, 100);
        }
        assert_eq!(passes.passes.len(), HitForPass::<u32>::MAX_PASSES);
    }
}
