//! What a question came to, on its way to all who waited for it.
//!
//! A few at a time: Envoy runs what a callback decided only after it, one inside the other, and its stack is bounded.

use crate::{
    answer::Answer,
    counts::{Event, Outcome, Reason},
    exchange::{Ask, Pass, Step, count_pass, pass, spare},
    head::Head,
    questions::{Joined, Joins, Question, Waiter},
    reply::Reply,
    spare::Spare,
    worker::Worker,
};
use meshcache_protocol::{
    cache_status::{cache_status, detail, is_forwarded},
    freshness::Selecting,
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
    /// Who came later may not have it, without validation: its load had begun.
    latest: u64,
    /// It is a failure that a second load has to bring as well, led by another of those who wait, before they have it.
    is_first_failure: bool,
    /// When the last of those came.
    last: u64,
    /// What is said to those who joined.
    joined: Verdict,
    /// The header maps for the one who asked and, where there are any, for those who joined.
    heads: [Vec<u8>; 2],
}

impl Delivery {
    /// All go their ordinary way; the verdict is the owner's, where it gave one.
    pub fn of_pass(
        question: Question,
        waiting: Vec<(u32, Waiter)>,
        reason: Reason,
        verdict: Option<Verdict>,
        installation: String,
    ) -> Self {
        let verdict = verdict
            .filter(|verdict| !verdict.reason.is_empty())
            .unwrap_or_else(|| Verdict::new(wire::Outcome::Pass).because(reason));
        Self { question, waiting: waiting.into_iter(), end: End::Pass { reason, verdict }, installation }
    }

    /// A response for the one who asked, and for those who joined and whom it is for.
    pub fn of_response(
        question: Question,
        waiting: Vec<(u32, Waiter)>,
        answer: Answer,
        shared: Option<Selecting>,
        installation: String,
        now: u64,
    ) -> Self {
        let outcome = match answer.verdict.outcome {
            wire::Outcome::Hit => Outcome::Hit,
            wire::Outcome::Stale => Outcome::Stale,
            wire::Outcome::Revalidated => Outcome::Revalidated,
            _ => Outcome::Miss,
        };
        let detail = if matches!(outcome, Outcome::Hit | Outcome::Stale) { "owner" } else { "" };
        let joined = Verdict { collapsed: answer.verdict.collapsed || detail.is_empty(), ..answer.verdict.clone() };
        let head = |verdict: &Verdict| answer.head(&cache_status(&installation, verdict, detail, None));
        let heads = [
            head(&answer.verdict),
            if waiting.iter().any(|(_, waiter)| waiter.map.is_some()) { head(&joined) } else { Vec::new() },
        ];
        let latest = latest(&question, &answer.verdict, now);
        let is_first_failure = is_loaded(&answer.verdict) && answer.status >= 400 && answer.verdict.load.is_none();
        let last = waiting.iter().map(|(_, waiter)| waiter.came).max().unwrap_or(0);
        let end = End::Response(Box::new(Given {
            answer,
            outcome,
            detail,
            shared,
            latest,
            is_first_failure,
            last,
            joined,
            heads,
        }));
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
            Some(map) if given.shared.as_ref().is_some_and(|selecting| selects(selecting, map)) => {
                if given.is_first_failure && self.question.again {
                    return Some((stream, ask_alone(&self.question, &self.installation, stream, waiter, worker, now)));
                }
                if waiter.came > given.latest || given.is_first_failure {
                    return Some((
                        stream,
                        ask_together(&self.question, &self.installation, (stream, waiter), given.last, worker, now),
                    ));
                }
                (&given.joined, later)
            }
            Some(_) => {
                return Some((stream, ask_alone(&self.question, &self.installation, stream, waiter, worker, now)));
            }
        };
        worker.counts.outcome(self.question.group.name(), given.outcome);
        let head = match key {
            None => Cow::Borrowed(&head[..]),
            Some(key) => {
                let who = if given.detail.is_empty() && !is_forwarded(&verdict.reason) {
                    verdict.reason.as_str()
                } else {
                    given.detail
                };
                Cow::Owned(given.answer.head(&cache_status(
                    &self.installation,
                    verdict,
                    &detail(who, verdict, &[]),
                    Some(&key),
                )))
            }
        };
        Some((stream, Step::Reply(Reply::of_answer(&given.answer, head, self.question.to_head))))
    }
}

/// Until when those came who may have an answer that may not be used again without validation (RFC 9111 section 4):
/// until its load began. For whom the question was asked they are in any case.
fn latest(question: &Question, verdict: &Verdict, now: u64) -> u64 {
    if !is_loaded(verdict) {
        return u64::MAX;
    }
    verdict.load.map_or(0, |load| now.saturating_sub(load)).max(question.since)
}

/// Whether it was loaded just now and may not be used again, nor be given to everybody who waits.
fn is_loaded(verdict: &Verdict) -> bool {
    matches!(verdict.outcome, wire::Outcome::Miss | wire::Outcome::Revalidated) && verdict.ttl <= 0 && !verdict.waiters
}

/// A request that came when the load had begun whose answer this is: all of these together ask once more. `last`: when
/// the last of them came.
fn ask_together<'a>(
    of: &Question,
    installation: &str,
    late: (u32, Waiter),
    last: u64,
    worker: &mut Worker,
    now: u64,
) -> Step<'a> {
    let (stream, waiter) = late;
    let map = waiter.map.as_deref().unwrap_or_default();
    let joins = Joins { stream, map, debug: waiter.debug, came: waiter.came };
    match worker.questions.join(of.side, &of.key, &of.group, worker.purges(), joins) {
        Joined::Yes => Step::Wait,
        Joined::NoSuch => open(
            Question { since: last, ..once_more(of, stream, &waiter, worker, now) },
            waiter.debug,
            installation,
            worker,
        ),
        Joined::Full => {
            Step::Pass(pass(worker, &of.group, installation, Reason::Full, waiter.debug.then_some(&of.key)))
        }
    }
}

/// A request that joined, and whose answer this was not, asks for itself.
fn ask_alone<'a>(
    of: &Question,
    installation: &str,
    stream: u32,
    waiter: Waiter,
    worker: &mut Worker,
    now: u64,
) -> Step<'a> {
    open(Question { shared: false, ..once_more(of, stream, &waiter, worker, now) }, waiter.debug, installation, worker)
}

/// The same question as asked by another who waited for it.
fn once_more(of: &Question, stream: u32, waiter: &Waiter, worker: &Worker, now: u64) -> Question {
    Question {
        map: waiter.map.clone().unwrap_or_default(),
        leader: stream,
        again: true,
        tries: 1,
        calls: 1,
        heard: false,
        flight: 0,
        collapsed: None,
        began: now,
        since: waiter.came,
        sent: now,
        asked_at: worker.attention.time(),
        purges: worker.purges(),
        group: of.group.clone(),
        key: of.key.clone(),
        route: of.route.clone(),
        peer: of.peer.clone(),
        namespace: of.namespace.clone(),
        ..*of
    }
}

fn open<'a>(question: Question, debug: bool, installation: &str, worker: &mut Worker) -> Step<'a> {
    let (timeout, group, key) = (question.call_time(), question.group.clone(), debug.then(|| question.key.clone()));
    match worker.questions.open(question, debug) {
        Some(question) => {
            worker.counts.event(Event::Question);
            Step::Ask(Ask { question, timeout })
        }
        None => Step::Pass(pass(worker, &group, installation, Reason::Full, key.as_ref())),
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
