//! The second half of the story: a question was answered, and what that means for all who wait for it.

use crate::{
    answer::{Answer, Failure},
    counts::{Event, Reason},
    delivery::Delivery,
    exchange::{Ask, Exchange},
    head::Head,
    hot::Variant,
    peers::Choice,
    questions::{Call, Question},
};
use meshcache_protocol::{
    freshness::{Selecting, Vary},
    wire::{Outcome, Verdict},
};
use std::rc::Rc;

/// What happens next to a question.
pub enum Next {
    /// It is asked once more.
    Ask(Ask),
    /// It is over, for all who waited.
    Deliver(Box<Delivery>),
    /// There is no such question.
    Nothing,
}

impl Exchange<'_> {
    /// A call came back.
    pub fn answered(&mut self, call: &Call, answer: Result<Answer, Failure>) -> Next {
        let (id, peer) = (call.question, &call.peer);
        let answer = match answer {
            Ok(answer) => answer,
            // It has counted.
            Err(_) if call.given_up => return Next::Nothing,
            Err(failure) => return self.failed(id, peer, failure),
        };
        self.worker.answered(&peer.address);
        let Some(question) = self.worker.questions.get_mut(id) else { return Next::Nothing };
        if !call.given_up {
            question.calls = question.calls.saturating_sub(1);
        }
        match answer.verdict.outcome {
            Outcome::Loading => self.loading(id, peer, &answer.verdict),
            Outcome::Error => self.let_go(id, Reason::OwnerError, None),
            Outcome::Pass => {
                // What is hot may be given all the same: the pass is for those whom it is not for.
                if let Some(question) = self.worker.questions.get(id) {
                    self.worker.passes.remember(question, &answer.verdict, self.now);
                }
                self.let_go(id, Reason::Owner, Some(answer.verdict))
            }
            Outcome::Hit | Outcome::Stale | Outcome::Miss | Outcome::Revalidated => self.respond(id, answer),
        }
    }

    /// The peer of a call has been silent for longer than it may while this worker listened. It may still answer.
    pub fn gives_up(&mut self, call: &Call) -> Next {
        self.failed(call.question, &call.peer, Failure::Peer)
    }

    /// The peer is silent for so long that the group wants the next to be asked, too: whoever answers first.
    pub fn hedges(&mut self, id: u32) -> Next {
        match self.next(id) {
            Some(next) => {
                self.worker.counts.event(Event::Hedge);
                self.ask_again(id, next, None)
            }
            None => Next::Nothing,
        }
    }

    /// The peer did not answer: the key's next peer is asked once, then all go their ordinary way.
    fn failed(&mut self, id: u32, peer: &Choice, failure: Failure) -> Next {
        self.worker.counts.event(Event::PeerFailure);
        match failure {
            Failure::Peer => self.worker.fails(&peer.address, self.now),
            Failure::Stream => self.worker.breaks_off(&peer.address, self.now),
        }
        let Some(question) = self.worker.questions.get_mut(id) else { return Next::Nothing };
        question.calls = question.calls.saturating_sub(1);
        if question.calls > 0 {
            // The other one that was asked may still answer.
            return Next::Nothing;
        }
        match self.next(id) {
            Some(next) => self.ask_again(id, next, None),
            None => self.let_go(id, Reason::PeersFailed, None),
        }
    }

    /// The peer to ask after the one that is asked now: one, and no third.
    fn next(&mut self, id: u32) -> Option<Choice> {
        let known = self.worker.known()?.clone();
        let question = self.worker.questions.get_mut(id).filter(|question| question.tries == 1)?;
        question.tries = 2;
        let (key, peer) = (question.key.hash(), question.peer.clone());
        self.worker.peers.after(&known.ring, key, &peer, self.now)
    }

    /// The peer is still loading: the same question again, as long as the origin may take and anybody waits.
    fn loading(&mut self, id: u32, peer: &Choice, verdict: &Verdict) -> Next {
        let Some(question) = self.worker.questions.get_mut(id) else { return Next::Nothing };
        question.collapsed.get_or_insert(verdict.collapsed);
        let in_time = self.now < question.deadline();
        if in_time && self.worker.questions.is_awaited(id) {
            self.ask_again(id, peer.clone(), Some(verdict.flight))
        } else {
            self.let_go(id, Reason::TooSlow, None)
        }
    }

    /// Asks a peer. `loading`: it has said so, and named this flight.
    fn ask_again(&mut self, id: u32, peer: Choice, loading: Option<u64>) -> Next {
        let asked_at = self.worker.attention.time();
        let Some(question) = self.worker.questions.get_mut(id) else { return Next::Nothing };
        (question.sent, question.asked_at, question.peer) = (self.now, asked_at, peer);
        (question.heard, question.flight) = (loading.is_some(), loading.unwrap_or(0));
        question.calls = question.calls.saturating_add(1);
        let timeout = question.call_time();
        self.worker.counts.event(Event::Question);
        Next::Ask(Ask { question: id, timeout })
    }

    /// All who wait go their ordinary way.
    fn let_go(&mut self, id: u32, reason: Reason, verdict: Option<Verdict>) -> Next {
        let installation = self.installation();
        let Some((question, waiting)) = self.worker.questions.close(id) else { return Next::Nothing };
        Next::Deliver(Box::new(Delivery::of_pass(question, waiting, reason, verdict, installation)))
    }

    /// A response came: for the one who asked, for those who joined and may have it, and for the hot cache.
    fn respond(&mut self, id: u32, mut answer: Answer) -> Next {
        let installation = self.installation();
        let Some((question, waiting)) = self.worker.questions.close(id) else { return Next::Nothing };
        answer.verdict.collapsed = question.collapsed.unwrap_or(answer.verdict.collapsed);
        let verdict = &answer.verdict;
        let shared = selecting(&question, &answer).filter(|_| verdict.shared || verdict.waiters);
        if let Some(selecting) = shared.as_ref().filter(|_| verdict.shared) {
            self.worker.passes.forget(&question, selecting);
            self.keep(&question, &answer, selecting.clone());
        }
        Next::Deliver(Box::new(Delivery::of_response(question, waiting, answer, shared, installation, self.now)))
    }

    /// Puts an answer into the hot cache, never for longer than it is fresh.
    fn keep(&mut self, question: &Question, answer: &Answer, selecting: Selecting) {
        let verdict = &answer.verdict;
        let same_rules = self
            .worker
            .known()
            .and_then(|known| known.groups.named(question.group.name()))
            .is_some_and(|group| group.digest() == question.group.digest());
        let complete = !question.to_head && !matches!(answer.status, 206 | 304 | 416);
        // A purge that came while the question was under way wins.
        let unpurged = question.purges == self.worker.purges()
            && self.worker.invalidations.changed(question.key.hash(), self.now).is_none();
        let Ok(ttl) = u64::try_from(verdict.ttl) else { return };
        let until = self.now.saturating_add(ttl.min(question.group.config().hot.ttl.as_millis()));
        if !(same_rules && complete && unpurged) || until <= self.now {
            return;
        }
        let stored = verdict.to_stored(answer.status);
        let rules: Rc<str> = question.group.digest().into();
        let variant =
            Variant::new(rules, stored, selecting, answer.block.clone(), answer.body.clone(), self.now, until);
        if self.worker.hot.keep(question.side, &question.key, variant, self.now) {
            self.worker.counts.event(Event::Kept);
        }
    }

    fn installation(&self) -> String {
        self.worker.known().map_or_else(|| "meshcache".to_owned(), |known| known.installation.clone())
    }
}

/// For which requests an answer is, by its Vary and the request that was sent. `None`: for that one alone.
fn selecting(question: &Question, answer: &Answer) -> Option<Selecting> {
    let fields: Vec<_> = answer.block.fields().collect();
    let vary = Vary::of(&meshcache_protocol::Response { status: answer.status, fields: &fields });
    let head = Head::read(&question.map)?;
    let request = head.request().ok()?;
    (vary != Vary::Everything).then(|| Selecting::in_group(&question.group, &vary, &request))
}
