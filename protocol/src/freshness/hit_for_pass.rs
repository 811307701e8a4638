//! Hit-for-pass: requests of one key whose answers turned out not to be shared, remembered so that nobody queues for
//! them again.

use super::vary::{Selecting, Vary};
use crate::request::Request;

/// Passes that are remembered of one key, each for the requests that agree with the one it was remembered for. At most
/// 16.
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
    /// As many variants as a store keeps of one key.
    const MOST: usize = 16;

    /// Remembers a pass until then, for requests that agree with this one in the fields by which the answer varies. An
    /// answer that varies by other fields than those before it makes them forgotten.
    pub fn remember(&mut self, vary: Vary, request: &Request<'_>, what: W, until: u64) {
        // What matches no other request is, as a pass, for all.
        let vary = if vary == Vary::Everything { Vary::Nothing } else { vary };
        if self.vary != vary {
            self.passes.clear();
        }
        let selecting = Selecting::of(&vary, request);
        self.vary = vary;
        self.passes.retain(|pass| pass.selecting != selecting);
        if self.passes.len() >= Self::MOST {
            self.passes.drain(..1);
        }
        self.passes.push(Pass { selecting, what, until });
    }

    /// What is remembered for such a request, and until when.
    pub fn get(&self, request: &Request<'_>, now: u64) -> Option<(&W, u64)> {
        let pass = self.passes.iter().find(|pass| pass.until > now && pass.selecting.matches(request))?;
        Some((&pass.what, pass.until))
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, request: &Request<'_>, now: u64) -> Option<&mut W> {
        self.passes
            .iter_mut()
            .find(|pass| pass.until > now && pass.selecting.matches(request))
            .map(|pass| &mut pass.what)
    }

    /// The fields by which the answers varied.
    pub fn vary(&self) -> &Vary {
        &self.vary
    }

    /// Forgets what is remembered for requests with these selecting fields: they have an answer that may be shared. If
    /// it varies by other fields than the passes did, all are forgotten.
    pub fn forget(&mut self, selecting: &Selecting) {
        self.passes.retain(|pass| pass.selecting != *selecting && pass.selecting.names().eq(selecting.names()));
    }

    /// Whether the time of all is over.
    pub fn is_over(&self, now: u64) -> bool {
        self.passes.iter().all(|pass| pass.until <= now)
    }

    /// Bytes that it takes in memory, with its allocations.
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
        assert_eq!(passes.passes.len(), HitForPass::<u32>::MOST);
    }
}
