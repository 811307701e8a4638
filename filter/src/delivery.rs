//! What a question came to, on its way to all who waited for it.
//!
//! A few at a time: Envoy runs what a callback decided only after it, one inside the other, and its stack is bounded.

use crate::{
    answer::Answer,
    counts::{Event, Outcome, Reason},
    exchange::{Ask, Pass, Step, count_pass, pass, spare},
    head::Head,
    questions::{Question, Waiter},
    reply::Reply,
    spare::Spare,
    worker::Worker,
};
use meshcache_protocol::{
    freshness::{Selecting, cache_status, detail, is_forwarded},
    wire::{self, Verdict},
};
use std::borrow::Cow;

/// A question that is over.
pub struct Delivery {
    question: Question,
    waiting: std::vec::IntoIter<(u32, Waiter)>,
    end: End,
    installation: String,
}

enum End {
    Pass { reason: Reason, verdict: Verdict },
    Response(Box<Given>),
}

/// A response, and to whom it is given.
struct Given {
    answer: Answer,
    outcome: Outcome,
    /// Who had it.
    detail: &'static str,
    /// For which of those who joined it is; `None`: for none.
    shared: Option<Selecting>,
    /// What is said to those who joined.
    joined: Verdict,
    /// The header maps for the one who asked and, where there are any, for those who joined.
    heads: [Vec<u8>; 2],
}

impl Delivery {
    /// All go their ordinary way; the verdict is the owner's, where it gave one.
    pub fn of_pass(question: Question, waiting: Vec<(u32, Waiter)>, reason: Reason, verdict: Option<Verdict>, installation: String) -> Self {
        let verdict = verdict.unwrap_or_else(|| Verdict::new(wire::Outcome::Pass).because(reason.label()));
        Self { question, waiting: waiting.into_iter(), end: End::Pass { reason, verdict }, installation }
    }

    /// A response for the one who asked, and for those who joined and whom it is for.
    pub fn of_response(question: Question, waiting: Vec<(u32, Waiter)>, answer: Answer, shared: Option<Selecting>, installation: String) -> Self {
        let outcome = match answer.verdict.outcome {
            wire::Outcome::Hit => Outcome::Hit,
            wire::Outcome::Stale => Outcome::Stale,
            wire::Outcome::Revalidated => Outcome::Revalidated,
            _ => Outcome::Miss,
        };
        let detail = if matches!(outcome, Outcome::Hit | Outcome::Stale) { "owner" } else { "" };
        let joined = Verdict { collapsed: answer.verdict.collapsed || detail.is_empty(), ..answer.verdict.clone() };
        let head = |verdict: &Verdict| answer.head(&cache_status(&installation, verdict, detail, None));
        let heads = [head(&answer.verdict), if waiting.iter().any(|(_, waiter)| waiter.map.is_some()) { head(&joined) } else { Vec::new() }];
        let end = End::Response(Box::new(Given { answer, outcome, detail, shared, joined, heads }));
        Self { question, waiting: waiting.into_iter(), end, installation }
    }

    /// Whether all have what they waited for.
    pub fn is_over(&self) -> bool {
        self.waiting.len() == 0
    }

    /// What happens to the next of those who waited.
    pub fn next(&mut self, worker: &mut Worker, now: u64) -> Option<(u32, Step<'_>)> {
        let (stream, waiter) = self.waiting.next()?;
        let key = waiter.debug.then(|| self.question.key.to_string());
        let given = match &self.end {
            End::Pass { reason, verdict } => {
                count_pass(worker, &self.question.group, *reason);
                let note = cache_status(&self.installation, verdict, "", key.as_deref());
                let alone = *reason == Reason::PeersFailed;
                let spare = alone.then(|| stands_in(&self.question, waiter.map.as_deref(), worker, now)).flatten();
                return Some((stream, Step::Pass(Pass { reason: *reason, note: Some(note), spare })));
            }
            End::Response(given) => given,
        };
        let [first, later] = &given.heads;
        let (verdict, head) = match &waiter.map {
            None => (&given.answer.verdict, first),
            Some(map) if given.shared.as_ref().is_some_and(|selecting| selects(selecting, map)) => (&given.joined, later),
            Some(_) => return Some((stream, ask_alone(&self.question, &self.installation, stream, waiter, worker, now))),
        };
        worker.counts.outcome(self.question.group.name(), given.outcome);
        let head = match key {
            None => Cow::Borrowed(&head[..]),
            Some(key) => {
                let who = if given.detail.is_empty() && !is_forwarded(&verdict.reason) { &verdict.reason } else { given.detail };
                Cow::Owned(given.answer.head(&cache_status(&self.installation, verdict, &detail(who, verdict, &[]), Some(&key))))
            }
        };
        Some((stream, Step::Reply(Reply::of_answer(&given.answer, head, self.question.to_head))))
    }
}

/// A request that joined, and whose answer this was not, asks for itself.
fn ask_alone<'a>(of: &Question, installation: &str, stream: u32, waiter: Waiter, worker: &mut Worker, now: u64) -> Step<'a> {
    let question = Question {
        map: waiter.map.unwrap_or_default(),
        leader: stream,
        shared: false,
        tries: 1,
        calls: 1,
        collapsed: None,
        began: now,
        sent: now,
        purges: worker.purges(),
        group: of.group.clone(),
        key: of.key.clone(),
        peer: of.peer.clone(),
        namespace: of.namespace.clone(),
        ..*of
    };
    let timeout = question.patience();
    match worker.questions.open(question, waiter.debug) {
        Some(question) => {
            worker.counts.event(Event::Question);
            Step::Ask(Ask { question, timeout })
        }
        None => Step::Pass(pass(worker, &of.group, installation, Reason::Full, waiter.debug.then_some(&of.key))),
    }
}

/// What one who waited takes along. `map`: its own header map, if it had joined.
fn stands_in(question: &Question, map: Option<&[u8]>, worker: &Worker, now: u64) -> Option<Box<Spare>> {
    let head = Head::read(map.unwrap_or(&question.map))?;
    let request = head.request().ok()?;
    spare(worker, question.side, &question.group, &question.key, &request, question.verified, now)
}

/// Whether an answer that others share is for this request, too.
fn selects(selecting: &Selecting, map: &[u8]) -> bool {
    Head::read(map).is_some_and(|head| head.request().is_ok_and(|request| selecting.matches(&request)))
}
